package main

import (
	"io"

	"github.com/headrace/headrace/bench"
	"github.com/headrace/headrace/bench/report"
)

// reportCmd is wsbench report.
type reportCmd struct {
	Result string `arg:"" name:"result.json" help:"What a run has written with --json." type:"path"`
	HTML   string `name:"html" placeholder:"FILE" help:"Write a page with plots to this file, and no text." type:"path"`
	CSV    bool   `help:"Print a line for each second instead, with commas."`
	Hgrm   bool   `help:"Print the latencies instead, as a percentile log of HdrHistogram."`
}

// Run is called by kong.
func (c *reportCmd) Run(to *console) error {
	r, err := bench.LoadResult(c.Result)
	if err != nil {
		return err
	}
	if c.HTML != "" {
		if err := writeFile(c.HTML, r, report.WriteHTML); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		wanted bool
		write  func(io.Writer, *bench.Result) error
	}{
		{c.CSV, report.WriteCSV},
		{c.Hgrm, report.WriteHgrm},
		{c.HTML == "" && !c.CSV && !c.Hgrm, report.WriteText},
	} {
		if f.wanted {
			if err := f.write(to.out, r); err != nil {
				return err
			}
		}
	}
	return nil
}
