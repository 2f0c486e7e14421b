package bench

import (
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/engine"
)

// Echo is a plan: messages over connections, each of which the server sends back.
type Echo struct {
	Target
	Opening
	Conns int
	Text  bool // messages are text; binary otherwise
	Sizes Sizes

	// Rate is how many messages are sent in a second over all connections, whatever
	// comes back (an open loop); their latency counts from when they were due. Poisson
	// has them come independently of each other. Zero is a closed loop: InFlight
	// messages are on their way on each connection, and a new one goes when one is
	// back. That measures capacity; its latencies say little, because a server that
	// stalls is asked nothing meanwhile.
	Rate     float64
	Poisson  bool
	InFlight int

	// Patience is how long a closed loop waits for a message. One that is not back by
	// then counts as lost, and the next goes. Zero means 2 s.
	Patience time.Duration

	Warmup   time.Duration // sent, but not counted
	Duration time.Duration
	Grace    time.Duration // how long after that messages may still come back; zero means 2 s

	Loops int // event loops of the client; zero: one less than processors
}

// Check implements Job.
func (p Echo) Check() error {
	_, err := p.withDefaults()
	return err
}

func (p *Echo) withDefaults() (Echo, error) {
	e := *p
	if e.Grace == 0 {
		e.Grace = 2 * time.Second
	}
	if e.Patience == 0 {
		e.Patience = 2 * time.Second
	}
	if e.Rate == 0 && e.InFlight == 0 {
		e.InFlight = 1
	}
	if err := e.Target.check(); err != nil {
		return e, err
	}
	if err := e.Opening.check(); err != nil {
		return e, err
	}
	least := (&content{op: e.op()}).least()
	switch {
	case e.Sizes.Min < least:
		return e, fmt.Errorf("size %v: a message needs %d bytes to be known again", e.Sizes, least)
	case e.Sizes.Max > maxMessage:
		return e, fmt.Errorf("size %v: at most %d bytes", e.Sizes, maxMessage)
	case e.Conns < 1:
		return e, errors.New("there must be a connection at least")
	case !isRate(e.Rate):
		return e, fmt.Errorf("a rate is 0 to %d messages a second", int(maxRate))
	case e.Rate > 0 && e.InFlight > 0:
		return e, errors.New("either a rate (open loop) or a number in flight (closed loop)")
	case e.Poisson && e.Rate == 0:
		return e, errors.New("messages that come independently of each other (--poisson) need a rate")
	case e.InFlight < 0 || e.InFlight > maxOutstanding:
		return e, fmt.Errorf("at most %d messages in flight on a connection", maxOutstanding)
	case e.Duration <= 0 || e.Warmup < 0 || e.Grace < 0 || e.Patience < 0:
		return e, errors.New("a duration must be more than 0, and a warm-up not less")
	}
	return e, nil
}

const maxRate = 1e8

// isRate says whether so many may be asked for in a second: 0 to maxRate, and a number.
func isRate(r float64) bool { return r >= 0 && r <= maxRate }

func (p *Echo) op() engine.Op { return opOf(p.Text) }

// opOf is the kind of messages that are text, or not.
func opOf(text bool) engine.Op {
	if text {
		return engine.Text
	}
	return engine.Binary
}
