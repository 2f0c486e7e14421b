package engine

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/valyala/bytebufferpool"

	"github.com/headrace/headrace/codec"
)

// reply is Reply for every kind of frame. Loop-only.
func (c *Conn) reply(op codec.Opcode, p []byte) error {
	c.loop.drainInbox() // what Send has accepted before goes before
	if c.phase != phaseOpen {
		return ErrClosed
	}
	n := c.frameSize(len(p))
	if c.out != nil && (c.out.size >= maxCorked || c.out.total()+n > c.id.MaxQueue || len(p) >= alwaysThrough) {
		c.flush() // what is corked may leave early; what the kernel doesn't take counts
		c.makeRoom(n)
	}
	if err := c.reserve(n); err != nil {
		return err
	}
	switch {
	case c.passes(op, p):
		c.writeThrough(op, p)
		return nil
	case op.IsData() && c.holdsBack(0):
		b := c.loop.mem.getFrame()
		b.B = c.appendFrame(b.B, op, p)
		c.out.backlog.add(&c.loop.mem, waiting{frame: b})
	default:
		c.commit(op, p)
	}
	c.markDirty()
	return nil
}

// replyPlain takes the commonest reply in one look: a message of a plain connection that
// fits behind what else this turn has for it. All else it leaves to reply.
func (c *Conn) replyPlain(op codec.Opcode, p []byte) bool {
	l, o := c.loop, c.out
	if c.phase != phaseOpen || len(p) >= throughSize || c.masks() || c.id.WhenFull != CloseSlow ||
		l.inbox.count.Load() > 0 || o != nil && (o.size >= maxCorked || o.backlog.len() > 0) {
		return false
	}
	if c.intake.reserve(codec.HeaderSize(int64(len(p)), false)+len(p), c.id.MaxQueue) != nil {
		return false
	}
	l.stats.sent.Messages++
	c.outbox().addPlain(&l.mem, op, p)
	c.markDirty()
	return true
}

// masks says whether our frames are masked: those of a client are (RFC 6455 §5.3).
func (c *Conn) masks() bool { return c.id.rules.Side == codec.Client }

// frameSize is how many bytes a frame with a payload of n bytes takes in the queue.
func (c *Conn) frameSize(n int) int { return codec.HeaderSize(int64(n), c.masks()) + n }

// appendFrame appends a frame. It does not retain p. Safe from any goroutine.
func (c *Conn) appendFrame(dst []byte, op codec.Opcode, p []byte) []byte {
	if c.masks() {
		return codec.AppendMaskedFrame(dst, op, newMask(), p)
	}
	return codec.AppendFrame(dst, op, p)
}

// newMask gives a masking key that no peer can predict.
func newMask() (key [4]byte) {
	binary.LittleEndian.PutUint32(key[:], rand.Uint32()) // ChaCha8, with a seed of the system's
	return key
}

// header gives the header of a frame, but for its length.
func (c *Conn) header(op codec.Opcode) codec.Header {
	h := codec.Header{Fin: true, Op: op}
	if c.masks() {
		h.Masked, h.Mask = true, newMask()
	}
	return h
}

// commit queues a frame whose bytes were reserved, compressed where that was
// agreed on and helps. Loop-only.
func (c *Conn) commit(op codec.Opcode, p []byte) {
	if op.IsData() {
		c.loop.stats.sent.Messages++
		c.touch()
	}
	if !c.masks() && !c.compresses(p) {
		c.outbox().addPlain(&c.loop.mem, op, p)
		return
	}
	h := c.header(op)
	if op.IsData() {
		if z := c.deflate(p); z != nil {
			c.release(c.frameSize(len(p)) - c.frameSize(len(z)))
			h.RSV, p = codec.RSV1, z
		}
	}
	c.outbox().addFrame(&c.loop.mem, h, p)
}

// commitFrame is commit for a frame that a sender has encoded. It takes ownership
// of b. Loop-only.
func (c *Conn) commitFrame(b *bytebufferpool.ByteBuffer) {
	if isData(b.B) {
		if h, n, _ := codec.ParseHeader(b.B); c.compresses(b.B[n:]) {
			if h.Masked {
				codec.Mask(b.B[n:], h.Mask, 0)
			}
			c.commit(h.Op, b.B[n:])
			c.loop.mem.putFrame(b)
			return
		}
		c.loop.stats.sent.Messages++
		c.touch()
	}
	c.outbox().link(&c.loop.mem, b)
}

// addFrame queues a frame that no limit holds back. Loop-only.
func (c *Conn) addFrame(op codec.Opcode, p []byte) {
	c.intake.add(c.frameSize(len(p)))
	c.outbox().addFrame(&c.loop.mem, c.header(op), p)
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

// flushDirty is flush for a connection that markDirty has named, and what follows
// from it; that may call the handler. The connection may stand in the loop's list
// still, and is then passed over there.
func (c *Conn) flushDirty() {
	if c.flags&flagDirty != 0 {
		c.flags &^= flagDirty
		c.flush()
		c.trim()
		c.countQueue()
		c.resume()
		c.noteLow()
		c.rouse()
		c.tellWritable()
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
		c.commitNext()
		if c.releaseOutbox() { // all that waited has come too late
			break
		}
		n, short, err := c.writeSome()
		if err == nil && short {
			err = c.awaitWritable()
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

// awaitWritable has the rest of the queue wait until the socket takes bytes again.
func (c *Conn) awaitWritable() error {
	c.flags |= flagWatching
	return c.loop.wire.WatchWritable(c.socket())
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
	l.stats.sent.Bytes += uint64(n)
	answer := min(n, c.out.answer)
	c.out.answer -= answer
	c.out.advance(&l.mem, n)
	c.release(n - answer)
	c.releaseOutbox()
	return n, n < given, err
}

// releaseOutbox gives an empty outbox back, and says whether it was empty.
func (c *Conn) releaseOutbox() bool {
	if c.out.total() > 0 {
		return false
	}
	c.loop.freeOutbox(c.out)
	c.out = nil
	return true
}

// dropOutbox lets go of what can't be sent any more.
func (c *Conn) dropOutbox() {
	if c.out != nil {
		c.release(c.out.total() - c.out.answer)
		c.loop.freeOutbox(c.out)
		c.out = nil
	}
}
