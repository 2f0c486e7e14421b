package bench

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// fanFlight is the publishes of one publisher that are on their way: how many have each,
// and when it came to the first. It is a ring; a publish that is overtaken by a whole
// round of it counts as one that has not reached everybody. The publisher begins, any
// loop of a subscriber arrives: safe from any goroutine, without a lock.
type fanFlight struct {
	ring    []flying // a power of two
	waiting atomic.Int32
}

// flying is one publish.
type flying struct {
	state    atomic.Uint64 // its number + 1 in the upper half, how many have it in the lower
	first    atomic.Int64  // when the first had it, nanoseconds since the run began
	begun    atomic.Int64  // when it was due
	expected atomic.Uint32
}

func newFanFlight(slots int) *fanFlight {
	return &fanFlight{ring: make([]flying, 1<<bits.Len(uint(max(slots, 2)-1)))}
}

func (f *fanFlight) slot(number uint32) *flying { return &f.ring[int(number)&(len(f.ring)-1)] }

// begin notes a publish that so many will have. What was in its place is given up.
func (f *fanFlight) begin(number, expected uint32, due time.Duration) {
	f.giveUp(number - uint32(len(f.ring)))
	s := f.slot(number)
	s.state.Store(0)
	s.first.Store(0)
	s.begun.Store(int64(due))
	s.expected.Store(expected)
	s.state.Store((uint64(number) + 1) << 32)
	f.waiting.Add(1)
}

// giveUp no longer waits for a publish. It says whether it was on its way.
func (f *fanFlight) giveUp(number uint32) bool {
	s := f.slot(number)
	for {
		old := s.state.Load()
		if old>>32 != uint64(number)+1 || uint32(old) >= s.expected.Load() {
			return false
		}
		if s.state.CompareAndSwap(old, 0) {
			f.waiting.Add(-1)
			return true
		}
	}
}

// flown is the place of a delivery among those of its publish.
type flown struct {
	rank     uint32 // 1 is the first; 0: the publish is known no more
	expected uint32
	first    time.Duration
}

// arrive counts a delivery.
func (f *fanFlight) arrive(number uint32, now time.Duration) flown {
	s := f.slot(number)
	for {
		old := s.state.Load()
		if old>>32 != uint64(number)+1 {
			return flown{}
		}
		if s.first.Load() == 0 {
			s.first.CompareAndSwap(0, max(1, int64(now)))
		}
		if !s.state.CompareAndSwap(old, old+1) {
			continue
		}
		at := flown{uint32(old) + 1, s.expected.Load(), time.Duration(s.first.Load())}
		if at.rank == at.expected {
			f.waiting.Add(-1)
		}
		return at
	}
}
