package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
)

// Settings come from three sources: the file, environment variables, and flags. Of
// two that give the same setting the later one wins. What none gives has its default.
// Whatever is wrong in any of them is an error, what another source replaces too.

// given is a setting that a source gives.
type given struct {
	*setting
	values []string
	where  string // how the source writes it, up to the value: "--loops ", "HEADRACE_LOOPS=", "server.yaml:3: loops: "
	source string // the same for --print-config: "--loops", "HEADRACE_LOOPS", "server.yaml:3"
}

// load gives the options that the command line, the environment and the file make. An
// error is one line that says which source and which setting is wrong, and why;
// flag.ErrHelp means that help was asked for.
func load(args, environ []string) (options, command, error) {
	byFlag, cmd, err := parseFlags(args)
	if err != nil {
		return options{}, cmd, err
	}
	byEnv, file, err := parseEnviron(environ)
	if err != nil {
		return options{}, cmd, err
	}
	by := envFile + "="
	if cmd.file != "" {
		file, by = cmd.file, "--config "
	}
	var byFile []given
	if file != "" {
		text, err := readConfig(file)
		if err != nil {
			return options{}, cmd, fmt.Errorf("%s%s: the file cannot be read: %w", by, visible(file), cause(err))
		}
		if byFile, err = parseFile(file, text); err != nil {
			return options{}, cmd, err
		}
	}
	o := defaults()
	for _, source := range [][]given{byFile, byEnv, byFlag} {
		if err := o.apply(source); err != nil {
			return options{}, cmd, err
		}
	}
	return o, cmd, o.check()
}

// apply sets what a source gives.
func (o *options) apply(source []given) error {
	for _, g := range source {
		v := g.at(o)
		if l, ok := v.(list); ok {
			l.clear()
		}
		for _, s := range g.values {
			if err := v.set(s); err != nil {
				if _, ok := v.(secret); ok {
					s = hidden
				}
				return fmt.Errorf("%s%s: %w", g.where, visible(s), err)
			}
		}
		o.from[g.name] = g.source
	}
	return nil
}

// readConfig reads the file of settings.
func readConfig(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(text) > maxConfig {
		err = errors.New("it is longer than 1 MiB, and cannot be one of settings")
	}
	return text, err
}

const maxConfig = 1 << 20

// visible gives a value as it stands in an error: in quotes where its end could not be
// seen, or where it would take more than its place in the line.
func visible(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}
