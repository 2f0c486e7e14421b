package main

import (
	"context"
	"time"

	"github.com/headrace/headrace/bench"
)

// idleCmd is wsbench idle.
type idleCmd struct {
	target
	Conns     int           `default:"1000" help:"Connections."`
	Duration  time.Duration `default:"1m" help:"How long to hold them once all are open; it ends when none is left."`
	PingEvery time.Duration `placeholder:"TIME" help:"Ask each connection with a ping this often, spread evenly, and measure the round trip; 0 is never. The server's pings are always answered."`
	Metrics   string        `placeholder:"URL" help:"Read the server's memory from this page, http://host:port/metrics in the format of Prometheus; where it runs here, --pid does that too."`
	opening
	output
}

// Help is shown by wsbench idle --help.
func (idleCmd) Help() string {
	return `Opens connections and says nothing on them. The report has who was dropped, with code, reason and age; the server's pings and the time between them; and, with --pid or --metrics, the server's memory for each connection, by difference and as the slope while they were opened.

  wsbench idle ws://127.0.0.1:8080/ --conns 10000 --connect-rate 2000 --duration 5m --pid 4711 --fail-if 'dropped>0'

Each address of this machine has some 28,000 ports for one address of a server: more connections need --local-addr.`
}

// Run is called by kong.
func (c *idleCmd) Run(ctx context.Context, to *console) error {
	at, err := c.target.bench()
	if err != nil {
		return &usageError{err}
	}
	return c.output.carryOut(ctx, bench.Idle{
		Target: at, Opening: c.opening.bench(), Conns: c.Conns, Duration: c.Duration,
		PingEvery: c.PingEvery, Metrics: c.Metrics, Loops: c.Loops,
	}, to)
}
