package engine

import (
	"time"

	"github.com/headrace/headrace/engine/internal/wire"
)

// wheel holds the deadlines and the heartbeats of a loop's connections: a hashed
// timing wheel. A connection stands in one slot. It moves its ticks
// (Conn.deadline, Conn.beat, extras.limit) without touching the wheel as long as that slot
// comes no later: on its turn there it is put where its next tick is by then, or
// dropped if it has none. So a deadline that moves with every read costs a few
// stores. If a tick comes nearer, the connection is put into another slot, and
// what stands in the old one is dropped on its turn.
type wheel struct {
	slots   [wheelSlots][]*Conn
	spare   []*Conn // a slot's slice, for reuse
	entries int
	last    uint32 // the last tick that was handled
}

const wheelSlots = 256 // 12.8 s at 50 ms; later ticks pass by more than once. Conn.at is a uint8

// tickNow is the time in ticks.
func (l *loop) tickNow() uint32 { return uint32(l.wire.Now() / wire.TickInterval) }

// setDeadline has c.expired called in d, instead of any earlier arrangement.
func (l *loop) setDeadline(c *Conn, d time.Duration) {
	c.deadline = l.tickAfter(d)
	c.flags |= flagArmed
	l.wheel.cover(c, c.deadline)
}

// clearDeadline has nothing called.
func (c *Conn) clearDeadline() { c.flags &^= flagArmed }

// armed says whether the connection has a deadline.
func (c *Conn) armed() bool { return c.flags&flagArmed != 0 }

// setBeat has c.heartbeat called in d, beside the deadline. d is at most
// maxHeartbeat.
func (l *loop) setBeat(c *Conn, d time.Duration) {
	due := l.tickAfter(d)
	c.beat = max(1, uint16(due))
	l.wheel.cover(c, due)
}

// tickAfter gives the tick by which d has passed.
func (l *loop) tickAfter(d time.Duration) uint32 {
	if l.wheel.entries == 0 {
		l.wheel.last = l.tickNow()
		l.wire.NeedTicks(true)
	}
	return l.tickNow() + ticks(d) + 1
}

// ticks gives how many ticks d takes.
func ticks(d time.Duration) uint32 {
	return uint32((d + wire.TickInterval - 1) / wire.TickInterval)
}

// deadlineIn, beatIn and limitIn give how many ticks from now c's deadline and heartbeat
// are, if it has them.
func (c *Conn) deadlineIn(now uint32) (ticks int32, ok bool) {
	return int32(c.deadline - now), c.armed()
}

func (c *Conn) beatIn(now uint32) (ticks int32, ok bool) {
	return int32(int16(c.beat - uint16(now))), c.beat != 0
}

// idle says that nothing is to be done for c at any time.
func (c *Conn) idle() bool { return !c.armed() && c.beat == 0 && !c.isLimited() }

// standsIn says whether c is to be found in a slot, and not a leftover there.
func (c *Conn) standsIn(slot uint8) bool { return c.flags&flagTimed != 0 && c.at == slot }

// cover sees to it that c's turn comes no later than due.
func (w *wheel) cover(c *Conn, due uint32) {
	if c.flags&flagTimed != 0 {
		turn := w.last + 1 + uint32(c.at-uint8(w.last)-1)
		if int32(due-turn) >= 0 {
			return
		}
	}
	w.put(c, due)
}

// put makes c stand in the slot of a tick. It drops leftovers, and connections
// without a tick, from the end of that slot first: most timers are cancelled at
// once (a handshake takes less than a tick), and so they never pile up.
func (w *wheel) put(c *Conn, due uint32) {
	at := uint8(due)
	slot := w.slots[at]
	for n := len(slot); n > 0; n-- {
		last := slot[n-1]
		if stands := last.standsIn(at); stands && !last.idle() {
			break
		} else if stands {
			last.flags &^= flagTimed
		}
		slot[n-1] = nil
		slot = slot[:n-1]
		w.entries--
	}
	c.at = at
	c.flags |= flagTimed
	w.slots[at] = appendConn(slot, c)
	w.entries++
}

// appendConn is append with little room to spare: with a million connections,
// half of a list's memory would be that.
func appendConn(list []*Conn, c *Conn) []*Conn {
	if len(list) == cap(list) {
		grown := make([]*Conn, len(list), len(list)+len(list)/16+4)
		copy(grown, list)
		list = grown
	}
	return append(list, c)
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
	if w.entries == 0 && l.leaving.none() {
		l.wire.NeedTicks(false)
	}
}

// turnSlot gives those in the slot of w.last their turn.
func (l *loop) turnSlot(now uint32) {
	w := &l.wheel
	at := uint8(w.last)
	turn := w.slots[at]
	w.slots[at] = w.spare[:0]
	for _, c := range turn {
		w.entries--
		if c.standsIn(at) {
			c.flags &^= flagTimed
			l.turn(c, now)
		}
	}
	clear(turn)
	w.spare = turn[:0]
}

// turn calls c if a tick of it has come, and puts it where its next one is.
func (l *loop) turn(c *Conn, now uint32) {
	if in, ok := c.deadlineIn(now); ok && in <= 0 {
		c.clearDeadline()
		c.expired()
	}
	if in, ok := c.beatIn(now); ok && in <= 0 {
		c.beat = 0
		c.heartbeat()
	}
	if in, ok := c.limitIn(now); ok && in <= 0 {
		c.limitReached(now)
	}
	if in, ok := c.nextTick(now); ok {
		l.wheel.cover(c, now+uint32(max(in, 1)))
	}
}

// nextTick gives how many ticks from now something is to be done for c.
func (c *Conn) nextTick(now uint32) (in int32, ok bool) {
	in, ok = c.deadlineIn(now)
	if beat, beats := c.beatIn(now); beats && (!ok || beat < in) {
		in, ok = beat, true
	}
	if limit, limited := c.limitIn(now); limited && (!ok || limit < in) {
		in, ok = limit, true
	}
	return in, ok
}
