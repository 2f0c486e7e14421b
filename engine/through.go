package engine

import "github.com/headrace/headrace/codec"

// Large messages are not copied on their way. What is left of a frame that one read has
// not brought whole is read to where it belongs (readOn), and a large reply is written
// at once, from where it is, in place of a copy that waits for the end of the turn
// (writeThrough).

const (
	throughSize   = 8 << 10    // the first reply of a turn that is as long is written at once, when nothing else is to come
	alwaysThrough = 64 << 10   // and each one that is as long as this
	readOnSize    = 32 << 10   // what must be missing of a frame, and have come, for a second read
	maxReadOn     = 1024 << 10 // what that brings at most, because others wait for their turn
)

// passes says whether a reply is to be written at once.
func (c *Conn) passes(op codec.Opcode, p []byte) bool {
	l := c.loop
	if len(p) < throughSize || c.out != nil || c.flags&flagWatching != 0 || c.masks() || !op.IsData() || c.compresses(p) {
		return false
	}
	return len(p) >= alwaysThrough || !l.passed && l.reading == c && l.ahead == 0
}

// writeThrough writes a reply whose bytes were reserved, and queues what the kernel
// doesn't take. Nothing stands before it. It does not retain p.
func (c *Conn) writeThrough(op codec.Opcode, p []byte) {
	l := c.loop
	l.passed = true
	l.stats.sent.Messages++
	c.touch()
	h := c.header(op)
	h.Length = int64(len(p))
	l.header = codec.AppendHeader(l.header[:0], h)
	l.bufs = append(l.bufs[:0], l.header, p)
	l.stats.writes++
	n, err := l.wire.Writev(c.socket(), l.bufs)
	clear(l.bufs)
	given := len(l.header) + len(p)
	if err == nil && n < given {
		o := c.outbox()
		if n < len(l.header) {
			o.add(&l.mem, l.header[n:])
		}
		o.add(&l.mem, p[max(0, n-len(l.header)):])
		err = c.awaitWritable()
		c.watchProgress()
	}
	l.stats.sent.Bytes += uint64(n)
	c.release(n)
	if err != nil {
		if c.out == nil {
			c.release(given - n)
		}
		c.hangUp(err)
		return
	}
	c.markDirty()
}

// readOn reads what is there of a large frame that the loop's buffer was too small for,
// behind what has come of it.
func (c *Conn) readOn(in *inbound) {
	l := c.loop
	missing := in.decoder.Missing()
	if missing < int64(l.server.readOn) || !c.listens() || c.isPaused() {
		return
	}
	n := int(min(int64(l.wire.Waiting(c.socket())), missing, maxReadOn))
	if n < l.server.readOn {
		return
	}
	n, err := l.wire.Read(c.socket(), in.decoder.Room(c.rules(), &l.mem, n))
	if err != nil {
		c.hangUp(err)
		return
	}
	l.stats.reads++
	l.stats.received.Bytes += uint64(n)
	if n == 0 || !c.paysBytes(n) {
		return
	}
	ev, err := in.decoder.Filled(n)
	if err != nil {
		c.failFrame(err)
		return
	}
	c.handle(ev)
}
