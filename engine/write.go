package engine

import "github.com/headrace/headrace/codec"

// reply is Reply for every kind of frame. Loop-only.
func (c *Conn) reply(op codec.Opcode, p []byte) error {
	c.loop.drainInbox() // what Send has accepted before goes before
	if c.phase != phaseOpen {
		return ErrClosed
	}
	n := frameSize(p)
	if c.out != nil && (c.out.size >= maxCorked || c.out.size+n > c.id.MaxQueue) {
		c.flush() // what is corked may leave early; what the kernel doesn't take counts
	}
	if err := c.reserve(n); err != nil {
		return err
	}
	c.outbox().addFrame(&c.loop.mem, op, p)
	c.markDirty()
	return nil
}

// frameSize is how many bytes a frame with this payload takes in the queue.
func frameSize(payload []byte) int {
	return codec.HeaderSize(int64(len(payload)), false) + len(payload)
}

// addFrame queues a frame that no limit holds back. Loop-only.
func (c *Conn) addFrame(op codec.Opcode, p []byte) {
	c.intake.add(frameSize(p))
	c.outbox().addFrame(&c.loop.mem, op, p)
	c.markDirty()
}

// addAnswer queues the answer to the opening handshake. Nothing stands before it.
// Loop-only.
func (c *Conn) addAnswer(p []byte) {
	o := c.outbox()
	o.add(&c.loop.mem, p)
	o.answer += len(p)
	c.markDirty()
}

// outbox gives the connection's queue.
func (c *Conn) outbox() *outbox {
	if c.out == nil {
		c.out = c.loop.newOutbox()
	}
	return c.out
}

// markDirty has flush called at the end of this turn.
func (c *Conn) markDirty() {
	if c.flags&flagDirty == 0 {
		c.flags |= flagDirty
		c.loop.dirty = append(c.loop.dirty, c)
	}
}

// flushDirty is flush for a connection that markDirty has named. It may stand
// in the loop's list still, and is then passed over there.
func (c *Conn) flushDirty() {
	if c.flags&flagDirty != 0 {
		c.flags &^= flagDirty
		c.flush()
		c.resume()
	}
}

// flush writes what is queued, until the kernel takes no more; then a watch on
// the socket calls it again. Behind the last byte of a connection that ends it
// ends our half of the stream.
func (c *Conn) flush() {
	if c.phase >= phaseDoomed {
		return
	}
	for c.out != nil && c.flags&flagWatching == 0 {
		n, short, err := c.writeSome()
		if err == nil && short {
			err = c.loop.wire.WatchWritable(c.socket())
			c.flags |= flagWatching
		}
		if err != nil {
			c.hangUp(err)
			return
		}
		if short || c.armed() && n > 0 {
			c.watchProgress()
		}
	}
	if c.phase == phaseDraining && c.out == nil && c.flags&flagFinSent == 0 {
		c.flags |= flagFinSent
		if err := c.loop.wire.CloseWrite(c.socket()); err != nil {
			c.hangUp(err)
		}
	}
}

// writeSome makes one write(2), and says how much the kernel took, and whether
// that is less than it was given.
func (c *Conn) writeSome() (n int, short bool, err error) {
	l := c.loop
	l.bufs = c.out.pending(l.bufs[:0], iovPerWrite)
	given := 0
	for _, b := range l.bufs {
		given += len(b)
	}
	l.stats.writes++
	if len(l.bufs) == 1 {
		n, err = l.wire.Write(c.socket(), l.bufs[0])
	} else {
		n, err = l.wire.Writev(c.socket(), l.bufs)
	}
	clear(l.bufs)
	answer := min(n, c.out.answer)
	c.out.answer -= answer
	c.out.advance(&l.mem, n)
	c.intake.add(answer - n)
	if c.out.size == 0 {
		l.freeOutbox(c.out)
		c.out = nil
	}
	return n, n < given, err
}
