package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"time"

	"github.com/headrace/headrace/engine/internal/wire"
)

// Upgrade takes the connection of a request over from net/http, whatever server or
// router has it, and goes on with the opening handshake on the loops, for the
// endpoint that Handle was given at path. The endpoint's rules hold as if the
// request had come to this Server by itself: Origins, Subprotocols, Admit, all
// limits; the request may have another path, as a router's patterns do. user
// becomes the connection's user state, unless Admit sets another. The Server must
// be running; it need not listen on an address of its own that anybody uses.
//
// Upgrade answers the request in any case, so its caller returns afterwards. An error
// says that the connection could not be taken over: it was answered with 426, 500, 503
// or 505. Only a socket itself can be moved: a connection that another server's
// listener has wrapped, in TLS, for a count or a deadline, is answered with 500. Over
// TLS Upgrade works for requests that come from HandleHTTP: let this Server have the
// listener (Config.TLS), or end TLS before it.
func (s *Server) Upgrade(w http.ResponseWriter, r *http.Request, path string, user any) error {
	ep := s.endpoints[path]
	switch {
	case ep == nil:
		return refusePanic.answer(w, fmt.Errorf("engine: upgrade: there is no endpoint %q", path))
	case r.ProtoMajor != 1:
		return refuseVersion.answer(w, errNoUpgrade)
	case !hasTokenIn(r.Header.Values("Upgrade"), "websocket"):
		return refuseNoUpgrade.answer(w, errNoUpgrade)
	case !s.isRunning():
		return refuseBusy.answer(w, errNotRunning)
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return refusePanic.answer(w, fmt.Errorf("engine: upgrade: %w", err))
	}
	_ = conn.SetDeadline(time.Time{}) // net/http's own
	behind, err := rest(buffered.Reader)
	if err == nil {
		err = s.takeOver(r.Context(), conn, &taken{endpoint: ep, user: user, head: writeDown(r), behind: behind})
	}
	if err != nil {
		_ = conn.SetWriteDeadline(time.Now().Add(s.cfg.CloseTimeout))
		_, _ = conn.Write(refusalOf(err).appendTo(nil, false))
		_ = conn.Close()
		return fmt.Errorf("engine: upgrade: %w", err)
	}
	return nil
}

// refusalOf is the answer to a request whose connection could not be taken over.
func refusalOf(err error) *Refusal {
	if errors.Is(err, errNoSocket) {
		return refusePanic
	}
	return refuseBusy // or at its end, or there is no descriptor left
}

var (
	errNoUpgrade  = errors.New("engine: upgrade: the request is no WebSocket handshake of HTTP/1.1")
	errNotRunning = errors.New("engine: upgrade: the server is not running")
	errNoSocket   = errors.New("only a socket itself can be moved, see Server.Upgrade")
)

// answer gives the answer by way of net/http, and err.
func (r *Refusal) answer(w http.ResponseWriter, err error) error {
	maps.Copy(w.Header(), r.Header.Clone())
	if r.Header.Get("Upgrade") != "" { // as in appendFields
		w.Header().Set("Connection", "Upgrade")
	}
	http.Error(w, r.text(), r.status())
	return err
}

// isRunning says whether the loops carry connections.
func (s *Server) isRunning() bool {
	select {
	case <-s.ready:
		return !s.stopped.Load()
	default:
		return false
	}
}

// taken is a request that came by way of net/http.
type taken struct {
	endpoint     *endpoint
	user         any
	head, behind []byte
	from         *movedConn // nil for a connection of another server
}

// takeOver moves a hijacked connection onto a loop. Only when it returns nil does it
// take ownership of conn.
func (s *Server) takeOver(ctx context.Context, conn net.Conn, t *taken) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.HandshakeTimeout)
	defer cancel()
	moved, ok := conn.(*movedConn)
	if ok {
		t.from, conn = moved, moved.Conn
		t.behind, moved.first = append(t.behind, moved.first...), nil // more than net/http's buffer holds
	}
	if ours := ok && moved.server == s; !ours && !canMove(conn) {
		return fmt.Errorf("%w: this is a %T", errNoSocket, conn)
	}
	return s.backend.Adopt(ctx, conn, func(h wire.Handler, sock wire.Socket, remote net.Addr) (wire.Owner, func()) {
		l := h.(*loop)
		c := l.newConn(sock, remote)
		return (*owner)(c), func() { l.openTaken(c, t) }
	})
}

// canMove says whether a connection is a socket itself.
func canMove(conn net.Conn) bool {
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// openTaken goes on with the handshake of a connection that was taken over.
func (l *loop) openTaken(c *Conn, t *taken) {
	l.enter()
	defer l.leave(c)
	if bad := c.letBackIn(t.from); bad != nil {
		c.refuse(bad)
		return
	}
	l.setDeadline(c, l.server.cfg.HandshakeTimeout)
	l.request.taken = t
	c.decide(t.head, t.behind)
	c.hearBehind(t.behind)
}

// letBackIn is letIn for a connection that was taken over. One that came from
// HandleHTTP has the address that it had there, and what it counts as, too: this server
// has let it in already.
func (c *Conn) letBackIn(m *movedConn) *refusal {
	if m == nil {
		return c.letIn(adopted)
	}
	c.remote = m.remote
	if m.nameless {
		c.extra().nameless = true
	}
	if m.server != c.loop.server || !m.side.leave(m) { // of another Server, or cut just now
		_ = m.Close()
		return c.letIn(adopted)
	}
	m.server.open.Add(-1) // newConn has counted it once more
	c.flags |= flagPlace
	if m.client.IsValid() {
		c.flags |= flagCounted
	}
	if c.loop.draining {
		return c.loop.refuseShutdown()
	}
	return nil
}

// adopted is the index of no listener.
const adopted = -1

// writeDown writes a request as it may have come, but for what a router has changed in
// its path.
func writeDown(r *http.Request) []byte {
	target := r.URL.RequestURI()
	if target[0] != '/' { // http.StripPrefix has taken that too
		target = "/" + target
	}
	b := fmt.Appendf(nil, "%s %s %s\r\nHost: %s\r\n", r.Method, target, r.Proto, r.Host)
	for _, encoding := range r.TransferEncoding { // net/http keeps it apart
		b = appendField(b, "Transfer-Encoding", encoding)
	}
	for name, values := range r.Header {
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	return append(b, "\r\n"...)
}

// rest gives what a reader holds.
func rest(r *bufio.Reader) ([]byte, error) {
	p, err := r.Peek(r.Buffered())
	return append([]byte(nil), p...), err
}
