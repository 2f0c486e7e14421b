package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mattn/go-shellwords"

	"github.com/headrace/headrace/bench"
	"github.com/headrace/headrace/bench/host"
)

// reports is the part of output that is of use for two servers.
type reports struct {
	JSON   string `group:"report" placeholder:"FILE" help:"Write the result to this file, as JSON." type:"path"`
	HTML   string `group:"report" name:"html" placeholder:"FILE" help:"Write a page with plots to this file: it needs nothing else." type:"path"`
	Strict bool   `group:"report" help:"End with exit code 3 if the client was the slow one in a round, or the rate was not reached."`
}

// compareCmd is wsbench compare.
type compareCmd struct {
	A string `arg:"" name:"url-a" help:"ws://host:port/path or wss://… of A, which B is compared with."`
	B string `arg:"" name:"url-b" optional:"" help:"That of B; without it that of A, which takes --restart if servers are started."`

	Rounds       int           `group:"servers" default:"6" help:"Runs of each side that count; 6 are the fewest that give a confidence of 95%."`
	Seed         uint64        `group:"servers" placeholder:"N" help:"Which side is the first in a round follows from it; without it by chance, and the report says it."`
	StartA       string        `group:"servers" help:"The command that starts A: words and quotes, not for a shell (write sh -c '…' for one)." placeholder:"COMMAND"`
	StartB       string        `group:"servers" help:"The command that starts B." placeholder:"COMMAND"`
	Restart      bool          `group:"servers" help:"Start servers anew for every run: what differs from start to start is then part of the intervals."`
	StartTimeout time.Duration `group:"servers" default:"15s" help:"How long a server may take until it accepts a handshake."`
	StopTimeout  time.Duration `group:"servers" default:"5s" help:"How long a server may take to end after SIGTERM; then its process group is killed."`
	PIDA         int           `group:"servers" name:"pid-a" help:"The process of A, if it runs here already: its CPU is compared." placeholder:"PID"`
	PIDB         int           `group:"servers" name:"pid-b" help:"The process of B." placeholder:"PID"`
	CPUsServer   string        `group:"servers" name:"cpus-server" help:"Processors for the servers that are started: 0, 0,2 or 4-7." placeholder:"LIST"`
	CPUsA        string        `group:"servers" name:"cpus-a" help:"Processors for A alone." placeholder:"LIST"`
	CPUsB        string        `group:"servers" name:"cpus-b" help:"Processors for B alone." placeholder:"LIST"`

	handshake
	load
	opening
	reports
}

// Help is what --help says besides.
func (c *compareCmd) Help() string {
	return `The same echo runs against both, in turns: each round has one run of each side, the
first of them by chance, and as often A as B. A round before that does not count. The
report has the median of the rounds' ratios B/A for throughput (closed loop), latency,
CPU for a message (of servers that are started here, or with --pid-a and --pid-b) and
memory for a connection (with --restart), each with an interval that has the true median
in it with the confidence told (95% or more from 6 rounds on), and says in words what
that shows.

Exit code 3: a round has failed (the others count), or a side has answered nothing.

  wsbench compare ws://127.0.0.1:9001/echo ws://127.0.0.1:9002/echo \
    --start-a './old --port 9001' --start-b './new --port 9002' --rate 20000 --cpus-server 0
  wsbench compare ws://127.0.0.1:9001/ --start-a ./old --start-b ./new --restart`
}

// Run is called by kong.
func (c *compareCmd) Run(ctx context.Context, to *console) error {
	job, err := c.job()
	if err == nil {
		err = job.Check()
	}
	if err != nil {
		return &usageError{err}
	}
	fmt.Fprintf(to.err, "%d rounds, and one before: about %v in all\n", job.Rounds, job.Takes().Round(time.Second))
	out := output{JSON: c.JSON, HTML: c.HTML, Strict: c.Strict}
	return out.carryOut(ctx, job, to)
}

func (c *compareCmd) job() (job bench.Compare, err error) {
	if c.CPUsServer != "" && c.StartA == "" && c.StartB == "" {
		return job, errors.New("--cpus-server is for servers that are started here: --start-a, --start-b")
	}
	at, err := c.handshake.bench()
	if err != nil {
		return job, err
	}
	if c.B == "" {
		c.B = c.A
	}
	job = bench.Compare{Rounds: c.Rounds, Seed: c.Seed, Restart: c.Restart, A: bench.Side{URL: c.A, PID: c.PIDA}, B: bench.Side{URL: c.B, PID: c.PIDB}}
	if job.Echo, err = c.load.bench(at, &c.opening); err != nil {
		return job, err
	}
	if job.A.Command, err = c.command("a", c.StartA, c.CPUsA); err != nil {
		return job, err
	}
	job.B.Command, err = c.command("b", c.StartB, c.CPUsB)
	return job, err
}

// command reads how a side is started.
func (c *compareCmd) command(side, start, cpus string) (cmd bench.Command, err error) {
	cmd.Start, cmd.Stop = c.StartTimeout, c.StopTimeout
	if cpus == "" && start != "" {
		cpus = c.CPUsServer
	}
	if cpus != "" {
		if cmd.CPUs, err = host.ParseCPUs(cpus); err != nil {
			return cmd, fmt.Errorf("--cpus-%s %w", side, err)
		}
	}
	if start == "" {
		return cmd, nil
	}
	words := shellwords.NewParser()
	cmd.Args, err = words.Parse(start)
	switch {
	case err != nil:
		return cmd, fmt.Errorf("--start-%s %q: %w", side, start, err)
	case words.Position >= 0:
		return cmd, fmt.Errorf("--start-%s %q: ; & | < and > are for a shell: quote them, or write sh -c '…'", side, start)
	case len(cmd.Args) == 0:
		return cmd, fmt.Errorf("--start-%s %q names no program", side, start)
	}
	return cmd, nil
}
