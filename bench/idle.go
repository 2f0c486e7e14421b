package bench

import (
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/bench/host"
)

// Idle is a plan: connections that are opened and held, on which nothing is said but
// pings. It tells who was dropped, when and why, and what the server needs for them.
type Idle struct {
	Target
	Opening
	Conns int

	// Duration is how long they are held once all are open.
	Duration time.Duration

	// PingEvery is how often each connection is asked with a ping; the pings of all are
	// spread evenly over that time, and their round trip counts from when one was due.
	// Zero means never. The server's own pings are always answered.
	PingEvery time.Duration

	// Metrics is a page in the text format of Prometheus from which the server's memory
	// is read, where Target.PID cannot be; "" is none.
	Metrics string

	Grace time.Duration // how long after the end pongs may still come; zero means 2 s
	Loops int           // event loops of the client; zero: one less than processors
}

// IdleResult is what only Idle measures.
type IdleResult struct {
	Asked    uint64 `json:"asked"` // handshakes; the sum of the next three
	Opened   uint64 `json:"opened"`
	Refused  uint64 `json:"refused"`
	NotBegun uint64 `json:"notBegun"` // the run was ended before

	Connecting float64 `json:"connecting"` // seconds until the last was opened
	PerSecond  float64 `json:"perSecond"`  // opened in that time

	Dropped       uint64  `json:"dropped"`       // by the server, or the network
	DroppedBefore uint64  `json:"droppedBefore"` // those of them that ended while others were still being opened
	Left          uint64  `json:"left"`          // open at the end
	Ends          []Ended `json:"ends,omitempty"`

	Messages uint64 `json:"messages"` // that the server has sent unasked

	// Pings of the server: how many, how many on a connection that was there to the end,
	// and the time between two on one connection.
	Pings     uint64    `json:"pings"`
	PingsLeft Spread    `json:"pingsLeft"`
	PingGap   Histogram `json:"pingGap"` // nanoseconds; what is over 20 minutes counts as that

	Memory *Memory `json:"memory,omitempty"`
	// Gauge is the most connections that the server itself has counted in its metrics;
	// negative where it does not say.
	Gauge float64 `json:"gauge"`
}

// Spread is how many of something there were on each of many.
type Spread struct {
	Min  uint64  `json:"min"`
	Mean float64 `json:"mean"`
	Max  uint64  `json:"max"`
}

const leastPingEvery = 10 * time.Millisecond

// Check implements Job.
func (p Idle) Check() error {
	_, err := p.withDefaults()
	return err
}

func (p *Idle) withDefaults() (Idle, error) {
	e := *p
	if e.Grace == 0 {
		e.Grace = 2 * time.Second
	}
	if err := e.Target.check(); err != nil {
		return e, err
	}
	if err := e.Opening.check(); err != nil {
		return e, err
	}
	if e.Metrics != "" {
		if _, err := newMetricsPage(e.Metrics); err != nil {
			return e, err
		}
	}
	switch {
	case e.Conns < 1:
		return e, errors.New("there must be a connection at least")
	case e.Duration <= 0 || e.Grace < 0:
		return e, errors.New("a duration must be more than 0")
	case e.PingEvery < 0 || e.PingEvery > 0 && e.PingEvery < leastPingEvery:
		return e, fmt.Errorf("a connection is asked with a ping every %v at most, or never (0)", leastPingEvery)
	case e.PingEvery > 0 && float64(e.Conns)/e.PingEvery.Seconds() > maxRate:
		return e, fmt.Errorf("%d connections every %v are more than %d pings a second", e.Conns, e.PingEvery, int(maxRate))
	case e.PID != 0 && e.Metrics != "":
		return e, errors.New("memory is read from a process (pid) or from metrics, not from both")
	}
	return e, nil
}

// source is where the server's memory is read from; nil: nowhere.
func (p *Idle) source() (memorySource, error) {
	if p.Metrics != "" {
		return newMetricsPage(p.Metrics)
	}
	if p.PID == 0 {
		return nil, nil
	}
	process, err := host.FindProcess(p.PID)
	return processMemory{process}, err
}
