package bench

import (
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pulse is when a loop's messages are due. Times are since the run began.
type pulse struct {
	ask func() // has the loop send

	// loop-only
	pacer Pacer
	next  time.Duration // when the next message is due
	after time.Duration // and the one behind it

	// What the metronome knows of them. atNext is stored first and loaded last, so that
	// who has the new atAfter has the new atNext.
	atNext, atAfter atomic.Int64
}

// newPulse begins with a message at a time.
func newPulse(ask func(), pacer Pacer, first time.Duration) *pulse {
	p := &pulse{ask: ask, pacer: pacer, next: first, after: pacer.Next(first)}
	p.tell()
	return p
}

// step goes on to the next message. Loop-only.
func (p *pulse) step() { p.next, p.after = p.after, p.pacer.Next(p.after) }

// tell has the metronome wake the loop at next. Loop-only.
func (p *pulse) tell() {
	p.atNext.Store(int64(p.next))
	p.atAfter.Store(int64(p.after))
}

// rest has it wake the loop no more. Loop-only.
func (p *pulse) rest() {
	p.atNext.Store(never)
	p.atAfter.Store(never)
}

const (
	never = 1<<63 - 1

	// grain is the least time between two looks at a loop: what is due within it is
	// sent together. It bounds what waking costs at high rates.
	grain = 100 * time.Microsecond
	// longestNap bounds how long the metronome goes on after its end.
	longestNap = 5 * time.Millisecond
)

// due asks a loop whose next message is due to send, and gives the time of the next
// look. The one behind is known, so that nobody has to wait for the loop's answer.
func (p *pulse) due(now time.Duration) (look time.Duration) {
	after := time.Duration(p.atAfter.Load())
	if next := time.Duration(p.atNext.Load()); next > now {
		return next
	}
	p.ask()
	return max(after, now+grain)
}

// beat wakes loops whenever a message of theirs is due, until stop. It takes a thread
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

// nap sleeps, as exactly as the kernel can.
func nap(d time.Duration) {
	if d <= 0 {
		return
	}
	t := unix.NsecToTimespec(int64(d))
	_, _, _ = unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, 0, uintptr(unsafe.Pointer(&t)), 0, 0, 0)
}
