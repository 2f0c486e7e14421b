package engine

// Reading is paused for one of four reasons: too much waits for the peer, the user
// has asked for it, the workers are behind, or the loop has inflated enough for now
// (later.go). The frames of the read in
// progress that the handler has not seen are kept, at most one read's worth, and
// come first when the last reason has gone.
//
// The first is back-pressure. A peer that sends without reading what it gets must
// not make the server hold its answers: while more than HighWater waits for it, it
// is not read from.

// anyPause are the flags that keep a connection from being read.
const anyPause = flagFullPause | flagUserPause | flagWorkPause | flagTurnPause

func (c *Conn) isPaused() bool { return c.flags&anyPause != 0 }

// mustWait says whether the frames of a read, of which ahead bytes are left, must
// wait.
func (c *Conn) mustWait(ahead int) bool {
	c.loop.drainInbox() // PauseRead counts at once in a callback
	if c.isFull(ahead) {
		c.pauseFor(flagFullPause)
	}
	if c.isSpent() {
		c.goOnLater()
	}
	return c.phase == phaseOpen && c.isPaused()
}

// isFull says whether so much waits that the peer must take some of it before it
// is heard further. When answers to what is ahead might not fit beside those of
// this turn, these are written first.
func (c *Conn) isFull(ahead int) bool {
	if c.phase != phaseOpen || c.out == nil {
		return false
	}
	if c.flags&flagWatching == 0 {
		if c.out.total()+ahead < c.id.MaxQueue/2 {
			return false
		}
		c.flush()
	}
	return c.phase == phaseOpen && c.out != nil && c.out.total() > c.id.HighWater
}

// pauseFor stops reading, unless that is impossible, for one more reason.
func (c *Conn) pauseFor(reason connFlags) {
	if c.phase != phaseOpen || !c.isPaused() && c.loop.wire.PauseRead(c.socket()) != nil {
		return
	}
	if !c.isPaused() {
		c.notePause()
	}
	c.flags |= reason
	c.watchProgress()
}

// keepRest keeps what is left of a read while reading is paused.
func (c *Conn) keepRest(p []byte) {
	if c.in == nil {
		c.keepScratch()
	}
	c.in.rest = c.loop.mem.appendTo(c.in.rest, p)
}

// resumeFor takes one reason away. Reading goes on at the end of the turn.
func (c *Conn) resumeFor(reason connFlags) {
	if c.flags&reason != 0 {
		c.flags &^= reason
		c.flags |= flagResume
		c.markDirty()
	}
}

// resume reads on if no reason is left not to, or if the connection is about to
// end. It calls the handler.
func (c *Conn) resume() {
	if c.flags&(anyPause|flagResume) == 0 || c.phase >= phaseDoomed {
		return
	}
	if c.out == nil || c.out.total() <= c.id.LowWater {
		c.flags &^= flagFullPause
	}
	c.flags &^= flagResume
	if c.phase == phaseOpen && c.isPaused() {
		return
	}
	c.flags &^= anyPause
	c.noteResume()
	var rest []byte
	if c.in != nil {
		rest, c.in.rest = c.in.rest, nil
	}
	if len(rest) > 0 {
		if c.listens() {
			c.decode(rest, false)
		}
		c.loop.mem.Put(rest)
	}
	if !c.isPaused() && c.phase < phaseDoomed {
		c.watchProgress()
		if err := c.loop.wire.ResumeRead(c.socket()); err != nil {
			c.hangUp(err)
		}
	}
}
