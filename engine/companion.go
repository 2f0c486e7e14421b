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

// Stalled says that the socket takes no more for now, so that what is sent has to
// wait. Loop-only, also with Endpoint.Workers: see Work.
func (c *Conn) Stalled() bool { return c.flags&flagWatching != 0 }

// tellWritable calls OnWritable if a socket that is writable again has taken all that
// waited.
func (c *Conn) tellWritable() {
	if x := c.more.Load(); x == nil || x.companions == nil {
		return
	}
	if c.flushDirty(); c.phase != phaseOpen || c.out != nil || c.flags&flagWatching != 0 {
		return
	}
	for a := c.more.Load().companions; a != nil; a = a.next {
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
