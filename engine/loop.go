package engine

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/wire"
)

// loop is the engine's side of one event loop: the connections on it and what
// they share. It implements wire.Handler. Its life is a sequence of turns; a
// turn begins with something that the wire reports, runs the callbacks that
// follow from it, and ends with the writes.
type loop struct {
	// immutable
	server *Server
	wire   wire.Loop

	// loop-only
	mem       memory
	conns     roster
	dirty     []*Conn // those with something to write, in order, from dirtyHead on
	dirtyHead int
	doomed    []*Conn // those to be cut when the callbacks of this turn are done
	reading   *Conn   // whose bytes are being decoded
	ahead     int     // of those, how many stand behind the message being handled
	passed    bool    // a reply was written before the end of this turn
	turning   bool    // between enter and leave
	wheel     wheel
	flate     deflaters
	scratch   *inbound   // the decoder that whole frames go through
	inbounds  []*inbound // free ones
	outboxes  []*outbox  // free ones
	bursts    []*Burst   // free ones
	pieces    []*piece   // free ones
	works     []*Work    // asked for
	written   []func()   // to call at the end of the turn
	request   Request    // the handshake being decided
	upgrade   upgrade    // what grants it
	bufs      [][]byte   // scratch of flush
	header    []byte     // scratch of writeThrough
	draining  bool       // the server shuts down: no new connections
	leaving   leaving    // those that the shutdown has to close yet
	controls  controls   // how fast control frames come
	time      int64      // see turnTime; 0: not looked up in this turn
	stats     loopStats

	// any goroutine
	inbox       inbox
	awake       atomic.Bool // a turn is running and will look into the inbox before it ends
	wakePending atomic.Bool // a Woken call will come
	public      published
	end         loopEnd
	ledger      ledger
}

// inbound is what a connection holds while its handshake or a frame of it is
// cut by a read, or while it is paused. Connections between messages hold none.
type inbound struct {
	decoder codec.Decoder
	head    []byte // the request so far, from the loop's memory
	rest    []byte // frames that came before reading was paused, from the loop's memory
	line    int    // where in head the first line begins that is not complete
}

const (
	maxFreeInbounds = 1024
	maxFreeOutboxes = 1024
	settlePerTurn   = 256       // connections written or cut in a turn, so that a broadcast does not hold up the loop
	settlePerEvent  = 16        // the same in a turn that a connection's event has begun
	maxCorked       = 256 << 10 // a turn's replies to one connection are written early from here on
	iovPerWrite     = 64
)

func newLoop(s *Server, w wire.Loop) *loop {
	l := &loop{server: s, wire: w, scratch: new(inbound), ledger: newLedger(), controls: newControls()}
	l.mem.poison = s.poison
	return l
}

// Opened implements wire.Handler.
func (l *loop) Opened(s wire.Socket, listener int, remote net.Addr) wire.Owner {
	l.enter()
	c := l.newConn(s, remote)
	switch bad := c.letIn(listener); {
	case bad == nil:
		l.setDeadline(c, l.server.cfg.HandshakeTimeout)
	case !l.draining && l.server.open.Load()-l.server.places.Load() > l.server.maxRefused:
		c.hangUp(nil) // a flood: there are no descriptors left for answers
	default:
		c.refuse(bad)
	}
	l.leave(c)
	if c.phase == phaseEnded {
		return nil
	}
	return (*owner)(c)
}

// newConn counts a connection in, accepted or adopted.
func (l *loop) newConn(s wire.Socket, remote net.Addr) *Conn {
	c := &Conn{loop: l, ref: s.Ref, fd: s.FD, remote: remote}
	l.conns.add(c)
	l.server.open.Add(1)
	l.noteAccept()
	return c
}

// Woken implements wire.Handler.
func (l *loop) Woken() {
	l.wakePending.Store(false)
	l.enter()
	l.drainInbox()
	l.goOn()
	l.doWorks()
	l.leave(nil)
}

// Tick implements wire.Handler.
func (l *loop) Tick(late time.Duration) {
	l.enter()
	l.noteLag(late)
	l.closeDue()
	l.tick()
	l.leave(nil)
}

// enter begins a turn.
func (l *loop) enter() {
	l.turning, l.passed = true, false
	l.time = 0
	l.awake.Store(true)
}

// leave ends a turn that began with an event of c, or with none: what the
// callbacks and other goroutines have queued is written, c's first, and
// connections that broke are cut. A turn of a connection leaves most of a
// backlog to turns of their own, because more connections may be waiting to be
// read.
func (l *loop) leave(c *Conn) {
	l.drainInbox()
	if c != nil {
		c.flushDirty()
		l.settle(settlePerEvent)
	} else {
		l.settle(settlePerTurn)
	}
	if len(l.written) > 0 {
		l.tellWritten()
	}
	l.publish()
	l.turning = false
	l.awake.Store(false)
	// A producer that saw awake true counts on this look.
	more := !l.settled() || l.inbox.count.Load() > 0 || len(l.flate.later) > 0 || len(l.works) > 0
	if more && l.wakePending.CompareAndSwap(false, true) {
		l.wire.WakeLater()
	}
}

// settle writes what is queued, connection by connection, and cuts those that
// broke, which calls OnClose, which may queue more. It stops after so many of
// them; the rest waits for another turn.
func (l *loop) settle(budget int) {
	for ; budget > 0 && !l.settled(); budget-- {
		if len(l.doomed) > 0 {
			l.cutOne()
			continue
		}
		l.nextDirty().flushDirty()
	}
}

// nextDirty takes the first connection that has something to write.
func (l *loop) nextDirty() *Conn {
	c := l.dirty[l.dirtyHead]
	l.dirty[l.dirtyHead] = nil
	l.dirtyHead++
	switch {
	case l.dirtyHead == len(l.dirty):
		l.dirty, l.dirtyHead = l.dirty[:0], 0
	case l.dirtyHead > 1024 && l.dirtyHead > len(l.dirty)/2: // a backlog that never ends must not grow the slice
		rest := copy(l.dirty, l.dirty[l.dirtyHead:])
		clear(l.dirty[rest:])
		l.dirty, l.dirtyHead = l.dirty[:rest], 0
	}
	return c
}

// settled says that nothing waits to be written or cut.
func (l *loop) settled() bool { return len(l.dirty) == 0 && len(l.doomed) == 0 }

// cutOne ends a connection that broke. It is the only place where the engine
// closes a socket, so that OnClose never runs inside another callback.
func (l *loop) cutOne() {
	last := len(l.doomed) - 1
	c := l.doomed[last]
	l.doomed[last] = nil
	l.doomed = l.doomed[:last]
	if c.phase == phaseDoomed { // else the wire has been faster
		l.wire.Close(c.socket())
		c.closed(nil) // if the wire has not said so: the socket had no owner yet
	}
}

// forget takes an ended connection out of the loop's roster.
func (l *loop) forget(c *Conn) {
	l.conns.remove(c)
	c.leaveClient()
	l.server.connEnded(c.flags&flagPlace != 0)
}

// newInbound gives an empty inbound.
func (l *loop) newInbound() *inbound {
	if n := len(l.inbounds); n > 0 {
		in := l.inbounds[n-1]
		l.inbounds = l.inbounds[:n-1]
		return in
	}
	return new(inbound)
}

// freeInbound takes an inbound back, with all that it holds.
func (l *loop) freeInbound(in *inbound) {
	in.decoder.Reset(&l.mem)
	if in.head != nil {
		l.mem.Put(in.head)
	}
	if in.rest != nil {
		l.mem.Put(in.rest)
	}
	in.head, in.rest, in.line = nil, nil, 0
	if len(l.inbounds) < maxFreeInbounds {
		l.inbounds = append(l.inbounds, in)
	}
}

// newOutbox gives an empty outbox.
func (l *loop) newOutbox() *outbox {
	if n := len(l.outboxes); n > 0 {
		o := l.outboxes[n-1]
		l.outboxes = l.outboxes[:n-1]
		return o
	}
	return new(outbox)
}

// freeOutbox takes an outbox back, with all that it holds.
func (l *loop) freeOutbox(o *outbox) {
	l.stats.queued -= o.counted
	o.drop(&l.mem)
	if cap(o.segments) <= iovPerWrite && len(l.outboxes) < maxFreeOutboxes {
		l.outboxes = append(l.outboxes, o)
	}
}
