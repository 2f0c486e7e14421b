package engine

import "runtime/debug"

// Companion is what a library keeps with a connection, beside the connection's
// Handler. Its methods are called on the loop, also with Endpoint.Workers, and must
// not block.
type Companion interface {
	// OnWritable is called when the socket had taken no more, and now everything that
	// waited has left: Conn.Stalled has turned from true to false.
	OnWritable(c *Conn)
	// OnEnd is called once, when the connection has ended, before OnClose.
	OnEnd(c *Conn)
}

// companions is a list, because nearly every connection has one or none.
type companions struct {
	Companion
	next *companions
}

// Attach adds a companion, for the rest of the connection's life. It returns
// ErrClosed when that is over. Loop-only, also with Endpoint.Workers: see Work.
func (c *Conn) Attach(a Companion) error {
	if c.phase == phaseEnded {
		return ErrClosed
	}
	x := c.extra()
	x.companions = &companions{a, x.companions}
	return nil
}

// Detach takes a companion away. Loop-only, also with Endpoint.Workers: see Work.
func (c *Conn) Detach(a Companion) {
	x := c.more.Load()
	if x == nil {
		return
	}
	for at := &x.companions; *at != nil; at = &(*at).next {
		if (*at).Companion == a {
			*at = (*at).next
			return
		}
	}
}

// Stalled says that the socket takes no more for now, so that what is sent has to
// wait. Loop-only, also with Endpoint.Workers: see Work.
func (c *Conn) Stalled() bool { return c.flags&flagWatching != 0 }

// oweWritable notes that a socket is writable again, which its companions hear when all
// that waited has left.
func (c *Conn) oweWritable() {
	if x := c.more.Load(); x != nil && x.companions != nil {
		x.owed = true
	}
}

// tellWritable calls OnWritable when it is owed. What the connection's own callbacks
// send meanwhile goes first.
func (c *Conn) tellWritable() {
	x := c.more.Load()
	if x == nil || !x.owed || c.phase != phaseOpen || c.out != nil || c.flags&flagWatching != 0 {
		return
	}
	x.owed = false
	for a := x.companions; a != nil; a = a.next {
		c.guardCompanion("OnWritable", a.OnWritable)
	}
}

func (c *Conn) tellEnd() {
	x := c.more.Load()
	if x == nil {
		return
	}
	for a := x.companions; a != nil; a = a.next {
		c.guardCompanion("OnEnd", a.OnEnd)
	}
	x.companions = nil
}

// guardCompanion keeps a panic from ending the loop.
func (c *Conn) guardCompanion(callback string, call func(*Conn)) {
	defer func() {
		if p := recover(); p != nil {
			c.loop.server.cfg.Logger.Error("panic in a companion; its connection is closed",
				"callback", callback, "remote", c.remote, "panic", p, "stack", string(debug.Stack()))
			c.fail(&PanicError{Value: p})
		}
	}()
	call(c)
}
