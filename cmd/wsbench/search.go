package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/headrace/headrace/bench"
)

// searchCmd is wsbench search.
type searchCmd struct {
	target
	SLO          []string      `name:"slo" placeholder:"CONDITION" group:"search" help:"What must hold: p99<20ms, p99.9<50ms, max<1s, errors=0, lost<0.1%; may be repeated, and all must hold." sep:"none" required:""`
	Min          float64       `group:"search" default:"100" help:"Messages a second over all connections to begin with."`
	Max          float64       `group:"search" default:"1000000" help:"Messages a second not to go beyond."`
	Precision    string        `group:"search" default:"5%" help:"How close the answer's bounds get."`
	StepDuration time.Duration `group:"search" default:"5s" help:"How long to measure a rate."`
	StepWarmup   time.Duration `group:"search" default:"1s" help:"Sent before at that rate, and not counted."`
	Repeats      int           `group:"search" default:"3" help:"How often at most to try a rate whose verdict is close, or that breaks something for the first time; the majority holds."`
	MaxTime      time.Duration `group:"search" default:"10m" help:"End after this time at the latest, with what is known then."`
	Conns        int           `default:"100" help:"Connections."`
	Size         string        `default:"20" help:"Bytes of a message: 20, 4KiB, or 100-4000."`
	Text         bool          `help:"Send text; binary otherwise."`
	Poisson      bool          `group:"search" help:"Send as independent users do, not evenly."`
	opening
	output
}

// Help is what --help says besides.
func (c *searchCmd) Help() string {
	return `The rate (open loop: latency counts from when a message was due) doubles from --min
on until an --slo breaks; then what is between is halved. A step also fails if less
comes back than is sent, or if the server drops a connection. What was on its way is
waited for before the next step. If the client was the slow one, the server is not
blamed: the report says that the client's limit was reached first.

Exit code 3: even the lowest rate breaks an SLO, or the highest keeps all, or nothing
was found within --max-time.

  wsbench search ws://127.0.0.1:9001/echo --slo 'p99<20ms' --slo errors=0 --conns 500`
}

// Run is called by kong.
func (c *searchCmd) Run(ctx context.Context, to *console) error {
	job, err := c.job()
	if err != nil {
		return &usageError{err}
	}
	return c.output.carryOut(ctx, job, to)
}

func (c *searchCmd) job() (s bench.Search, err error) {
	s = bench.Search{
		Opening: c.opening.bench(), Conns: c.Conns, Text: c.Text, Poisson: c.Poisson, Min: c.Min, Max: c.Max,
		Warmup: c.StepWarmup, Step: c.StepDuration, Repeats: c.Repeats, MaxTime: c.MaxTime, Loops: c.Loops,
	}
	for _, text := range c.SLO {
		slo, err := bench.ParseSLO(text)
		if err != nil {
			return s, fmt.Errorf("--slo %w", err)
		}
		s.SLO = append(s.SLO, slo)
	}
	if s.Precision, err = parsePercent(c.Precision); err != nil {
		return s, fmt.Errorf("--precision %w", err)
	}
	if s.Sizes, err = bench.ParseSizes(c.Size); err != nil {
		return s, err
	}
	if c.Min == 0 || c.Max == 0 || c.Repeats == 0 || c.MaxTime == 0 {
		return s, errors.New("--min, --max, --repeats and --max-time are more than 0")
	}
	s.Target, err = c.target.bench()
	return s, err
}

// parsePercent reads "5%" as 0.05.
func parsePercent(s string) (float64, error) {
	number, ok := strings.CutSuffix(strings.TrimSpace(s), "%")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !ok {
		return 0, fmt.Errorf("%q is no share such as 5%%", s)
	}
	return v / 100, nil
}
