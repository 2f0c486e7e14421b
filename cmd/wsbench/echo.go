package main

import (
	"context"
	"time"

	"github.com/headrace/headrace/bench"
)

// echoCmd is wsbench echo.
type echoCmd struct {
	target
	Conns    int           `default:"100" help:"Connections."`
	Size     string        `default:"20" help:"Bytes of a message: 20, 4KiB, 100-4000 (evenly), exp:MEAN, lognormal:MEDIAN,SIGMA[@16-64KiB], or shares such as 20:90%,1KiB:9%,64KiB:1%."`
	Text     bool          `help:"Send text; binary otherwise."`
	Rate     float64       `group:"load" help:"Messages a second over all connections, whatever comes back (open loop)."`
	Poisson  bool          `group:"load" help:"With --rate: as independent users send, not evenly."`
	Inflight int           `group:"load" help:"Messages on their way on each connection (closed loop; without --rate 1)."`
	Warmup   time.Duration `default:"1s" help:"Sent before, and not counted."`
	Duration time.Duration `default:"10s" help:"How long to measure."`
	opening
	output
}

// Run is called by kong.
func (c *echoCmd) Run(ctx context.Context, to *console) error {
	sizes, err := bench.ParseSizes(c.Size)
	if err != nil {
		return &usageError{err}
	}
	at, err := c.target.bench()
	if err != nil {
		return &usageError{err}
	}
	return c.output.carryOut(ctx, bench.Echo{
		Target: at, Opening: c.opening.bench(), Conns: c.Conns, Sizes: sizes, Text: c.Text,
		Rate: c.Rate, Poisson: c.Poisson, InFlight: c.Inflight,
		Warmup: c.Warmup, Duration: c.Duration, Loops: c.Loops,
	}, to)
}
