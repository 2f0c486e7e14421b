package engine

import "github.com/headrace/headrace/codec"

// The journey of a frame:
//
//  1. The wire reads the socket once, into a buffer that the loop's connections
//     share, and calls owner.Arrived: a turn begins (loop.enter).
//  2. arrived takes all bytes. Before the upgrade they go to handshake; what
//     stands behind the request are frames already.
//  3. decode asks codec.Decoder.Next for the next whole message or control
//     frame. A message that arrived whole is unmasked in place and handed on
//     without a copy, through a decoder that all connections of the loop share.
//  4. A frame that the read has cut stays in an inbound, which the connection
//     keeps until the message is complete. An idle connection has none. The rest
//     of a long frame is read to where it belongs (through.go).
//  5. handle calls the handler. Its replies wait in the connection's outbox; a long
//     one is written at once, from where it is (through.go). If too much waits, the
//     peer is not heard further for now (pause.go).
//  6. The turn ends (loop.leave): work of other goroutines is taken in, and each
//     connection with a queue is written once (flush). What the kernel doesn't
//     take stays in the outbox until the socket is writable again.

// arrived handles what one read has brought.
func (c *Conn) arrived(p []byte) {
	c.loop.stats.reads++
	c.loop.stats.received.Bytes += uint64(len(p))
	c.flags |= flagHeard
	if c.phase == phaseHandshake {
		p = c.handshake(p)
	}
	if c.listens() && len(p) > 0 && c.paysBytes(len(p)) {
		c.decode(p, len(p) >= c.loop.server.cfg.ReadBuffer)
	}
}

// hearBehind handles what an adopted connection's stream has brought before it came
// here, behind the other side's handshake.
func (c *Conn) hearBehind(p []byte) {
	c.loop.stats.received.Bytes += uint64(len(p))
	if c.listens() && len(p) > 0 && c.paysBytes(len(p)) {
		c.flags |= flagHeard
		c.decode(p, false)
	}
}

// listens says whether frames of the peer still matter.
func (c *Conn) listens() bool { return c.phase == phaseOpen || c.phase == phaseClosing }

// decode takes frames out of p and handles them. full says that p is about as much as one
// read may bring, so that the socket may have more.
func (c *Conn) decode(p []byte, full bool) {
	l, in := c.loop, c.in
	if in == nil {
		in = l.scratch
	}
	l.reading = c
	for len(p) > 0 && c.listens() {
		if c.mustWait(len(p)) {
			c.keepRest(p)
			in = c.in
			break
		}
		if !c.listens() { // a write has found the socket broken
			break
		}
		ev, n, err := in.decoder.Next(c.rules(), &l.mem, p)
		if err != nil {
			c.failFrame(err)
			break
		}
		p = p[n:]
		l.ahead = len(p)
		c.handle(ev)
	}
	if full {
		c.readOn(in)
	}
	l.reading = nil
	c.keep(in)
}

// failFrame ends the connection for a frame that breaks a rule.
func (c *Conn) failFrame(err error) {
	c.loop.drainInbox() // what was accepted for sending goes before the Close frame
	c.fail(err)
}

// keep decides what becomes of a decoder after a read: it stays with the
// connection while something is cut, and serves others otherwise.
func (c *Conn) keep(in *inbound) {
	in.decoder.Release(&c.loop.mem)
	if !c.listens() {
		in.decoder.Reset(&c.loop.mem)
	}
	switch idle := in.decoder.Idle() && in.rest == nil; {
	case idle && c.in == nil:
		return
	case idle:
		c.dropInbound()
	case c.in == nil:
		c.keepScratch()
	}
	if c.flags&flagWatching == 0 { // else only what the peer takes is progress
		c.watchProgress()
	}
}

// rules are what the frames of the peer are held to.
func (c *Conn) rules() *codec.Rules {
	if c.deflation() != nil {
		return &c.id.deflateRules
	}
	return &c.id.rules
}

// keepScratch makes the loop's shared inbound this connection's own.
func (c *Conn) keepScratch() {
	c.in = c.loop.scratch
	c.loop.scratch = c.loop.newInbound()
}

// handle acts on one event of the decoder.
func (c *Conn) handle(ev codec.Event) {
	switch ev.Op {
	case codec.OpText, codec.OpBinary:
		switch {
		case !c.accepts():
		case c.isPlain():
			c.loop.stats.received.Messages++
			c.onMessage(ev.Op, ev.Payload)
		case c.paysMessage():
			c.message(ev)
		}
	case codec.OpPing:
		if c.accepts() && c.paysControl() && c.pong(ev.Payload) {
			c.callPing(ev.Payload)
		}
	case codec.OpPong:
		asked := c.answered(ev.Payload)
		c.noteRTT()
		if c.accepts() && (asked || c.paysControl()) {
			c.callPong(ev.Payload)
		}
	case codec.OpClose:
		c.peerClosed(ev.Payload)
	case codec.OpContinuation: // nothing is complete yet
	}
}

// pong answers a ping. It is no message, so no policy drops it; that the peer is not
// read from while too much waits for it bounds how many there can be.
func (c *Conn) pong(p []byte) bool {
	if c.id.WhenFull == CloseSlow {
		return c.reply(codec.OpPong, p) == nil
	}
	c.loop.drainInbox()
	if c.phase == phaseOpen {
		c.addFrame(codec.OpPong, p)
	}
	return c.phase == phaseOpen
}

// message gives a message to the handler.
func (c *Conn) message(ev codec.Event) {
	c.touch()
	c.loop.stats.received.Messages++
	if !ev.Compressed {
		c.callMessage(ev.Op, ev.Payload)
		return
	}
	p, err := c.inflate(ev)
	if err != nil {
		c.failFrame(err)
		return
	}
	c.callMessage(ev.Op, p)
	if p != nil {
		c.loop.mem.Put(p)
	}
}

// accepts says whether the handler still wants messages: not after Close, even
// if its Close frame is not queued yet.
func (c *Conn) accepts() bool { return c.phase == phaseOpen && c.intake.open() }
