package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// command is what a command line asks for besides settings.
type command struct {
	file        string // --config
	checkConfig bool
	printConfig bool
	version     bool
}

// parseFlags reads the command line.
func parseFlags(args []string) (all []given, cmd command, err error) {
	f := flag.NewFlagSet(program, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&cmd.file, "config", "", "")
	f.BoolVar(&cmd.checkConfig, "check-config", false, "")
	f.BoolVar(&cmd.printConfig, "print-config", false, "")
	f.BoolVar(&cmd.version, "version", false, "")
	var order []*given
	for i := range settings {
		g := &given{setting: &settings[i], where: "--" + settings[i].name + " ", source: "--" + settings[i].name}
		note := func(s string) error {
			if g.values == nil {
				order = append(order, g)
			}
			g.values = append(g.values, s)
			return nil
		}
		if g.isSwitch() {
			f.BoolFunc(g.name, "", note)
		} else {
			f.Func(g.name, "", note)
		}
	}
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil, cmd, err
	} else if err != nil {
		return nil, cmd, errors.New(plainly(err))
	}
	f.Visit(func(given *flag.Flag) {
		if given.Name == "config" && cmd.file == "" {
			err = errors.New("--config: it must name a file")
		}
	})
	if err != nil {
		return nil, cmd, err
	}
	if f.NArg() > 0 {
		return nil, cmd, fmt.Errorf("unexpected argument %q: every setting is a flag", f.Arg(0))
	}
	for _, g := range order {
		all = append(all, *g)
	}
	return all, cmd, nil
}

// plainly gives package flag's errors in our words.
func plainly(err error) string {
	says := plainWords.Replace(err.Error())
	if name, ok := strings.CutPrefix(says, unknownFlag); ok {
		says += didYouMean("--"+name, "--", (*setting).flag)
	}
	return says
}

const unknownFlag = "unknown flag --"

// plainWords turns package flag's errors into ours, with two dashes.
var plainWords = strings.NewReplacer(
	"flag provided but not defined: -", unknownFlag,
	"flag needs an argument: -", "there is no value after --",
	"invalid boolean value", "invalid value", // its "for" stands before the dash alone
	" for -", " for --",
	": parse error", ": it takes no value",
)
