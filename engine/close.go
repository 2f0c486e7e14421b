package engine

import (
	"cmp"
	"errors"
	"io"
	"time"

	"github.com/headrace/headrace/codec"
)

// CloseInfo says how a connection ended.
type CloseInfo struct {
	// Code is the close code: of the peer's Close frame when Remote began the
	// end (1005 when it had none), of ours when Local did, and 1006 when the
	// connection broke without one.
	Code CloseCode
	// Reason is the text that came or went with Code.
	Reason string
	// Initiator says who began.
	Initiator Initiator
	// Clean says that both sides have sent a Close frame: a browser's wasClean.
	Clean bool
	// Err is what went wrong, nil after an end that somebody wanted: a
	// *codec.ProtocolError of the peer, a *PanicError, ErrSlowPeer, ErrStalled,
	// ErrNoPong, ErrIdle, ErrMaxAge, ErrRateLimited, ErrShutdown, ErrCloseTimeout, ErrAborted, io.ErrUnexpectedEOF
	// (the peer hung up), or an error of the network.
	Err error
}

// Initiator says which side began the end of a connection.
type Initiator uint8

// The two sides.
const (
	Local  Initiator = iota + 1 // this side: Close, a limit, a shutdown, the answer to a broken rule
	Remote                      // the peer, or the network
)

// String gives "local" or "remote".
func (i Initiator) String() string {
	if i == Local {
		return "local"
	}
	return "remote"
}

// The end of a connection, in order (RFC 6455 §7):
//
//	phaseOpen      Close, or the peer's Close frame, or an error
//	phaseClosing   our Close frame is queued behind everything accepted before;
//	               the peer's is awaited, and its messages are dropped
//	phaseDraining  both are there, or it is an error: what is queued goes out,
//	               then our half of the stream ends; what the peer still sends is
//	               read and dropped, because closing a socket with unread input
//	               resets it, and a reset can destroy the Close frame on its way
//	phaseDoomed    cut at the end of this turn
//	phaseEnded     OnClose was called
//
// phaseClosing and phaseDraining share one deadline: Config.CloseTimeout, and longer
// while the peer takes what was accepted before (see farewell).

// startClose begins the closing handshake from our side.
func (c *Conn) startClose(info CloseInfo) {
	c.commitAll() // what waits was accepted before
	left := c.untaken()
	info.Reason = c.addClose(info.Code, info.Reason)
	c.setEnd(info, left)
	c.intake.close()
	c.phase = phaseClosing
	c.setEndDeadline()
}

// peerClosed handles the peer's Close frame, whose payload the decoder has
// checked.
func (c *Conn) peerClosed(payload []byte) {
	c.loop.drainInbox() // what was accepted for sending goes before our Close frame
	if c.phase == phaseOpen {
		code, reason, _ := codec.ParseClose(payload)
		c.commitAll()
		c.setEnd(CloseInfo{Code: code, Reason: string(reason), Initiator: Remote}, c.untaken())
		c.addClose(code, "")
	}
	c.end().Clean = true
	c.drain()
}

// fail ends a connection for an error, and tells the peer why where there is a
// close code for it.
func (c *Conn) fail(err error) {
	switch c.phase {
	case phaseOpen:
		code, reason := closeFor(err)
		c.startClose(CloseInfo{Code: code, Reason: reason, Initiator: Local, Err: err})
		if isProtocolError(err) || errors.Is(err, ErrRateLimited) {
			c.drain() // what follows cannot be understood, or is too much: their Close frame included
		}
	case phaseClosing:
		if end := c.end(); end.Err == nil { // else what began the end is the better answer
			end.Err = err
		}
		c.drain()
	case phaseHandshake, phaseDraining, phaseDoomed, phaseEnded:
	}
}

// addClose queues a Close frame. It is taken whatever the queue holds. It gives
// what went of the reason, which is UTF-8: a long one is cut, and without a code
// none goes.
func (c *Conn) addClose(code codec.CloseCode, reason string) (went string) {
	var buf [codec.MaxControlPayload]byte
	payload := codec.AppendClose(buf[:0], code, reason)
	c.addFrame(codec.OpClose, payload)
	return reason[:max(0, len(payload)-2)]
}

// drain stops listening to the peer. When everything queued has left, flush ends
// our half of the stream, and the peer's end of its half is the last event.
func (c *Conn) drain() {
	if c.phase != phaseClosing { // else the end's deadline runs already
		c.setEndDeadline()
	}
	c.phase = phaseDraining
	c.intake.close()
	if c.loop.reading != c && c.loop.request.conn != c {
		c.dropInbound()
	}
	c.markDirty()
}

// hangUp cuts the connection at the end of this turn.
func (c *Conn) hangUp(err error) {
	if c.phase >= phaseDoomed {
		return
	}
	if c.phase == phaseHandshake {
		c.noteHandshake(OutcomeCut)
	}
	switch end := c.end(); {
	case end == nil:
		c.setEnd(CloseInfo{Code: codec.CloseAbnormal, Initiator: Remote, Err: abnormal(err)}, 0)
	case c.out != nil: // the Close frame is still here
		end.Clean = false
		fallthrough
	case !end.Clean:
		end.Err = cmp.Or(end.Err, abnormal(err))
	}
	c.phase = phaseDoomed
	c.intake.close()
	c.loop.doomed = append(c.loop.doomed, c)
}

// abort cuts the connection at the end of this turn, with a reset of the stream.
func (c *Conn) abort() {
	if c.phase >= phaseDoomed {
		return
	}
	c.loop.wire.ResetOnClose(c.socket())
	if c.end() == nil {
		c.setEnd(CloseInfo{Code: codec.CloseAbnormal, Initiator: Local, Err: ErrAborted}, 0)
	}
	c.hangUp(ErrAborted)
}

// breakOff ends a connection whose peer cannot be understood any more, not even
// its Close frame, and cannot be told so.
func (c *Conn) breakOff(err error) {
	switch c.phase {
	case phaseHandshake, phaseOpen, phaseClosing:
	case phaseDraining, phaseDoomed, phaseEnded:
		return
	}
	if end := c.end(); end == nil {
		c.setEnd(CloseInfo{Code: codec.CloseAbnormal, Initiator: Remote, Err: err}, 0)
	} else {
		end.Err = cmp.Or(end.Err, err)
	}
	c.drain()
}

// expired is called at the connection's deadline.
func (c *Conn) expired() {
	switch {
	case c.phase == phaseHandshake:
		c.abandon(refuseTimeout)
	case c.phase == phaseOpen && c.flags&flagWatching != 0:
		c.fail(ErrSlowPeer)
	case c.phase == phaseOpen:
		c.fail(ErrStalled)
	case !c.lingers():
		c.hangUp(ErrCloseTimeout)
	}
}

// watchProgress sets the deadline of an open connection after something has
// moved: as long as the socket takes no more, or a message of the peer or a TLS
// record is cut, the next move must come within Config.StallTimeout. Without either there is no
// deadline, and no timer.
func (c *Conn) watchProgress() {
	switch {
	case c.phase != phaseOpen: // the handshake and the end have deadlines of their own
	case c.flags&flagWatching != 0 || (c.in != nil || c.flags&flagCut != 0) && !c.isPaused():
		c.loop.setDeadline(c, c.loop.server.cfg.StallTimeout)
	default:
		c.clearDeadline()
	}
}

// abandon refuses an opening handshake that has not come whole. A peer that has
// sent nothing at all, such as the spare connection of a browser, is given less
// time to end its side.
func (c *Conn) abandon(r *refusal) {
	silent := c.in == nil
	c.refuse(r)
	if silent {
		c.loop.setDeadline(c, min(silentLinger, c.loop.server.cfg.CloseTimeout))
	}
}

const silentLinger = 250 * time.Millisecond

// closed handles the end of the socket, whoever brought it about.
func (c *Conn) closed(err error) {
	if c.phase == phaseEnded {
		return
	}
	end := c.end()
	if end != nil && c.out != nil { // the Close frame is still here
		end.Clean = false
	}
	if end == nil || !end.Clean && end.Err == nil {
		end = c.noteBreak(err)
	}
	if c.phase == phaseHandshake {
		c.noteHandshake(OutcomeGone)
	}
	c.phase = phaseEnded
	c.intake.close()
	c.clearDeadline()
	c.beat = 0
	c.stopLimits()
	c.dropInbound()
	c.dropOutbox()
	c.dropDeflation()
	c.dropRates()
	c.loop.forget(c)
	c.tellEnd()
	c.ref = nil      // a Conn may be kept for ever; the socket's memory must not be
	if c.id != nil { // OnOpen was called
		c.noteClose(*end)
		c.callClose(*end)
	}
}

// noteBreak records an end that no Close frame, or only ours, has announced.
func (c *Conn) noteBreak(err error) *CloseInfo {
	if err == nil { // the loop itself was stopped
		err = ErrShutdown
	}
	if c.end() == nil {
		c.setEnd(CloseInfo{Code: codec.CloseAbnormal, Initiator: Remote}, 0)
		if errors.Is(err, ErrShutdown) {
			c.end().Initiator = Local
		}
	}
	end := c.end()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	end.Err = err
	return end
}

// dropInbound lets go of a handshake or a message in progress.
func (c *Conn) dropInbound() {
	if c.in != nil {
		c.loop.freeInbound(c.in)
		c.in = nil
	}
}
