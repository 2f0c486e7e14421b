package main

import (
	"fmt"
	"os"
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
	if cmd.file != "" {
		file = cmd.file
	}
	var byFile []given
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return options{}, cmd, fmt.Errorf("the configuration file cannot be read: %w", err)
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
				return fmt.Errorf("%s%s: %w", g.where, orEmpty(s), err)
			}
		}
		o.from[g.name] = g.source
	}
	return nil
}

// orEmpty makes an empty value visible.
func orEmpty(s string) string {
	if s == "" {
		return `""`
	}
	return s
}
