package engine

import (
	"net"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/wire"
)

// Conn is one WebSocket connection. It belongs to one loop; see the package
// comment for which goroutine may call what. It may be kept for ever.
//
// Size budget: 112 bytes, because a million of them exist. What only a busy
// connection needs stands behind in and out, and what only some have behind more.
type Conn struct {
	// immutable after the handshake
	loop   *loop
	ref    any // with fd: the wire.Socket
	remote net.Addr
	id     *identity

	// loop-only
	in       *inbound // while a handshake or a frame is cut, or reading is paused
	out      *outbox  // while something waits for the socket
	user     any
	slot     uint32 // its place in loop.conns
	deadline uint32 // tick of the timing wheel, while flagArmed
	beat     uint16 // low bits of the tick of the next heartbeat; 0: none
	rtt      rtt    // of the last heartbeat
	fd       int32
	flags    connFlags
	phase    phase
	at       uint8 // slot of the timing wheel, while flagTimed

	// any goroutine
	intake intake
	more   atomic.Pointer[extras]
}

// phase is where a connection is in its life.
type phase uint8

const (
	phaseHandshake phase = iota // the request has not come whole
	phaseOpen
	phaseClosing  // our Close frame is queued; theirs is awaited
	phaseDraining // nothing more is read; our bytes go out, then we wait for the peer to end
	phaseDoomed   // to be cut at the end of this turn
	phaseEnded
)

type connFlags uint16

const (
	flagWatching  connFlags = 1 << iota // the socket is full; Writable will come
	flagFinSent                         // our half of the stream has ended
	flagPlace                           // counts against Config.MaxConns
	flagTimed                           // stands in the wheel
	flagArmed                           // deadline counts
	flagDirty                           // flush will be called at the end of the turn
	flagHeard                           // something has come since the last heartbeat
	flagAsked                           // a heartbeat's ping is not answered
	flagFullPause                       // the socket is not read: too much waits for the peer
	flagUserPause                       // it is not read: PauseRead
	flagWorkPause                       // it is not read: the workers are behind
	flagTurnPause                       // it is not read: its frames wait for a turn of their own
	flagResume                          // a reason not to read has gone
	flagHigh                            // more than HighWater has waited; OnDrain will be called
	flagCut                             // a TLS record of the peer is cut
	flagCounted                         // counts against Config.MaxConnsPerIP
)

// Reply queues a message, to be written with everything else of this turn in
// one write; one of 8 KiB or more may be written at once. op is Text or Binary; Text should be valid UTF-8. It does not
// retain p. Loop-only. With Endpoint.Workers it does what Send does.
//
// It returns ErrClosed after the end or after Close. When the queue is full it
// returns ErrSlowPeer, and the connection is being closed with 1013, or ErrDropped,
// as Endpoint.WhenFull says.
func (c *Conn) Reply(op Op, p []byte) error {
	if !op.IsData() {
		return ErrBadOp
	}
	switch {
	case c.isPlain() && c.replyPlain(op, p):
		return nil
	case c.jobs() != nil:
		return c.sendFrom(op, p, 0)
	}
	return c.reply(op, p)
}

// Send queues a message, to be written soon. op is Text or Binary; Text should
// be valid UTF-8. It does not retain p. Safe from any goroutine.
//
// It returns ErrClosed after the end or after Close. When the queue is full it
// returns ErrSlowPeer, and the connection is being closed with 1013, or ErrDropped,
// as Endpoint.WhenFull says.
func (c *Conn) Send(op Op, p []byte) error {
	if !op.IsData() {
		return ErrBadOp
	}
	return c.sendFrom(op, p, 0)
}

// SendWithin is Send for a message that is worth nothing later: it is dropped, and
// counted, unless its turn to leave comes within d. Where the socket takes
// everything that is at once. Where it doesn't, at most 64 KB, or a quarter of
// MaxQueue, and what the kernel holds still stand before a message whose turn has
// come. One that waits counts 64 bytes more against MaxQueue than it has, so many small
// ones may find the queue full while Buffered is below that. Safe from any goroutine.
func (c *Conn) SendWithin(d time.Duration, op Op, p []byte) error {
	if !op.IsData() {
		return ErrBadOp
	}
	return c.sendFrom(op, p, c.dueIn(d))
}

// Ping queues a ping with at most 125 bytes. A handler with OnPong hears of the
// answer. It does not retain p. Safe from any goroutine.
func (c *Conn) Ping(p []byte) error {
	if len(p) > codec.MaxControlPayload {
		return ErrControlTooLong
	}
	return c.sendFrom(codec.OpPing, p, 0)
}

// Close begins the closing handshake, behind everything that was accepted for
// sending before. code is one that may be sent (1000 to 1003, 1007 to 1014,
// 3000 to 4999), or CloseNoStatus for a Close frame without a code. reason is
// UTF-8, cut to 123 bytes. Nothing is accepted for sending afterwards, messages
// of the peer are no longer delivered, and OnClose follows when the peer has
// answered, or in time as Config.CloseTimeout has it. Safe from any goroutine.
//
// It returns ErrBadClose for anything else, and ErrClosed when the end has begun
// already.
func (c *Conn) Close(code CloseCode, reason string) error {
	if !code.MaySend() && code != codec.CloseNoStatus || !utf8.ValidString(reason) {
		return ErrBadClose
	}
	c.deafen()
	if !c.intake.close() {
		return ErrClosed
	}
	c.loop.push(item{conn: c, close: &CloseInfo{Code: code, Reason: reason, Initiator: Local}})
	return nil
}

// Abort ends the connection at once and without a Close frame, as a process that is
// killed or a cable that is cut does: what waits for the peer is dropped, and its end of
// the stream is reset. OnClose follows with 1006 and ErrAborted. Who wants to leave uses
// Close; this is for tests of a peer, and for one that must not get another byte. It
// does nothing to a connection that has ended. Safe from any goroutine.
func (c *Conn) Abort() {
	c.deafen()
	c.intake.close()
	c.loop.push(item{run: func(*loop) { c.abort() }})
}

// IsOpen says whether anything more is accepted for sending: not after Close, nor once
// the end has begun in another way. Safe from any goroutine.
func (c *Conn) IsOpen() bool { return c.intake.open() }

// Path is the path of the endpoint. Safe from any goroutine.
func (c *Conn) Path() string { return c.id.path }

// Subprotocol is the chosen subprotocol, or "". Safe from any goroutine.
func (c *Conn) Subprotocol() string { return c.id.subprotocol }

// Buffered is how many bytes were accepted for sending and not yet taken by the
// kernel. Safe from any goroutine.
func (c *Conn) Buffered() int { return c.intake.bytes() }

// QueueLimit is how many bytes may wait for the peer: Endpoint.MaxQueue. Safe from any
// goroutine.
func (c *Conn) QueueLimit() int { return c.id.MaxQueue }

// Dropped is how many messages for this connection were dropped: for want of room
// (Endpoint.WhenFull), or because they would have come too late (SendWithin). Safe
// from any goroutine.
func (c *Conn) Dropped() int {
	if x := c.more.Load(); x != nil {
		return int(x.dropped.Load())
	}
	return 0
}

// PauseRead stops reading from the peer: no message is delivered after the
// callback that calls it, or soon after another goroutine has, until ResumeRead.
// What the peer sends waits in the kernel, then with the peer. Its pings are not
// answered and ours are not sent meanwhile, and the end of its half of the stream
// is not seen. Close ends the pause. Safe from any goroutine.
func (c *Conn) PauseRead() {
	c.hold(true)
	c.loop.push(item{run: func(*loop) { c.pauseFor(flagUserPause) }})
}

// ResumeRead ends a PauseRead. Safe from any goroutine.
func (c *Conn) ResumeRead() {
	c.hold(false)
	c.loop.push(item{run: func(*loop) { c.resumeFor(flagUserPause) }})
}

// RTT is the round-trip time of the last heartbeat that was answered
// (Endpoint.PingInterval), 0 before. Loop-only.
func (c *Conn) RTT() time.Duration {
	if j := c.jobs(); j != nil {
		return rtt(j.rtt.Load()).duration()
	}
	return c.rtt.duration()
}

// User is what SetUser or Request.SetUser has stored. Loop-only; when it is set
// once, in Admit or OnOpen, it may be read from any goroutine that has got the
// Conn from there.
func (c *Conn) User() any { return c.user }

// SetUser stores v with the connection. Loop-only.
func (c *Conn) SetUser(v any) { c.user = v }

// Request is the opening handshake's request, during OnOpen; nil at any other
// time. Loop-only.
func (c *Conn) Request() *Request {
	if r := &c.loop.request; c.jobs() == nil && r.conn == c { // on a worker it is over
		return r
	}
	return nil
}

func (c *Conn) socket() wire.Socket { return wire.Socket{Ref: c.ref, FD: c.fd} }

// owner is a Conn as the wire sees it. It keeps the wire's calls out of the
// public methods.
type owner Conn

// Arrived implements wire.Owner.
func (o *owner) Arrived(p []byte) {
	c := (*Conn)(o)
	c.loop.enter()
	c.arrived(p)
	c.loop.leave(c)
}

// Writable implements wire.Owner.
func (o *owner) Writable() {
	c := (*Conn)(o)
	c.loop.enter()
	c.flags &^= flagWatching
	c.oweWritable()
	c.markDirty()
	c.loop.leave(c)
}

// Closed implements wire.Owner.
func (o *owner) Closed(err error) {
	c := (*Conn)(o)
	if c.loop.turning { // an answer to the engine's own Close
		c.closed(err)
		return
	}
	c.loop.enter()
	c.closed(err)
	c.loop.leave(nil)
}
