package main

import (
	"path/filepath"

	"github.com/headrace/headrace/bench"
)

// mergeCmd is wsbench merge.
type mergeCmd struct {
	Parts []string `arg:"" name:"part.json" help:"What each machine has written with --json." type:"path"`
	output
}

// Run is called by kong.
func (c *mergeCmd) Run(to *console) error {
	limits, err := c.output.thresholds()
	if err != nil {
		return &usageError{err}
	}
	if err := c.output.apart(); err != nil {
		return &usageError{err}
	}
	names := map[string]int{}
	for _, file := range c.Parts {
		names[filepath.Base(file)]++
	}
	var parts []bench.Part
	for _, file := range c.Parts {
		r, err := bench.LoadResult(file)
		if err != nil {
			return err
		}
		name := filepath.Base(file)
		if names[name] > 1 {
			name = file
		}
		parts = append(parts, bench.Part{Name: name, Result: r})
	}
	sum, err := bench.Merge(parts)
	if err != nil {
		return err
	}
	return c.output.write(sum, limits, to.out)
}
