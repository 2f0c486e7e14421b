package bench

import (
	"runtime"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pulse is when messages are due. Times are since the beat began. Its sender, a loop or
// the metronome's own thread, is who ask has send.
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
	// longestNap bounds how long the metronome goes on after its end.
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

// beat asks whenever a message is due, until stop. It takes a thread
// of its own that sleeps in the kernel: Go's timers may come a millisecond late in a
// program that is otherwise asleep.
func beat(began time.Time, pulses []*pulse) (stop func()) {
	if len(pulses) == 0 {
		return func() {}
	}
	var ended atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()                             // and never unlocked: the thread ends with the goroutine,
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // and so does this
		for !ended.Load() {
			now := time.Since(began)
			look := now + longestNap
			for _, p := range pulses {
				look = min(look, p.due(now))
			}
			nap(look - time.Since(began))
		}
	}()
	return func() { ended.Store(true); <-done }
}

// nap sleeps, as exactly as the kernel can. Go's scheduler is told: it would hold one of
// its processors meanwhile, with the handshakes on it that a storm has just begun.
func nap(d time.Duration) {
	if d <= 0 {
		return
	}
	t := unix.NsecToTimespec(int64(d))
	_, _, _ = unix.Syscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, 0, uintptr(unsafe.Pointer(&t)), 0, 0, 0)
}
