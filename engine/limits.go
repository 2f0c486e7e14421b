package engine

import "time"

// Limits in time that an endpoint may set for its connections: how old they get,
// and how long they may be without a message. Both are looked at at one tick of
// the timing wheel, extras.limit.

// startLimits is called when the connection opens.
func (c *Conn) startLimits() {
	ep := c.id
	if ep.MaxAge == 0 && ep.IdleTimeout == 0 {
		return
	}
	x := c.extra()
	if ep.MaxAge > 0 {
		x.oldest = c.loop.tickAfter(ep.MaxAge - c.loop.server.random(ep.MaxAge/ageJitter+1))
	}
	x.talked = c.loop.tickNow()
	c.setLimit()
}

// ageJitter is the part of MaxAge by which connections end earlier, at random, so
// that those that were made together don't come back together.
const ageJitter = 10

// touch notes that a message has come or goes.
func (c *Conn) touch() {
	if c.id.IdleTimeout > 0 {
		c.noteTalk()
	}
}

func (c *Conn) noteTalk() {
	if c.isLimited() {
		c.more.Load().talked = c.loop.tickNow() // the wheel's own time is old after a turn that took long
	}
}

// setLimit has limitReached called at the earlier of the two.
func (c *Conn) setLimit() {
	x, w := c.more.Load(), &c.loop.wheel
	x.limit = x.oldest
	if c.id.IdleTimeout > 0 {
		x.limit = x.idleAt(c.id)
		if c.id.MaxAge > 0 && int32(x.oldest-x.limit) < 0 {
			x.limit = x.oldest
		}
	}
	x.limit = max(1, x.limit)
	w.cover(c, x.limit)
}

// idleAt gives the tick at which the connection has been idle for long enough.
func (x *extras) idleAt(ep *identity) uint32 { return x.talked + ticks(ep.IdleTimeout) + 1 }

// isLimited says whether the limits are to be looked at.
func (c *Conn) isLimited() bool {
	x := c.more.Load()
	return x != nil && x.limit != 0
}

// stopLimits has nothing called.
func (c *Conn) stopLimits() {
	if x := c.more.Load(); x != nil {
		x.limit = 0
	}
}

// limitIn gives how many ticks from now the limits are to be looked at.
func (c *Conn) limitIn(now uint32) (in int32, ok bool) {
	if !c.isLimited() {
		return 0, false
	}
	return int32(c.more.Load().limit - now), true
}

// limitReached is called at that tick.
func (c *Conn) limitReached(now uint32) {
	c.loop.drainInbox() // what was accepted for sending counts, and goes before the Close frame
	c.more.Load().limit = 0
	if c.phase != phaseOpen {
		return
	}
	switch x := c.more.Load(); {
	case c.id.MaxAge > 0 && int32(x.oldest-now) <= 0:
		c.fail(ErrMaxAge)
	case c.id.IdleTimeout > 0 && int32(x.idleAt(c.id)-now) <= 0:
		c.fail(ErrIdle)
	default:
		c.setLimit()
	}
}

// maxLimit bounds IdleTimeout and MaxAge: ticks are compared in 32 bits.
const maxLimit = 365 * 24 * time.Hour
