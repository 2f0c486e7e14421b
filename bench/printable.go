package bench

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable gives a text without what could steer a terminal: servers and files of results
// have a say in it. Its lines stay apart.
func Printable(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return strings.Join(lines, "\n")
}

// said gives the words of a server as results and errors have them: in one line, without
// what could steer a terminal, and without {line}, which says that conceal has been there.
func said(words string) string { return strings.ReplaceAll(printable(words), "{line}", notLine) }

const notLine = "{ line }"

// printable is Printable for one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError || unicode.Is(unicode.Bidi_Control, r) {
			return '?'
		}
		return r
	}, s)
}
