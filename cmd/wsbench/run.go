package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/headrace/headrace/bench"
)

// runCmd is wsbench run.
type runCmd struct {
	File string `arg:"" optional:"" help:"The scenario, as YAML; - is standard input. --example shows one."`
	URL  string `arg:"" optional:"" help:"Connect to this instead of the scenario's url."`

	Example bool   `group:"scenario" help:"Print a scenario with every key there is, and what it means, and end."`
	Check   bool   `group:"scenario" help:"Say whether the scenario is right, and end."`
	Seed    uint32 `group:"scenario" placeholder:"N" help:"Make the choices of an earlier run again: the seed that its report tells."`
	Loops   int    `group:"connection" placeholder:"N" help:"Event loops of the client; without it one less than processors."`
	connection
	output
}

// Help is what wsbench run --help says beside the flags.
func (*runCmd) Help() string {
	return `A scenario is a YAML file:

  url: ws://localhost:8080/echo
  messages:
    - {name: hello, send: 'hello {n} {stamp}', expect: echo}
  phases:
    - {name: ramp,  for: 10s, connections: 0..500, rate: 0..2000}
    - {name: hold,  for: 30s, fail if: [p99>50ms, errors>0]}
    - {name: spike, for: 5s,  rate: 20000}
    - {name: slow,  for: 10s, rate: 2000, slow readers: {share: 10%, read: nothing}}

Keys of the whole: url, messages, phases; seed, arrivals, backoff, fail if.
Of a message: name, send, expect; within, weight.
Of a phase: name, for; connections, rate, slow readers, resets, reconnect, fail if.
wsbench run --example explains each. Ctrl-C ends a run early, with what was measured.`
}

// AfterApply is called by kong when the flags are read.
func (c *runCmd) AfterApply() error { return spareProc(c.Loops) }

// Run is called by kong.
func (c *runCmd) Run(ctx context.Context, to *console) error {
	if c.Example {
		_, err := io.WriteString(to.out, bench.ScenarioExample)
		return err
	}
	s, err := c.scenario()
	if err != nil {
		return &usageError{err}
	}
	if c.Check {
		if err := s.Check(); err != nil {
			return &usageError{err}
		}
		fmt.Fprintf(to.out, "%s is right: %s\n", c.File, s.Summary())
		return nil
	}
	if s.Check() == nil { // else carryOut says what is wrong
		fmt.Fprintf(to.err, "%s: %s\n", c.File, s.Summary())
	}
	return c.output.carryOut(ctx, s, to)
}

// scenario reads the file, and what the command line changes of it.
func (c *runCmd) scenario() (*bench.Scenario, error) {
	text, err := c.read()
	if err != nil {
		return nil, err
	}
	s, err := bench.ParseScenario(c.File, text)
	if err != nil {
		return nil, err
	}
	url := s.URL
	if c.URL != "" {
		url = c.URL
	}
	if s.Target, err = c.connection.to(url); err != nil {
		return nil, err
	}
	if c.Seed != 0 {
		s.Seed = uint64(c.Seed)
	}
	s.Loops = c.Loops
	return s, nil
}

// read reads the file, one byte more than it may have at most.
func (c *runCmd) read() ([]byte, error) {
	from := os.Stdin
	switch c.File {
	case "":
		return nil, errors.New("no scenario: name a file, or begin with wsbench run --example > scenario.yaml")
	case "-":
	default:
		f, err := os.Open(c.File)
		if err != nil {
			return nil, fmt.Errorf("the scenario cannot be read: %w", err)
		}
		defer f.Close() //nolint:errcheck // it was only read
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, bench.MaxScenarioFile+1))
	if err != nil {
		return nil, fmt.Errorf("the scenario cannot be read: %w", err)
	}
	return text, nil
}
