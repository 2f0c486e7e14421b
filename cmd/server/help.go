package main

import (
	"fmt"
	"strings"
)

// usage is what --help prints.
func usage() string {
	var b strings.Builder
	b.WriteString(program + ` serves WebSocket connections, and a page in the browser to try them on.

  ` + program + ` [flags]

Each setting is a flag (--max-message 64KiB), an environment variable
(` + envPrefix + `MAX_MESSAGE=64KiB) and a key of a YAML file (max-message: 64KiB). A flag wins over a
variable, and a variable over the file. A list stands between commas in a variable.

`)
	o := defaults()
	for i := range settings {
		s := &settings[i]
		head := "--" + s.name
		if !s.isSwitch() {
			head += " " + s.arg
		}
		entry(&b, head, s.help+defaultNote(s, &o))
	}
	b.WriteString("\n")
	entry(&b, "--config file", "reads settings from this file; also "+envFile)
	entry(&b, "--check-config", "says whether all settings are valid, and ends")
	entry(&b, "--print-config", "prints all settings as a file, with where they come from, and ends")
	entry(&b, "--version", "prints the version")
	entry(&b, "--help", "prints this")
	b.WriteString("\nCtrl-C closes everyone in order and ends. A second Ctrl-C ends at once.\n")
	return b.String()
}

// defaultNote is the default in brackets, where there is one.
func defaultNote(s *setting, o *options) string {
	if def := strings.Join(s.at(o).strings(), ", "); def != "" && !s.isSwitch() {
		return fmt.Sprintf(" (%s)", def)
	}
	return ""
}

const (
	helpIndent = 30
	helpWidth  = 100
)

// entry writes one flag and what it does, in lines of a readable length.
func entry(b *strings.Builder, head, does string) {
	line := fmt.Sprintf("  %-*s", helpIndent-2, head)
	if line[len(line)-1] != ' ' {
		b.WriteString(line + "\n")
		line = strings.Repeat(" ", helpIndent)
	}
	bare := true
	for word := range strings.FieldsSeq(does) {
		if !bare && len(line)+1+len(word) > helpWidth {
			b.WriteString(line + "\n")
			line, bare = strings.Repeat(" ", helpIndent), true
		}
		if !bare {
			line += " "
		}
		line, bare = line+word, false
	}
	b.WriteString(line + "\n")
}
