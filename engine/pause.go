package engine

import "github.com/headrace/headrace/codec"

// Back-pressure. A peer that sends without reading what it gets must not make the
// server hold its answers: while more than highWater waits for it, it is not read
// from. The frames of the read in progress that the handler has not seen are
// kept, at most one read's worth, and come first when the peer has taken enough.

// highWater is how much may wait for a connection that is read from: half of
// MaxQueue, or less, so that an echo of the longest message still fits.
func (e *endpoint) highWater() int {
	room := int64(e.MaxQueue) - e.MaxMessage - codec.MaxHeaderSize
	return int(max(0, min(room, int64(e.MaxQueue/2))))
}

// isFull says whether so much waits that the peer must take some of it before it
// is heard further. ahead is how many bytes of this read are left: when answers
// to them might not fit beside those of this turn, these are written first.
func (c *Conn) isFull(ahead int) bool {
	if c.phase != phaseOpen || c.out == nil {
		return false
	}
	if c.flags&flagWatching == 0 {
		if c.out.size+ahead < c.id.MaxQueue/2 {
			return false
		}
		c.flush()
	}
	return c.phase == phaseOpen && c.out != nil && c.out.size > c.id.highWater()
}

// pause stops reading and keeps p, what is left of this read. It says whether
// reading can be stopped.
func (c *Conn) pause(p []byte) bool {
	if c.flags&flagPaused == 0 && c.loop.wire.PauseRead(c.socket()) != nil {
		return false
	}
	c.flags |= flagPaused
	if c.in == nil {
		c.keepScratch()
	}
	c.in.rest = c.loop.mem.appendTo(c.in.rest, p)
	return true
}

// resume reads on after pause, if enough has been taken, or if the connection is
// about to end. It calls the handler.
func (c *Conn) resume() {
	if c.flags&flagPaused == 0 || c.phase >= phaseDoomed {
		return
	}
	if c.phase == phaseOpen && c.out != nil && c.out.size > c.id.highWater()/2 {
		return
	}
	c.flags &^= flagPaused
	var rest []byte
	if c.in != nil {
		rest, c.in.rest = c.in.rest, nil
	}
	if len(rest) > 0 {
		if c.listens() {
			c.decode(rest)
		}
		c.loop.mem.Put(rest)
	}
	if c.flags&flagPaused == 0 && c.phase < phaseDoomed {
		if err := c.loop.wire.ResumeRead(c.socket()); err != nil {
			c.hangUp(err)
		}
	}
}
