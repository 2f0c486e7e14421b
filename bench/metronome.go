package bench

import (
	"slices"
	"sync/atomic"
	"time"
)

// pulse is when messages are due. Times are since the beat began. Its sender, a loop or
// the metronome itself, is who ask has send.
type pulse struct {
	ask func()

	// the sender's
	step  func(time.Duration) time.Duration // when the one behind a message is due
	next  time.Duration                     // when the next message is due
	after time.Duration                     // and the one behind it

	// What the metronome knows of them. atNext is stored first and loaded last, so that
	// who has the new atAfter has the new atNext.
	atNext, atAfter atomic.Int64
}

// newPulse begins with a message at a time. step says when the one behind it is due, and
// so on.
func newPulse(ask func(), step func(time.Duration) time.Duration, first time.Duration) *pulse {
	p := &pulse{ask: ask, step: step, next: first, after: step(first)}
	p.tell()
	return p
}

// each has those messages sent that are due by now and before until, so many at most: for
// the others the metronome comes again. For the sender only.
func (p *pulse) each(now, until time.Duration, most int, send func(due time.Duration)) {
	if p.atNext.Load() == never {
		return // until was over before
	}
	for n := 0; n < most && p.next <= now && p.next < until; n++ {
		due := p.next
		p.next, p.after = p.after, p.step(p.after)
		send(due)
	}
	if p.next >= until {
		p.rest()
		return
	}
	p.tell()
}

// tell has the metronome ask at next. For the sender only.
func (p *pulse) tell() {
	p.atNext.Store(int64(p.next))
	p.atAfter.Store(int64(p.after))
}

// rest has it ask no more. For the sender only.
func (p *pulse) rest() {
	p.atNext.Store(never)
	p.atAfter.Store(never)
}

// areThrough says whether everything that was due before a time is sent. What was sent is
// in the recorders that are taken after. Safe from any goroutine.
func areThrough(pulses []*pulse, until time.Duration) bool {
	return !slices.ContainsFunc(pulses, func(p *pulse) bool { return time.Duration(p.atNext.Load()) < until })
}

const (
	never = 1<<63 - 1

	// grain is the least time between two looks at a pulse: what is due within it is
	// sent together. It bounds what waking costs at high rates.
	grain = 100 * time.Microsecond
	// longestNap bounds how long the metronome goes on after its end, where it cannot be
	// woken.
	longestNap = 5 * time.Millisecond
)

// due has the sender send whose next message is due, and gives the time of the next
// look. The one behind is known, so that nobody has to wait for a loop's answer.
func (p *pulse) due(now time.Duration) (look time.Duration) {
	after := time.Duration(p.atAfter.Load())
	if next := time.Duration(p.atNext.Load()); next > now {
		return next
	}
	p.ask()
	return max(after, now+grain)
}

// beat asks whenever a message is due, until stop. It needs one more of Go's processors
// than there are loops, each of which may keep one while it waits.
func beat(began time.Time, pulses []*pulse) (stop func()) {
	if len(pulses) == 0 {
		return func() {}
	}
	nap, wake := naps()
	var ended atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !ended.Load() {
			now, look := time.Since(began), time.Duration(never)
			for _, p := range pulses {
				look = min(look, p.due(now))
			}
			nap(look - time.Since(began))
		}
	}()
	return func() { ended.Store(true); wake(); <-done }
}

// naps gives what sleeps, and what ends that for good. Without a descriptor for an alarm
// it sleeps by Go's timers: it may be late then, and the report says so.
func naps() (nap func(time.Duration), wake func()) {
	a, err := newAlarm()
	if err != nil {
		return func(d time.Duration) { time.Sleep(min(d, longestNap)) }, func() {}
	}
	return a.sleep, a.close
}
