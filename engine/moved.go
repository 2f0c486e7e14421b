package engine

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// movedConn is a connection that net/http has, whose first bytes were read before it
// moved. net/http waits for ever for a client that takes no answer, or does not send
// the body that it has announced; here either has as long as it gets on within
// Config.StallTimeout. A hijacked connection is left to who has it.
type movedConn struct {
	net.Conn
	side   *httpSide
	server *Server
	tls    *tls.ConnectionState // nil for a plain one
	remote net.Addr             // as Conn.Remote
	client netip.Addr           // whose connections it counts among; not valid: nobody's
	first  []byte               // what net/http has not read of it

	nameless bool // as extras.nameless

	mu       sync.Mutex
	awaits   bool      // a body is read
	writeBy  time.Time // what a handler has set; zero: nothing
	hijacked bool
}

const (
	// bodyTime is a ReadTimeout that nobody lives to see. By a deadline as far away
	// net/http shows that it reads a body: while it waits for a request its deadlines
	// are near, and while it only looks whether the client is still there it has none.
	bodyTime = 10 * 365 * 24 * time.Hour

	// movedPiece is how much a client has to take within Config.StallTimeout: a TLS
	// record.
	movedPiece = 16 << 10
)

// Read implements net.Conn.
func (m *movedConn) Read(p []byte) (int, error) {
	if len(m.first) > 0 {
		n := copy(p, m.first)
		if m.first = m.first[n:]; len(m.first) == 0 {
			m.first = nil // it would be held as long as the connection lives
		}
		return n, nil
	}
	m.mu.Lock()
	if m.awaits {
		_ = m.Conn.SetReadDeadline(time.Now().Add(m.server.cfg.StallTimeout))
	}
	m.mu.Unlock()
	return m.Conn.Read(p)
}

// Write implements net.Conn.
func (m *movedConn) Write(p []byte) (n int, err error) {
	for err == nil && n < len(p) {
		piece := p[n:]
		if m.hurries() {
			piece = piece[:min(len(piece), movedPiece)]
		}
		var sent int
		sent, err = m.Conn.Write(piece)
		n += sent
	}
	return n, err
}

// hurries sets the deadline of a piece, and says whether there is one.
func (m *movedConn) hurries() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hijacked {
		return false
	}
	by := time.Now().Add(m.server.cfg.StallTimeout)
	if !m.writeBy.IsZero() && m.writeBy.Before(by) {
		by = m.writeBy
	}
	_ = m.Conn.SetWriteDeadline(by)
	return true
}

// SetDeadline implements net.Conn.
func (m *movedConn) SetDeadline(t time.Time) error {
	return errors.Join(m.SetReadDeadline(t), m.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (m *movedConn) SetReadDeadline(t time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.awaits = time.Until(t) > bodyTime/2
	return m.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (m *movedConn) SetWriteDeadline(t time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writeBy = t
	return m.Conn.SetWriteDeadline(t)
}

// movedState is net/http's callback when it does something else with a connection.
func movedState(c net.Conn, state http.ConnState) {
	if m, ok := c.(*movedConn); ok && state == http.StateHijacked {
		m.mu.Lock()
		m.hijacked = true
		m.mu.Unlock()
	}
}

// Close implements net.Conn.
func (m *movedConn) Close() error {
	if !m.side.leave(m) {
		return net.ErrClosed
	}
	if m.client.IsValid() {
		m.server.clients.leave(m.client)
	}
	m.server.connEnded(true)
	return m.Conn.Close()
}

// RemoteAddr implements net.Conn.
func (m *movedConn) RemoteAddr() net.Addr { return m.remote }

// CloseWrite lets net/http end its half of the stream first, so that an answer
// is not lost to a reset.
func (m *movedConn) CloseWrite() error {
	if half, ok := m.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
