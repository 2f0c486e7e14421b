package engine

import (
	"crypto/tls"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/wire"
)

// TLS is done below the seam (internal/tlswire). What the engine sees of it is
// here: the state to show, memory to lend, and a stream that can break.

// TLS says how the connection is secured, nil when it is not: the certificates
// of the client, the server name that it asked for. Loop-only.
func (r *Request) TLS() *tls.ConnectionState { return r.conn.tls() }

func (c *Conn) tls() *tls.ConnectionState {
	if l, ok := c.loop.wire.(interface {
		TLS(s wire.Socket) *tls.ConnectionState
	}); ok {
		return l.TLS(c.socket())
	}
	return nil
}

// Memory lends the loop's buffers to what is below the seam. Loop-only.
func (l *loop) Memory() codec.Memory { return &l.mem }

// Broken implements wire.Owner. A peer that cannot do the TLS handshake is ended
// without an answer: it could not read one.
func (o *owner) Broken(err error) {
	c := (*Conn)(o)
	c.loop.enter()
	if c.phase == phaseHandshake {
		c.loop.server.cfg.Logger.Debug("TLS handshake failed", "remote", c.remote, "err", err)
		c.noteHandshake(OutcomeTLS)
	}
	c.breakOff(err)
	c.loop.leave(c)
}
