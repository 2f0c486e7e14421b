package main

import (
	"fmt"
	"strings"

	"github.com/headrace/headrace/bench"
	"github.com/headrace/headrace/bench/report"
)

// diffCmd is wsbench diff.
type diffCmd struct {
	A      string   `arg:"" name:"a.json" help:"What was." type:"path"`
	B      string   `arg:"" name:"b.json" help:"What is now." type:"path"`
	FailIf []string `placeholder:"CONDITION" help:"End with exit code 3 if b differs from a so much: 'p99>+10%', 'rate<-5%', 'errors>+0'; may be repeated. Of p50, p90, p99, p99.9, max, rate, errors, opened, refused, gaps, client-cpu, client-memory, server-cpu, server-memory, server-memory-per-connection; handshake-p50 and -p99; and first-p99, median-p99 and last-p99 of a fan-out." sep:"none"`
}

// Run is called by kong.
func (c *diffCmd) Run(to *console) error {
	var limits []report.Regression
	for _, s := range c.FailIf {
		r, err := report.ParseRegression(s)
		if err != nil {
			return &usageError{fmt.Errorf("--fail-if %w", err)}
		}
		limits = append(limits, r)
	}
	d := report.Diff{NameA: c.A, NameB: c.B}
	var err error
	if d.A, err = bench.LoadResult(c.A); err != nil {
		return err
	}
	if d.B, err = bench.LoadResult(c.B); err != nil {
		return err
	}
	if err := d.WriteText(to.out); err != nil {
		return err
	}
	var crossed []string
	for _, r := range limits {
		yes, is, err := r.Crossed(&d)
		if err != nil {
			return err
		}
		if yes {
			crossed = append(crossed, is)
		}
	}
	if len(crossed) > 0 {
		return &crossedError{strings.Join(crossed, "; ")}
	}
	return nil
}
