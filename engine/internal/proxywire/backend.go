// Package proxywire takes the header of the PROXY protocol, version 1 or 2, off the
// beginning of connections: a line or a block in which a proxy says for whom it
// speaks. It stands between a transport and whatever is above, TLS too, and is a
// wire.Backend itself. Connections to other listeners pass through: their owner is
// that of the handler above.
//
//	backend.go  how it is put between the two
//	conn.go     one connection, before its header and after
//	header.go   the header
package proxywire

import (
	"context"
	"net"

	"github.com/headrace/headrace/engine/internal/wire"
)

// Options are the settings of a Backend. Both functions are called on loops, from
// several at once.
type Options struct {
	Listeners []bool                           // by listener: whether its connections begin with a header
	Trusts    func(remote net.Addr) bool       // whether this peer may send one
	Refused   func(remote net.Addr, err error) // a connection is being cut for want of a header
}

// Backend implements wire.Backend. What it doesn't define is the transport's own.
type Backend struct {
	wire.Backend
	opts Options
}

// New puts PROXY headers before inner.
func New(inner wire.Backend, opts Options) *Backend { return &Backend{Backend: inner, opts: opts} }

// Serve implements wire.Backend.
func (b *Backend) Serve(newHandler func(wire.Loop) wire.Handler, ready func([]net.Addr)) error {
	return b.Backend.Serve(func(inner wire.Loop) wire.Handler {
		return &handler{Handler: newHandler(inner), inner: inner, opts: &b.opts}
	}, ready)
}

// Adopt implements wire.Backend. What is adopted has no header.
func (b *Backend) Adopt(ctx context.Context, conn net.Conn, opened wire.Adopted) error {
	return b.Backend.Adopt(ctx, conn, func(h wire.Handler, s wire.Socket, remote net.Addr) (wire.Owner, func()) {
		return opened(h.(*handler).Handler, s, remote)
	})
}

// handler is the wire.Handler that the transport sees. Woken and Tick are those of
// the handler above.
type handler struct {
	wire.Handler
	inner wire.Loop
	opts  *Options
}

// Opened implements wire.Handler. The handler above hears of the connection at
// once, because it has counts and deadlines for it. A stranger is not worth them.
func (h *handler) Opened(s wire.Socket, listener int, remote net.Addr) wire.Owner {
	if listener < 0 || listener >= len(h.opts.Listeners) || !h.opts.Listeners[listener] {
		return h.Handler.Opened(s, listener, remote)
	}
	if !h.opts.Trusts(remote) {
		h.opts.Refused(remote, ErrUntrusted)
		h.inner.Close(s)
		return nil
	}
	c := &conn{waiting: &waiting{handler: h, socket: s, remote: remote}}
	if c.owner = h.Handler.Opened(s, listener, remote); c.owner == nil {
		return nil
	}
	return c
}
