package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/bench/host"
)

// Compare is a plan: the same Echo against two servers, in turns, so that what the
// machine does besides meets both.
type Compare struct {
	Echo Echo // its URL and PID are those of the sides
	A, B Side

	Rounds  int    // of one run for each side, and one more before that does not count
	Seed    uint64 // of which side is the first in a round; zero means one by chance
	Restart bool   // servers that are started are started anew for every run
}

// Side is a server to compare.
type Side struct {
	URL     string
	PID     int     // its process, if it runs here already and is to be looked at
	Command Command // that starts it, if it does not run; without Args it does
}

// Check implements Job.
func (p Compare) Check() error {
	if p.Rounds < 2 || p.Rounds > 1000 {
		return errors.New("there are 2 to 1000 rounds, and 6 give a confidence of 95%")
	}
	for _, s := range p.sides() {
		e := p.echo(s, 0)
		if err := e.Check(); err != nil {
			return err
		}
		started := len(s.Command.Args) > 0
		switch {
		case started && s.PID != 0:
			return fmt.Errorf("%s is started, or it runs as process %d: one of both", withoutPassword(s.URL), s.PID)
		case !started && len(s.Command.CPUs) > 0:
			return fmt.Errorf("%s is not started here, so it cannot be bound to processors", withoutPassword(s.URL))
		case s.Command.Start < 0 || s.Command.Stop < 0:
			return errors.New("the time to start or to stop is not less than 0")
		}
	}
	a, b := len(p.A.Command.Args) > 0, len(p.B.Command.Args) > 0
	switch {
	case p.Restart && !a && !b:
		return errors.New("no server is started here, so none can be started anew")
	case p.A.URL == p.B.URL && (a || b) && !(a && b && p.Restart):
		return errors.New("both servers listen at the same address: let them use two, or start both anew for every run")
	}
	return nil
}

func (p *Compare) sides() [2]Side { return [2]Side{p.A, p.B} }

// echo is the run against a side.
func (p *Compare) echo(s Side, pid int) Echo {
	e := p.Echo
	e.URL, e.PID = s.URL, pid
	return e
}

// Takes is about how long it takes, without starting servers.
func (p *Compare) Takes() time.Duration {
	return time.Duration(2*(p.Rounds+1)) * (p.Echo.Warmup + p.Echo.Duration + time.Second/2)
}

// turns gives for each round which side is the first. Of any two rounds in turn, each
// side is the first in one.
func turns(seed uint64, rounds int) [][2]int {
	rng := rand.New(rand.NewPCG(seed, 4))
	all := make([][2]int, rounds)
	for i := range all {
		first := rng.IntN(2)
		if i%2 == 1 {
			first = 1 - all[i-1][0]
		}
		all[i] = [2]int{first, 1 - first}
	}
	return all
}

// Run implements Job.
func (p Compare) Run(ctx context.Context, tell func(Progress)) (*Result, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	for p.Seed == 0 {
		p.Seed = rand.Uint64N(1 << 32)
	}
	if tell == nil {
		tell = func(Progress) {}
	}
	c := &comparing{plan: &p, tell: tell, began: time.Now()}
	defer c.endAll()
	for i, s := range p.sides() {
		c.at[i] = contender{name: "AB"[i : i+1], side: s}
		if p.Restart {
			continue
		}
		if err := c.ready(ctx, &c.at[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", c.at[i].name, err)
		}
	}
	order := turns(p.Seed, p.Rounds)
	if err := c.round(ctx, 0, [2]int{0, 1}); err != nil {
		return nil, err
	}
	for i, turn := range order {
		if err := c.round(ctx, i+1, turn); err != nil {
			if ctx.Err() != nil {
				break
			}
			c.failed = append(c.failed, fmt.Sprintf("round %d failed: %v", i+1, err))
			if c.died() {
				break
			}
			continue
		}
		c.order = append(c.order, turn)
		c.numbers = append(c.numbers, i+1)
	}
	switch {
	case len(c.rounds) >= 2:
	case ctx.Err() != nil:
		return nil, fmt.Errorf("it was stopped after %d rounds that count: %w", len(c.rounds), context.Cause(ctx))
	default:
		return nil, fmt.Errorf("there are only %d complete rounds: %s", len(c.rounds), strings.Join(c.failed, "; "))
	}
	return c.report(), nil
}

// comparing is a comparison under way.
type comparing struct {
	plan   *Compare
	tell   func(Progress)
	began  time.Time
	at     [2]contender
	rounds [][2]measured // by round and side
	begun  bool          // a run

	order   [][2]int // of rounds: which side was the first
	numbers []int    // of rounds, from 1 on: those that have failed are left out
	failed  []string
}

// died says whether a server that was started, and is not started anew, is no more.
func (c *comparing) died() bool {
	return slices.ContainsFunc(c.at[:], func(at contender) bool { return !c.plan.Restart && at.server != nil && at.server.died() != nil })
}

// contender is a side with its process, if that is known.
type contender struct {
	name   string
	side   Side
	server *spawned // if it was started here
	pid    int
	empty  uint64 // resident bytes before its first connection
	errors Counts
	doubts []string // by round
}

// ready starts the side's server, if that is to be done, and looks at its process.
func (c *comparing) ready(ctx context.Context, at *contender) error {
	at.pid = at.side.PID
	if len(at.side.Command.Args) > 0 {
		c.tell(Progress{Phase: "starting " + at.name})
		e := c.plan.echo(at.side, 0)
		var err error
		if at.server, err = at.side.Command.start(ctx, &e.Target); err != nil {
			return err
		}
		at.pid = at.server.cmd.Process.Pid
	}
	if at.pid == 0 {
		return nil
	}
	process, err := host.FindProcess(at.pid)
	if err == nil {
		at.empty, err = process.Resident()
	}
	return err
}

// endAll ends the servers that were started.
func (c *comparing) endAll() {
	for i := range c.at {
		c.at[i].endServer()
	}
}

func (at *contender) endServer() {
	if at.server != nil {
		at.server.end()
		at.server = nil
	}
}

// round has one run of each side. Round 0 does not count.
func (c *comparing) round(ctx context.Context, number int, turn [2]int) error {
	var both [2]measured
	for _, i := range turn {
		at := &c.at[i]
		result, err := c.run(ctx, number, at)
		isFresh := c.plan.Restart && at.server != nil
		if c.plan.Restart {
			at.endServer()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", at.name, err)
		}
		if number == 0 {
			continue
		}
		both[i] = at.measure(result, isFresh)
		at.errors.add(&result.Counts)
		if len(result.Doubts) > 0 {
			at.doubts = append(at.doubts, fmt.Sprintf("round %d: %s", number, strings.Join(result.Doubts, "; ")))
		}
	}
	if number > 0 {
		c.rounds = append(c.rounds, both)
	}
	return nil
}

// run has one run of a side.
func (c *comparing) run(ctx context.Context, number int, at *contender) (*Result, error) {
	if c.plan.Restart && (number == 0 || len(at.side.Command.Args) > 0) {
		if err := c.ready(ctx, at); err != nil {
			return nil, err
		}
	}
	name := fmt.Sprintf("round %d of %d, %s", number, c.plan.Rounds, at.name)
	if number == 0 {
		name = "warm-up round, " + at.name
	}
	e := c.plan.echo(at.side, at.pid)
	if c.begun {
		e.StartAt = time.Time{} // the first run has waited for it
	}
	c.begun = true
	result, err := e.Run(ctx, func(p Progress) {
		p.Phase = name + ", " + p.Phase
		c.tell(p)
	})
	if at.server != nil {
		if died := at.server.died(); died != nil {
			return nil, died
		}
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return result, err
}
