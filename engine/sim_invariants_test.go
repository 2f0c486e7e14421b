package engine

import (
	"slices"
	"time"
	"unsafe"

	"github.com/headrace/headrace/engine/internal/simwire"
	"github.com/headrace/headrace/engine/internal/wire"
)

// simSlack is how much longer than its limit a phase may take: the ticks' grain
// and what a task may wait for its loop.
const simSlack = 500 * time.Millisecond

// simAtOnce is how many events may happen in the middle of another, at most about.
const simAtOnce = 8

// afterTurn looks into a loop that has ended a turn: always while it has few
// connections, and now and then otherwise.
func (w *simWorld) afterTurn(h wire.Handler) {
	l := h.(*loop)
	if l.conns.len > 8 && w.sim.Steps()%32 != 0 {
		return
	}
	waiting := len(l.dirty) > 0 || len(l.doomed) > 0 || len(l.inbox.items) > 0
	switch {
	case l.turning || l.awake.Load() || l.reading != nil || l.request.conn != nil:
		w.failf("a turn has left something behind: turning %t, awake %t, reading %v, request of %v",
			l.turning, l.awake.Load(), l.reading, l.request.conn)
	case waiting && !l.wakePending.Load():
		w.failf("work waits, and nobody will wake the loop: %d dirty, %d doomed, %d in the inbox", len(l.dirty), len(l.doomed), len(l.inbox.items))
	case int(l.inbox.count.Load()) != len(l.inbox.items):
		w.failf("the inbox counts %d of %d items", l.inbox.count.Load(), len(l.inbox.items))
	case l.wheel.entries < 0:
		w.failf("the wheel has %d entries", l.wheel.entries)
	case !l.scratch.decoder.Idle() || l.scratch.head != nil:
		w.failf("the shared decoder remembers something")
	}
	inbox := make(map[*Conn]int)
	for _, it := range l.inbox.items {
		if it.frame != nil {
			inbox[it.conn] += len(it.frame.B)
		}
	}
	i := -1
	for c := range l.conns.all {
		if i++; int(c.slot) != i {
			w.failf("a connection thinks it is in slot %d, but it is in %d", c.slot, i)
		}
		w.checkConn(c, inbox[c])
	}
}

// checkConn looks into a connection between turns.
func (w *simWorld) checkConn(c *Conn, inbox int) {
	size, counted := 0, inbox
	if c.out != nil {
		for _, b := range c.out.pending(nil, 1<<30) {
			size += len(b)
		}
		held := 0
		for _, m := range c.out.backlog.messages[c.out.backlog.head:] {
			held += len(m.frame.B)
		}
		if c.out.total() == 0 || size != c.out.size || held != c.out.backlog.size {
			w.failf("an outbox counts %d and %d bytes and holds %d and %d", c.out.size, c.out.backlog.size, size, held)
		}
		size += held
		counted += size - c.out.answer
	}
	watching := c.flags&flagWatching != 0
	switch {
	case c.phase == phaseDoomed && slices.Contains(c.loop.doomed, c):
		return // its turn will come
	case c.phase >= phaseDoomed:
		w.failf("a connection of phase %d is still listed", c.phase)
	case c.Buffered() != counted:
		w.failf("%d bytes are counted of %d that are queued and %d in the inbox", c.Buffered(), size, inbox)
	case size > 0 && !watching && c.flags&flagDirty == 0:
		w.failf("%d bytes wait for nothing", size)
	case watching && c.out.size == 0:
		w.failf("a watch without anything to write")
	case c.phase == phaseDraining && size == 0 && c.flags&flagFinSent == 0 && c.flags&flagDirty == 0:
		w.failf("an ending connection has written everything, but does not end its half")
	case c.in != nil && c.phase == phaseDraining:
		w.failf("a connection that listens no more holds input")
	case c.in != nil && c.phase != phaseHandshake && c.in.decoder.Idle() && c.in.rest == nil:
		w.failf("a connection between messages holds a decoder")
	case c.armed() != (c.phase != phaseOpen || c.in != nil && !c.isPaused() || watching) && c.flags&flagResume == 0:
		w.failf("phase %d, a deadline: %t", c.phase, c.armed())
	case c.flags&flagFullPause != 0 && !watching && c.flags&flagDirty == 0:
		w.failf("reading is paused, and nothing will resume it")
	case c.flags&flagResume != 0 && c.flags&flagDirty == 0:
		w.failf("reading is to go on, and nothing will see to it")
	case c.in != nil && c.in.rest != nil && c.flags&(anyPause|flagResume) == 0:
		w.failf("frames are kept back, and reading is not paused")
	case c.flags&flagHigh != 0 && c.flags&flagDirty == 0 && c.phase == phaseOpen && c.Buffered() <= c.id.LowWater:
		w.failf("a queue is low, and OnDrain was not called")
	case (c.armed() || c.beat != 0 || c.isLimited()) && c.flags&flagTimed == 0:
		w.failf("a deadline that no timer stands for")
	case (c.phase == phaseOpen || c.phase == phaseHandshake) && c.end() != nil:
		w.failf("phase %d with an end: %+v", c.phase, c.end())
	}
	w.checkSpan(c)
}

// checkSpan checks that phases that must end do.
func (w *simWorld) checkSpan(c *Conn) {
	handshake, limit := c.phase == phaseHandshake, w.cfg.CloseTimeout
	queued := 0
	switch {
	case handshake:
		limit = w.cfg.HandshakeTimeout
	case c.farewell().watched():
		if queued = untakenBy(c); queued > 0 { // as long as the peer takes some of it
			limit = max(limit, w.cfg.StallTimeout)
		}
		limit += w.cfg.CloseTimeout / looksPerClose
	}
	span, known := w.since[c]
	if c.phase == phaseOpen || known && (span.handshake != handshake || span.queued != queued) {
		delete(w.since, c)
		known = false
	}
	if c.phase == phaseOpen {
		return
	}
	if !known {
		w.since[c] = simSpan{handshake, queued, w.sim.Now(), w.sim.Stalled()}
		return
	}
	if took := w.sim.Now() - span.from; took > limit+simSlack+w.sim.Stalled()-span.stalled {
		w.failf("phase %d has lasted for %v, the limit is %v", c.phase, took, limit)
	}
}

// untakenBy is Conn.untaken, outside of the loop's turns.
func untakenBy(c *Conn) int {
	n := c.ref.(*simwire.Socket).Unsent()
	if c.out != nil {
		n += c.out.total()
	}
	return n
}

// checkDrain checks that a shutdown ends.
func (w *simWorld) checkDrain() {
	if !w.draining || w.sim.Steps()%64 != 0 {
		return
	}
	took := w.sim.Now() - w.drainedAt - (w.sim.Stalled() - w.drainedIdle)
	// Someone may be accepted at any time, and refused.
	if w.over && took > 2*w.cfg.CloseTimeout+w.cfg.HandshakeTimeout+10*time.Second && w.srv.Connections() > w.slowLeavers() {
		w.failf("%d connections are open %v after the shutdown began", w.srv.Connections(), took)
	}
}

// slowLeavers is how many connections are given more time, because their peers still
// take what they were sent before; checkSpan sees that they do.
func (w *simWorld) slowLeavers() (n int) {
	for _, l := range w.srv.loops {
		for c := range l.conns.all {
			if c.farewell().watched() && (untakenBy(c) > 0 || w.takesLeave(c)) {
				n++
			}
		}
	}
	return n
}

// takesLeave says whether a peer that has taken everything is within its time.
func (w *simWorld) takesLeave(c *Conn) bool {
	span, known := w.since[c]
	return !known || w.busyTime()-(span.from-span.stalled) <= w.cfg.CloseTimeout+w.cfg.CloseTimeout/looksPerClose+simSlack
}

// judge looks at everything after the end.
func (w *simWorld) judge() {
	if n := w.srv.Connections(); n != 0 {
		w.failf("%d connections are counted after the end", n)
	}
	if n := w.srv.places.Load(); n != 0 {
		w.failf("%d places are taken after the end", n)
	}
	if n := w.sim.OpenSockets(); n != 0 {
		w.failf("%d sockets are open after the end", n)
	}
	for _, l := range w.srv.loops {
		w.judgeLoop(l)
	}
	w.judgeStats(w.srv.Stats())
	if !w.cut {
		select {
		case <-w.srv.drained:
		default:
			w.failf("the shutdown does not know that all have ended")
		}
	}
	for _, l := range w.lives {
		l.judge()
	}
}

// judgeStats checks that everything was counted once.
func (w *simWorld) judgeStats(got Stats) {
	var decided, ended uint64
	for _, n := range got.Handshakes {
		decided += n
	}
	for _, n := range got.Closes {
		ended += n
	}
	opened := 0
	for _, l := range w.lives {
		if l.conn != nil {
			opened++
		}
	}
	switch granted := got.Handshakes[OutcomeGranted]; {
	case got.Accepted != decided:
		w.failf("%d connections were accepted, and %d handshakes counted: %v", got.Accepted, decided, got.Handshakes)
	case granted != uint64(opened) || granted != ended:
		w.failf("%d connections were opened, %d handshakes granted, and %d ends counted: %v", opened, granted, ended, got.Closes)
	case got.Connections != 0 || got.WebSockets != 0 || got.QueueBytes != 0:
		w.failf("after the end there are %d connections, %d of them open, and %d bytes wait", got.Connections, got.WebSockets, got.QueueBytes)
	}
}

func (w *simWorld) judgeLoop(l *loop) {
	if l.mem.lent != 0 {
		w.failf("%d buffers of the loop were not given back", l.mem.lent)
	}
	seen := make(map[*byte]bool)
	for _, class := range l.mem.free {
		for _, b := range class {
			if seen[unsafe.SliceData(b)] {
				w.failf("a buffer of %d bytes was given back twice", cap(b))
			}
			seen[unsafe.SliceData(b)] = true
		}
	}
	for _, it := range append(l.inbox.items[:cap(l.inbox.items):cap(l.inbox.items)], l.inbox.spare[:cap(l.inbox.spare)]...) {
		if (it.conn != nil || it.frame != nil || it.run != nil) && !w.cut {
			w.failf("the inbox holds on to something: %+v", it)
		}
	}
	for _, in := range l.inbounds {
		if !in.decoder.Idle() || in.head != nil {
			w.failf("a free inbound holds something")
		}
	}
	for _, o := range l.outboxes {
		if o.total() != 0 || o.backlog.len() != 0 || o.head != 0 || o.sent != 0 || len(o.segments) != 0 {
			w.failf("a free outbox holds something: %+v", o)
		}
	}
	if l.conns.len != 0 {
		w.failf("%d connections are listed after the end", l.conns.len)
	}
	if !w.cut && (l.wheel.entries != 0 || w.sim.Ticking()) {
		w.failf("%d timers are left, ticking %t", l.wheel.entries, w.sim.Ticking())
	}
}
