package bench

import (
	"math"
	"math/rand/v2"
	"time"
)

// What a phase does to connections on purpose.

// act is something to be done at a time.
type act struct {
	at time.Duration
	do func()
}

// acts lists everything that is to be done, in the order of time.
func (c *crowd) acts() (all []act) {
	for i := range c.play.plan.Phases {
		stage, span := &c.play.plan.Phases[i], &c.play.line.spans[i]
		rng := c.play.plan.chance(chanceStages + uint64(i))
		from := int(stage.Conns.From)
		var after []act
		if s := stage.Slow; s != nil {
			who := someOf(from, s.Share, rng)
			all = append(all, act{span.from, func() { c.startSlow(i, who, s.Rate) }})
			after = append(after, act{span.to, func() { c.endSlow(who) }})
		}
		if r := stage.Reconnect; r != nil {
			who := someOf(from, r.Share, rng)
			all = append(all, act{span.from, func() { c.reconnect(i, who, r.Within, rng) }})
		}
		if stage.Resets > 0 {
			who := someOf(from, stage.Resets, rng)
			for k, number := range who {
				part := (float64(k) + 0.5) / float64(len(who))
				at := span.from + time.Duration(part*float64(stage.For))
				all = append(all, act{at, func() { c.reset(i, number) }})
			}
		}
		all = append(all, after...)
	}
	return all
}

// someOf takes a share of n by chance, one at least.
func someOf(n int, share float64, rng *rand.Rand) []int {
	return rng.Perm(n)[:max(1, int(math.Round(share*float64(n))))]
}

// startSlow has members read slowly, also those that come back meanwhile.
func (c *crowd) startSlow(phase int, who []int, rate int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range who {
		m := &c.members[i]
		m.slow = rate
		c.figures[phase].slow++
		if m.actor != nil {
			c.slowDown(m.actor, rate)
		}
	}
}

func (c *crowd) slowDown(a *actor, rate int) { a.lane.ask(func() { a.slowDown(rate) }) }

func (c *crowd) endSlow(who []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range who {
		m := &c.members[i]
		m.slow = -1
		if a := m.actor; a != nil {
			a.lane.ask(a.speedUp)
		}
	}
}

// reconnect closes those of some members that are open, and has each come back at a
// moment of its own.
func (c *crowd) reconnect(phase int, who []int, within time.Duration, rng *rand.Rand) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.play.now()
	for _, i := range who {
		m, wait := &c.members[i], time.Duration(rng.Int64N(int64(within)+1))
		if m.actor != nil {
			m.back = now + wait
			c.figures[phase].reconnect++
			c.leave(m.actor, true)
		}
	}
}

// reset breaks a member's connection off, if it is open.
func (c *crowd) reset(phase, i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.members[i].actor; a != nil {
		c.figures[phase].resets++
		a.lane.ask(a.breakOff)
	}
}
