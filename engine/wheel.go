package engine

import (
	"time"

	"github.com/headrace/headrace/engine/internal/wire"
)

// wheel holds the deadlines of a loop's connections: a hashed timing wheel. A
// connection has one deadline at a time (Conn.deadline), which it moves without
// touching the wheel as long as it stands in a slot that comes no later: on its
// turn there it is put where its deadline is by then, or dropped if it has none.
// So a deadline that moves with every read costs two stores, and a connection
// stands in the wheel once, or a few times when a deadline came nearer.
type wheel struct {
	slots   [wheelSlots][]*Conn
	spare   []*Conn // a slot's slice, for reuse
	entries int
	last    uint32 // the last tick that was handled
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
	due := l.tickNow() + uint32(ticks) + 1
	covered := c.flags&flagTimed != 0 && due >= c.deadline
	c.deadline = due
	c.flags |= flagArmed
	if !covered {
		l.wheel.add(c)
	}
}

// clearDeadline has nothing called.
func (c *Conn) clearDeadline() { c.flags &^= flagArmed }

// armed says whether the connection has a deadline.
func (c *Conn) armed() bool { return c.flags&flagArmed != 0 }

// add puts c where its deadline is. It drops connections without a deadline from
// the end of that slot first: most timers are cancelled at once (a handshake
// takes less than a tick), and so they never pile up.
func (w *wheel) add(c *Conn) {
	slot := w.slots[c.deadline%wheelSlots]
	for n := len(slot); n > 0 && !slot[n-1].armed(); n-- {
		slot[n-1].flags &^= flagTimed
		slot[n-1] = nil
		slot = slot[:n-1]
		w.entries--
	}
	c.flags |= flagTimed
	w.slots[c.deadline%wheelSlots] = append(slot, c)
	w.entries++
}

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

// turnSlot calls those in the slot of w.last whose deadline has come, and puts
// those whose deadline is later where it is.
func (l *loop) turnSlot(now uint32) {
	w := &l.wheel
	slot := &w.slots[w.last%wheelSlots]
	due := *slot
	*slot = w.spare[:0]
	for _, c := range due {
		w.entries--
		switch {
		case !c.armed():
			c.flags &^= flagTimed
		case int32(c.deadline-now) > 0:
			w.add(c)
		default:
			c.flags &^= flagTimed | flagArmed
			c.expired()
		}
	}
	clear(due)
	w.spare = due[:0]
}
