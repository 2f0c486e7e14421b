package tlswire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/headrace/headrace/engine/internal/wire"
)

// Client is the TLS side of an outgoing connection. Its owner shakes hands, reads
// and writes, which blocks, and then gives it to Adopt. config is not changed.
func Client(conn net.Conn, config *tls.Config) *tls.Conn {
	config = config.Clone()
	config.DynamicRecordSizingDisabled = true // see prepare
	return tls.Client(&stream{local: conn.LocalAddr(), remote: conn.RemoteAddr(), moved: conn}, config)
}

var errForeign = errors.New("tlswire: this TLS connection was not made for the loops")

// Adopt implements wire.Backend. A tls.Conn must be one of Client's, or of Detach's.
func (b *Backend) Adopt(ctx context.Context, conn net.Conn, opened wire.Adopted) error {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return b.inner.Adopt(ctx, conn, func(h wire.Handler, s wire.Socket, remote net.Addr) (wire.Owner, func()) {
			return opened(h.(*loop).handler, s, remote)
		})
	}
	from, ok := secure.NetConn().(*stream)
	if !ok || from.moved == nil {
		return errForeign
	}
	return b.inner.Adopt(ctx, from.moved, func(h wire.Handler, s wire.Socket, remote net.Addr) (wire.Owner, func()) {
		l := h.(*loop)
		t := &session{loop: l, socket: s, state: open, conn: secure, stream: from}
		rest := from.in
		from.moved, from.in, from.left = nil, nil, 0
		owner, begin := opened(l.handler, wire.Socket{Ref: t, FD: s.FD}, remote)
		t.owner = owner
		return t, func() {
			begin()
			t.readOver()
			if len(rest) > 0 && t.state == open {
				t.read(rest)
			}
		}
	})
}

// readOver hands over the text that crypto/tls has decrypted and nobody has read.
func (t *session) readOver() {
	text := t.loop.mem.Get(maxFragment)
	n, _ := t.conn.Read(text[:cap(text)]) // at most one record is decrypted
	takeBack(t.conn)
	t.stream.in = nil
	if n > 0 && t.state == open {
		t.owner.Arrived(text[:n])
	}
	t.loop.mem.Put(text)
}
