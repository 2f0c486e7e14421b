package engine

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
)

// httpSide serves the requests that are no WebSocket handshakes with net/http,
// on the same port: the descriptor moves there with the bytes already read. It
// never comes back.
type httpSide struct {
	server *http.Server
	queue  chan net.Conn
	addr   net.Addr
	quit   chan struct{}
	once   sync.Once
}

// handOver gives the connection to net/http. The bytes are copied.
func (c *Conn) handOver(head, behind []byte) {
	server := c.loop.server
	if err := server.http.take(c, head, behind); err != nil {
		server.cfg.Logger.Warn("a connection could not be given to net/http", "err", err)
		c.refuse(refuseFull)
		return
	}
	c.hangUp(nil) // our descriptor; the duplicate lives on
}

// httpBacklog is how many connections may wait for net/http's accept loop.
const httpBacklog = 1024

func newHTTPSide(s *Server, handler http.Handler) *httpSide {
	return &httpSide{
		queue: make(chan net.Conn, httpBacklog),
		quit:  make(chan struct{}),
		server: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: s.cfg.HandshakeTimeout,
			IdleTimeout:       httpIdleTimeout,
			MaxHeaderBytes:    s.cfg.MaxHandshakeBytes,
			ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelWarn),
		},
	}
}

// take duplicates the descriptor and queues it for net/http.
func (h *httpSide) take(c *Conn, head, behind []byte) error {
	f, err := c.loop.wire.Detach(c.socket())
	if err != nil {
		return err
	}
	conn, err := net.FileConn(f) // duplicates once more
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	c.loop.server.open.Add(1)
	c.loop.server.places.Add(1) // c gives its own back
	moved := &movedConn{Conn: conn, server: c.loop.server, first: append(append([]byte(nil), head...), behind...)}
	select {
	case h.queue <- moved:
		return nil
	default:
		return errors.Join(errBacklog, moved.Close())
	}
}

var errBacklog = errors.New("engine: too many connections wait for net/http")

// serve runs net/http until stop.
func (h *httpSide) serve(addr net.Addr) {
	h.addr = addr
	_ = h.server.Serve(h)
}

// stop lets requests in progress end, until ctx does.
func (h *httpSide) stop(ctx context.Context) {
	if h.server.Shutdown(ctx) != nil {
		_ = h.server.Close()
	}
}

// Accept implements net.Listener.
func (h *httpSide) Accept() (net.Conn, error) {
	select {
	case c := <-h.queue:
		return c, nil
	case <-h.quit:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *httpSide) Close() error {
	h.once.Do(func() { close(h.quit) })
	for {
		select {
		case c := <-h.queue:
			_ = c.Close()
		default:
			return nil
		}
	}
}

// Addr implements net.Listener.
func (h *httpSide) Addr() net.Addr { return h.addr }

// movedConn is a connection whose first bytes were read before it moved.
type movedConn struct {
	net.Conn
	server *Server
	first  []byte
	once   sync.Once
}

// Read implements net.Conn.
func (m *movedConn) Read(p []byte) (int, error) {
	if len(m.first) > 0 {
		n := copy(p, m.first)
		m.first = m.first[n:]
		return n, nil
	}
	return m.Conn.Read(p)
}

// Close implements net.Conn.
func (m *movedConn) Close() error {
	m.once.Do(func() { m.server.connEnded(true) })
	return m.Conn.Close()
}
