package main

import (
	"io"

	"github.com/headrace/headrace/bench"
)

// reportCmd is wsbench report.
type reportCmd struct {
	Result string `arg:"" name:"result.json" help:"What a run has written with --json." type:"path"`
	HTML   string `name:"html" help:"Write a page with plots to this file." type:"path"`
	CSV    bool   `help:"Write a line for each second."`
	Hgrm   bool   `help:"Write the latencies as a percentile log of HdrHistogram."`
}

// Run is called by kong.
func (c *reportCmd) Run(to *console) error {
	r, err := bench.LoadResult(c.Result)
	if err != nil {
		return err
	}
	if c.HTML != "" {
		if err := writeFile(c.HTML, r.WriteHTML); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		wanted bool
		write  func(io.Writer) error
	}{
		{c.CSV, r.WriteCSV},
		{c.Hgrm, r.WriteHgrm},
		{c.HTML == "" && !c.CSV && !c.Hgrm, r.WriteText},
	} {
		if f.wanted {
			if err := f.write(to.out); err != nil {
				return err
			}
		}
	}
	return nil
}
