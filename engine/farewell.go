package engine

import (
	"time"

	"github.com/headrace/headrace/engine/internal/wire"
)

// An end loses nothing of what a peer that reads is about to get. That the queue is
// empty says little: the kernel takes megabytes for a peer that is slow, and what it
// holds when the socket is closed is lost as soon as the peer sends anything. So where
// something was on its way before the Close frame, the end looks every now and then how
// much of it the peer has not got:
//
//   - nothing: Config.CloseTimeout begins, for the peer's answer;
//   - less than before: the peer reads, and has Config.StallTimeout for more, or
//     CloseTimeout where it is itself the reason for the end, thrice that where it was
//     too slow for its queue: then it is known to read, most likely;
//   - as much as at the beginning: nobody is there, most likely, and the end lasts no
//     longer than CloseTimeout; but in a shutdown, where more waits than the kernel
//     takes, StallTimeout, as before its Close frame.

// farewell is the end of a connection, from its beginning on.
type farewell struct {
	CloseInfo
	left  int    // bytes that the peer had not got at the last look
	since uint32 // the tick of the look that has last seen them become less
	reads bool   // one has
}

// looksPerClose is how often the end looks within Config.CloseTimeout.
const looksPerClose = 4

// slowPatience is how many times CloseTimeout a peer may take nothing whose queue was
// full. The kernel sees in steps how much such a peer reads: TCP announces room in its
// window when there is much of it, which for a few KB a second is every few seconds.
const slowPatience = 3

// untaken is how many bytes the peer has not got: in the queue, and in the kernel.
func (c *Conn) untaken() int {
	n := c.loop.wire.Unsent(c.socket())
	if c.out != nil {
		n += c.out.total()
	}
	return n
}

// watched says whether there was something to lose when the end began.
func (e *farewell) watched() bool { return e != nil && (e.left > 0 || e.reads) }

// setEndDeadline is called when the end begins. One that is watched has its first look
// then.
func (c *Conn) setEndDeadline() {
	timeout := c.loop.server.cfg.CloseTimeout
	if e := c.farewell(); e.watched() {
		e.since = c.loop.tickNow()
		timeout /= looksPerClose
	}
	c.loop.setDeadline(c, timeout)
}

// lingers looks how far the end has come, at its deadline, and says whether it goes on.
func (c *Conn) lingers() bool {
	e, cfg := c.farewell(), &c.loop.server.cfg
	if !e.watched() {
		return false
	}
	now := c.loop.tickNow()
	if left := c.untaken(); left < e.left {
		e.left, e.since, e.reads = left, now, true
	}
	patience := cfg.CloseTimeout
	switch {
	case e.left > 0 && c.mayStall(e):
		patience = max(patience, cfg.StallTimeout)
	case e.left > 0 && e.Err == ErrSlowPeer: //nolint:errorlint // as it stands in the farewell
		patience *= slowPatience
	}
	if waited := time.Duration(now-e.since) * wire.TickInterval; waited < patience {
		c.loop.setDeadline(c, min(cfg.CloseTimeout/looksPerClose, patience-waited))
		return true
	}
	if e.left > 0 {
		c.noteLoss(e)
	}
	return false
}

// mayStall says whether a peer that has not got everything is given StallTimeout.
func (c *Conn) mayStall(e *farewell) bool {
	switch e.Err {
	case ErrShutdown:
		return e.reads || c.out != nil
	case nil, ErrIdle, ErrMaxAge:
		return e.reads
	default:
		return false // too slow, too fast, or against the rules
	}
}

// noteLoss is called when a peer is cut that has not got everything.
func (c *Conn) noteLoss(e *farewell) {
	e.Clean = false                            // nor has it got the Close frame
	if e.Err == ErrShutdown && c.mayStall(e) { // else it had gone before
		c.loop.server.lost.Add(1)
	}
}
