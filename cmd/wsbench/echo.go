package main

import (
	"context"
	"time"

	"github.com/headrace/headrace/bench"
)

// echoCmd is wsbench echo.
type echoCmd struct {
	target
	load
	opening
	output
}

// load is what is sent.
type load struct {
	Conns    int           `default:"100" help:"Connections."`
	Size     string        `default:"20" help:"Bytes of a message: 20, 4KiB, 100-4000 (evenly), exp:MEAN, lognormal:MEDIAN,SIGMA[@16-64KiB], or shares such as 20:90%,1KiB:9%,64KiB:1%."`
	Text     bool          `help:"Send text; binary otherwise."`
	Rate     float64       `group:"load" placeholder:"N" help:"Messages a second over all connections, whatever comes back (open loop)."`
	Poisson  bool          `group:"load" help:"With --rate: as independent users send, not evenly."`
	Inflight int           `group:"load" placeholder:"N" help:"Messages on their way on each connection (closed loop; 1 if neither this nor --rate is given)."`
	Patience time.Duration `group:"load" default:"2s" help:"Closed loop: how long to wait for a message to come back."`
	Warmup   time.Duration `default:"1s" help:"Sent before, and not counted."`
	Duration time.Duration `default:"10s" help:"How long to measure."`
}

// Run is called by kong.
func (c *echoCmd) Run(ctx context.Context, to *console) error {
	at, err := c.target.bench()
	if err != nil {
		return &usageError{err}
	}
	job, err := c.load.bench(at, &c.opening)
	if err != nil {
		return &usageError{err}
	}
	return c.output.carryOut(ctx, job, to)
}

// bench gives the plan in the words of the library.
func (l *load) bench(at bench.Target, how *opening) (bench.Echo, error) {
	sizes, err := bench.ParseSizes(l.Size)
	return bench.Echo{
		Target: at, Opening: how.bench(), Conns: l.Conns, Sizes: sizes, Text: l.Text,
		Rate: l.Rate, Poisson: l.Poisson, InFlight: l.Inflight, Patience: l.Patience,
		Warmup: l.Warmup, Duration: l.Duration, Loops: how.Loops,
	}, err
}
