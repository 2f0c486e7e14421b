package bench

import (
	"math"
	"math/rand/v2"
	"time"
)

// Pacer says when messages are to be sent.
type Pacer interface {
	// Next gives the time of the next message after the one at t, both since the
	// beginning.
	Next(t time.Duration) time.Duration
	// Rate is how many there are in a second, on average.
	Rate() float64
}

// newPacer gives the pacer of an open loop: even, or by chance from the seeds.
func newPacer(perSecond float64, poisson bool, seed, stream uint64) Pacer {
	if poisson {
		return Poisson{perSecond, rand.New(rand.NewPCG(seed, stream))}
	}
	return Constant{perSecond}
}

// pace gives each loop its part of a rate, by the connections that it sends on. Where
// none has any, what is due is not sent. stream is that of the chance by which messages
// come.
func (s *lanes[L]) pace(rate float64, poisson bool, stream uint64, start time.Duration) (pulses []*pulse) {
	all, open := s.all(), 0.0
	for _, d := range all {
		open += float64(d.of().open.Load())
	}
	for i, d := range all {
		n, share := d.of(), 1/float64(len(all))
		if open > 0 {
			share = float64(n.open.Load()) / open
		}
		part := max(rate*share, 1e-3)
		first := start + seconds(rand.Float64()/part)
		if share == 0 {
			first = never / 2
		}
		p := newPulse(n.work.Ask, newPacer(part, poisson, uint64(i), stream).Next, first)
		n.pulse.Store(p)
		pulses = append(pulses, p)
	}
	return pulses
}

// Constant is a Pacer with the same time between any two messages.
type Constant struct{ PerSecond float64 }

// Next implements Pacer.
func (c Constant) Next(t time.Duration) time.Duration { return t + seconds(1/c.PerSecond) }

// Rate implements Pacer.
func (c Constant) Rate() float64 { return c.PerSecond }

// Poisson is a Pacer whose messages come independently of each other, as those of many
// users do.
type Poisson struct {
	PerSecond float64
	Random    *rand.Rand
}

// Next implements Pacer.
func (p Poisson) Next(t time.Duration) time.Duration {
	return t + seconds(p.Random.ExpFloat64()/p.PerSecond)
}

// Rate implements Pacer.
func (p Poisson) Rate() float64 { return p.PerSecond }

// seconds is at least a nanosecond, so that a pacer always gets on.
func seconds(s float64) time.Duration {
	return time.Duration(max(1, math.Round(s*float64(time.Second))))
}
