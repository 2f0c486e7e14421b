package engine

import (
	"time"

	"github.com/headrace/headrace/engine/internal/wire"
)

// wheel holds the deadlines of a loop's connections: a hashed timing wheel. A
// connection has one deadline at a time (Conn.deadline); to move it is to add an
// entry, and the older entry finds on its turn that it is stale. Nothing is
// removed early, so a timer costs one append and no search.
type wheel struct {
	slots   [wheelSlots][]timer
	spare   []timer // a slot's slice, for reuse
	entries int
	last    uint32 // the last tick that was handled
}

// timer is one entry: c has a deadline at tick due, unless it has changed.
type timer struct {
	c   *Conn
	due uint32
}

const wheelSlots = 256 // 12.8 s at 50 ms; later deadlines pass by more than once

// tickNow is the time in ticks.
func (l *loop) tickNow() uint32 { return uint32(l.wire.Now() / wire.TickInterval) }

// setDeadline has c.expired called in d, instead of any earlier arrangement.
func (l *loop) setDeadline(c *Conn, d time.Duration) {
	if l.wheel.entries == 0 {
		l.wheel.last = l.tickNow()
		l.wire.NeedTicks(true)
	}
	ticks := (d + wire.TickInterval - 1) / wire.TickInterval
	c.deadline = max(1, l.tickNow()+uint32(ticks)+1)
	l.wheel.add(timer{c, c.deadline})
}

// add drops stale entries from the end of the slot first: most timers are
// cancelled at once (a handshake takes less than a tick), and so they never
// pile up.
func (w *wheel) add(t timer) {
	slot := w.slots[t.due%wheelSlots]
	for n := len(slot); n > 0 && slot[n-1].stale(); n-- {
		slot[n-1] = timer{}
		slot = slot[:n-1]
		w.entries--
	}
	w.slots[t.due%wheelSlots] = append(slot, t)
	w.entries++
}

func (t timer) stale() bool { return t.c.deadline != t.due }

// clearDeadline has nothing called.
func (c *Conn) clearDeadline() { c.deadline = 0 }

// tick handles the slots that time has passed since the last call.
func (l *loop) tick() {
	w := &l.wheel
	now := l.tickNow()
	if now-w.last > wheelSlots {
		w.last = now - wheelSlots // each slot once is enough
	}
	for int32(now-w.last) > 0 { // a deadline set meanwhile may have moved last past now
		w.last++
		l.turnSlot(now)
	}
	if w.entries == 0 {
		l.wire.NeedTicks(false)
	}
}

// turnSlot fires what is due in the slot of w.last, drops what is stale, and
// keeps the rest for the next round.
func (l *loop) turnSlot(now uint32) {
	w := &l.wheel
	slot := &w.slots[w.last%wheelSlots]
	due := *slot
	*slot = w.spare[:0]
	for _, t := range due {
		w.entries--
		switch {
		case t.stale():
		case t.due > now:
			w.add(t)
		default:
			t.c.deadline = 0
			t.c.expired()
		}
	}
	clear(due)
	w.spare = due[:0]
}
