package engine

import (
	"runtime/debug"

	"github.com/headrace/headrace/codec"
)

// Op is the kind of a message.
type Op = codec.Opcode

// The two kinds of messages (RFC 6455 §5.6).
const (
	Text   = codec.OpText
	Binary = codec.OpBinary
)

// Handler gets the events of connections. All callbacks of one connection run
// on its loop, in order, never two at once. They must not block, unless
// Endpoint.Workers has them run elsewhere. One Handler serves many connections, on
// several loops at once.
type Handler interface {
	// OnOpen is called once, when the opening handshake is done. Conn.Request
	// is readable in it.
	OnOpen(c *Conn)
	// OnMessage is called for each complete message, op Text or Binary. Text is
	// valid UTF-8. p is valid until the callback returns; it may be changed.
	OnMessage(c *Conn, op Op, p []byte)
	// OnClose is called once, last, when the connection has ended.
	OnClose(c *Conn, info CloseInfo)
}

// PingHandler is an optional extension of Handler.
type PingHandler interface {
	// OnPing is called for each ping, after its pong was sent. p is valid until
	// the callback returns.
	OnPing(c *Conn, p []byte)
}

// PongHandler is an optional extension of Handler.
type PongHandler interface {
	// OnPong is called for each pong, asked for or not. p is valid until the
	// callback returns.
	OnPong(c *Conn, p []byte)
}

// HandlerFuncs is a Handler made of functions. Nil ones do nothing.
type HandlerFuncs struct {
	Open    func(c *Conn)
	Message func(c *Conn, op Op, p []byte)
	Close   func(c *Conn, info CloseInfo)
}

// OnOpen implements Handler.
func (h HandlerFuncs) OnOpen(c *Conn) {
	if h.Open != nil {
		h.Open(c)
	}
}

// OnMessage implements Handler.
func (h HandlerFuncs) OnMessage(c *Conn, op Op, p []byte) {
	if h.Message != nil {
		h.Message(c, op, p)
	}
}

// OnClose implements Handler.
func (h HandlerFuncs) OnClose(c *Conn, info CloseInfo) {
	if h.Close != nil {
		h.Close(c, info)
	}
}

// The callbacks below run user code: a panic in it ends the connection, not the
// server. With Endpoint.Workers most are left to a worker (jobs.go).

func (c *Conn) callOpen() {
	defer c.startJobs()
	defer c.recoverPanic("OnOpen")
	c.id.Handler.OnOpen(c)
}

func (c *Conn) callMessage(op Op, p []byte) {
	if !c.hand(jobMessage, op, p) {
		c.onMessage(op, p)
	}
}

func (c *Conn) onMessage(op Op, p []byte) {
	defer c.recoverPanic("OnMessage")
	c.id.Handler.OnMessage(c, op, p)
}

func (c *Conn) callPing(p []byte) {
	if c.id.onPing == nil || c.hand(jobPing, 0, p) {
		return
	}
	defer c.recoverPanic("OnPing")
	c.id.onPing.OnPing(c, p)
}

func (c *Conn) callPong(p []byte) {
	if c.id.onPong == nil || c.hand(jobPong, 0, p) {
		return
	}
	defer c.recoverPanic("OnPong")
	c.id.onPong.OnPong(c, p)
}

func (c *Conn) callDrain() {
	if c.id.onDrain == nil || c.hand(jobDrain, 0, nil) {
		return
	}
	defer c.recoverPanic("OnDrain")
	c.id.onDrain.OnDrain(c)
}

// callFull gives CloseSlow when the handler panics.
func (c *Conn) callFull() (policy FullPolicy) {
	defer c.recoverPanic("OnFull")
	return c.id.onFull.OnFull(c)
}

func (c *Conn) callClose(info CloseInfo) {
	if c.hand(jobClose, 0, nil) { // a worker finds info in c.end
		return
	}
	defer c.recoverPanic("OnClose")
	c.id.Handler.OnClose(c, info)
}

// recoverPanic is deferred around every callback on the loop.
func (c *Conn) recoverPanic(callback string) {
	p := recover()
	if p == nil {
		return
	}
	c.logPanic(callback, p)
	c.loop.drainInbox() // what was accepted for sending goes before the Close frame
	c.fail(&PanicError{Value: p})
}

func (c *Conn) logPanic(callback string, p any) {
	c.loop.server.cfg.Logger.Error("panic in a handler; its connection is closed",
		"callback", callback, "path", c.id.path, "remote", c.remote, "panic", p, "stack", string(debug.Stack()))
}
