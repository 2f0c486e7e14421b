package engine

import (
	"net/netip"
	"sync/atomic"
)

// extras is what only some connections need, so that the others don't pay for
// it: one in a hundred thousand is at its end, one endpoint in ten compresses.
type extras struct {
	// immutable after the handshake
	client *netip.Addr // where it is not the peer: for whom a trusted proxy speaks

	// loop-only
	end     *farewell  // once it has begun
	deflate *deflation // when permessage-deflate was agreed on
	limit   uint32     // tick at which the limits are looked at; 0: never
	oldest  uint32     // tick at which the connection reaches its maximum age
	talked  uint32     // tick of the last message, with Endpoint.IdleTimeout

	companions *companions

	meters   *meters // with Endpoint.MaxMessageRate or MaxByteRate
	owed     bool    // companions have to hear that the socket is writable
	nameless bool    // the peer is a proxy that doesn't know for whom it speaks

	// any goroutine
	dropped atomic.Uint32
	jobs    atomic.Pointer[jobs] // with Endpoint.Workers, once OnOpen has returned
}

// isPlain says that nothing of what extras are for concerns this connection: no rates,
// idle timeout, compression, workers. Safe from any goroutine.
func (c *Conn) isPlain() bool { return c.more.Load() == nil }

// extra gives the connection's extras, made when they are first needed. Safe from
// any goroutine.
func (c *Conn) extra() *extras {
	if x := c.more.Load(); x != nil {
		return x
	}
	c.more.CompareAndSwap(nil, new(extras))
	return c.more.Load()
}

// end is how the connection ends, nil before that has begun.
func (c *Conn) end() *CloseInfo {
	if e := c.farewell(); e != nil {
		return &e.CloseInfo
	}
	return nil
}

// farewell is end with what belongs to it.
func (c *Conn) farewell() *farewell {
	if x := c.more.Load(); x != nil {
		return x.end
	}
	return nil
}

// setEnd begins the end, behind so many bytes that the peer has not got and shall get.
func (c *Conn) setEnd(info CloseInfo, left int) {
	c.extra().end = &farewell{CloseInfo: info, left: left}
}
