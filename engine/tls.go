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

// Moved implements wire.Owner. A peer whose bytes move is there, and a record that is
// cut is like a message that is: more of it must come within Config.StallTimeout.
func (o *owner) Moved(cut bool) {
	c := (*Conn)(o)
	c.flags |= flagHeard
	if cut {
		c.flags |= flagCut
	} else {
		c.flags &^= flagCut
	}
	if c.flags&flagWatching == 0 { // else only what the peer takes is progress
		c.watchProgress()
	}
}

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
