package engine

import "sync/atomic"

// FullPolicy says what becomes of a message when the queue of its connection is
// full: more than Endpoint.MaxQueue waits for a peer that reads too slowly.
type FullPolicy uint8

const (
	// CloseSlow closes the connection with 1013: nothing is ever missing in the
	// middle.
	CloseSlow FullPolicy = iota
	// DropNewest drops the message; Reply and Send return ErrDropped.
	DropNewest
	// DropOldest drops the messages that have waited longest, whole, until the
	// rest fits. What has begun to leave is not dropped.
	DropOldest
	// AskHandler has the handler's OnFull choose one of the others, once for each
	// turn in which the queue is full.
	AskHandler
)

// FullHandler is an extension of Handler that Endpoint.WhenFull needs when it is
// AskHandler.
type FullHandler interface {
	// OnFull is called when more than MaxQueue waits, and says what to do:
	// CloseSlow; DropOldest; or DropNewest, which drops from the end of the queue
	// until the rest fits. It may send, close, or note that the peer is slow. It
	// runs on the loop even with Endpoint.Workers, maybe during another callback.
	OnFull(c *Conn) FullPolicy
}

// DrainHandler is an optional extension of Handler.
type DrainHandler interface {
	// OnDrain is called when no more than Endpoint.LowWater waits for the peer,
	// after more than Endpoint.HighWater had: whoever held back may go on.
	OnDrain(c *Conn)
}

// keepsMessages says whether messages must stay whole while they wait, so that
// some can be dropped.
func (p FullPolicy) keepsMessages() bool { return p == DropOldest || p == AskHandler }

// drops counts the messages that were accepted or offered for sending and dropped.
type drops struct{ newest, oldest, late atomic.Uint64 }

// drop lets go of a message that was accepted, and counts it.
func (c *Conn) drop(m waiting, reason *atomic.Uint64) {
	c.release(len(m.frame.B))
	c.loop.mem.putFrame(m.frame)
	c.countDrop(reason)
}

// countDrop is safe from any goroutine.
func (c *Conn) countDrop(reason *atomic.Uint64) {
	reason.Add(1)
	c.extra().dropped.Add(1)
}

// limit is how many bytes are accepted. Where messages can be dropped later, more
// are accepted for a moment: other goroutines may be ahead of the loop, and it is
// the loop that knows which ones to drop.
func (e *endpoint) limit() int {
	if e.WhenFull.keepsMessages() {
		return min(2*e.MaxQueue, maxMaxQueue)
	}
	return e.MaxQueue
}

// reserve takes n bytes of the queue's limit, or says why not. It is safe from
// any goroutine.
func (c *Conn) reserve(n int) error {
	limit := c.id.limit()
	if c.id.WhenFull.keepsMessages() { // a long message must not find too little room for ever
		limit = min(limit+n, maxMaxQueue)
	}
	err := c.intake.reserve(n, limit)
	switch {
	case err != ErrSlowPeer: //nolint:errorlint // it comes from the line above
		return err
	case c.id.WhenFull == CloseSlow:
		c.overflow()
		return err
	default:
		c.countDrop(&c.loop.server.drops.newest)
		return ErrDropped
	}
}

// overflow ends a connection whose queue has no room for a message. It is safe
// from any goroutine.
func (c *Conn) overflow() {
	if c.intake.close() {
		c.loop.push(item{run: func(*loop) { c.fail(ErrSlowPeer) }})
	}
}

// trim applies the policy to a queue that is full when the turn has written what
// the kernel takes. It may call the handler.
func (c *Conn) trim() {
	if !c.overfull() {
		return
	}
	policy := c.id.WhenFull
	if policy == AskHandler {
		policy = c.callFull()
		c.loop.drainInbox() // what others have sent, or a Close, goes before what follows
	}
	for c.overfull() && c.out.backlog.len() > 1 { // the queue may have changed while the handler was asked
		switch b := &c.out.backlog; policy {
		case DropOldest:
			c.dropOldest()
		case DropNewest:
			c.drop(b.takeNewest(), &c.loop.server.drops.newest)
		default: // CloseSlow, and what OnFull must not answer
			c.fail(ErrSlowPeer)
		}
	}
}

// makeRoom applies DropOldest before a message of n bytes is queued. Loop-only.
func (c *Conn) makeRoom(n int) {
	for c.id.WhenFull == DropOldest && c.out != nil && c.out.backlog.len() > 0 && c.out.total()+n > c.id.MaxQueue {
		c.dropOldest()
	}
}

func (c *Conn) dropOldest() { c.drop(c.out.backlog.takeOldest(), &c.loop.server.drops.oldest) }

// overfull says whether messages wait beyond MaxQueue that may be dropped. One
// alone may be as long as it is.
func (c *Conn) overfull() bool {
	return c.phase == phaseOpen && c.out != nil && c.out.backlog.len() > 1 &&
		c.out.total()+c.out.backlog.len()*waitingCost > c.id.MaxQueue
}

// release counts n bytes out of the queue, and remembers when more than HighWater
// were in it. Senders add at any time, but only this takes away, so the most that one
// of them has seen is seen here. Loop-only.
func (c *Conn) release(n int) {
	if left := c.intake.add(-n); c.id != nil && left+n > c.id.HighWater {
		c.flags |= flagHigh
	}
}

// noteLow calls OnDrain when such a queue has come down to the low water mark.
func (c *Conn) noteLow() {
	if c.flags&flagHigh != 0 && c.phase == phaseOpen && c.intake.bytes() <= c.id.LowWater {
		c.flags &^= flagHigh
		c.callDrain()
	}
}
