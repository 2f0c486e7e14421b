package main

import (
	"context"
	"time"

	"github.com/headrace/headrace/bench"
)

// stormCmd is wsbench storm.
type stormCmd struct {
	target
	Rate    float64 `group:"load" placeholder:"N" help:"Handshakes begun in a second, whatever the server makes of them (open loop)."`
	Poisson bool    `group:"load" help:"With --rate: as independent users come, not evenly."`
	AtOnce  int     `group:"load" placeholder:"N" help:"Clients, each of which begins a handshake when its last one is decided, or its connection over (closed loop; 64 if neither this nor --rate is given)."`

	Churn bool          `group:"life of a connection" help:"Send one message, check its echo, close with 1000, and await the closing handshake."`
	Hold  time.Duration `group:"life of a connection" placeholder:"TIME" help:"Close after this time; with --churn, this long after the echo. Without either, connections stay open to the end."`
	Size  string        `group:"life of a connection" default:"32" help:"Bytes of the message of --churn: 32, 4KiB, or 100-4000."`
	Text  bool          `group:"life of a connection" help:"The message of --churn is text; binary otherwise."`

	MaxOpen    int           `default:"10000" help:"Connections that may be open or in their handshake at once."`
	MaxDialing int           `default:"1000" help:"Handshakes that may be under way at once (open loop). What is due at a limit is counted as not begun."`
	Timeout    time.Duration `default:"10s" help:"How long one handshake may take."`
	Warmup     time.Duration `default:"0s" help:"Handshakes before those that count."`
	Duration   time.Duration `default:"10s" help:"How long to measure."`
	Loops      int           `group:"connection" placeholder:"N" help:"Event loops of the client; without it one less than processors."`
	output
}

// Help is shown by wsbench storm --help.
func (stormCmd) Help() string {
	return `Opening handshakes, as after a restart or a deploy. With --rate their latency counts from when each was due. The report has how many were asked for, opened, refused (by status, with the Retry-After that was seen; by TCP, TLS, or for want of time) and not begun, and how connections ended. What is refused is no error of a connection: the condition for it is refused>0. When all are, the exit code is 1.

  wsbench storm ws://127.0.0.1:8080/ --rate 500 --duration 10s --fail-if 'handshake-p99>100ms' --fail-if 'refused>0'
  wsbench storm ws://127.0.0.1:8080/echo --rate 1000 --churn --duration 1m
  wsbench storm ws://127.0.0.1:8080/ --at-once 500 --max-open 10000

Every connection takes a local port, and where this side ends first it keeps it for 60 s after. That is why connections are closed with a closing handshake, behind which most servers end first. When ports run out, the report says so, and what to do.`
}

// AfterApply is called by kong when the flags are read.
func (c *stormCmd) AfterApply() error { return spareProc(c.Loops) }

// Run is called by kong.
func (c *stormCmd) Run(ctx context.Context, to *console) error {
	sizes, err := bench.ParseSizes(c.Size)
	if err != nil {
		return &usageError{err}
	}
	at, err := c.target.bench()
	if err != nil {
		return &usageError{err}
	}
	at.DialTimeout = c.Timeout
	return c.output.carryOut(ctx, bench.Storm{
		Target: at, Rate: c.Rate, Poisson: c.Poisson, AtOnce: c.AtOnce,
		Churn: c.Churn, Hold: c.Hold, Sizes: sizes, Text: c.Text,
		MaxOpen: c.MaxOpen, MaxDialing: c.MaxDialing,
		Warmup: c.Warmup, Duration: c.Duration, Loops: c.Loops,
	}, to)
}
