package engine

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// httpSide serves the requests that are no WebSocket handshakes with net/http,
// on the same port: the descriptor moves there with the bytes already read. It
// comes back with a handshake that follows on the same connection, see front.
type httpSide struct {
	server *http.Server
	queue  chan net.Conn
	queued atomic.Int64 // places of queue that are taken, or about to be
	addr   net.Addr
	quit   chan struct{}
	once   sync.Once
	warned atomic.Int64 // when a failed hand-over was last logged, in seconds

	mu    sync.Mutex
	moved map[*movedConn]struct{} // those that are open, hijacked ones included
}

// handOver gives the connection to net/http. The bytes are copied.
func (c *Conn) handOver(head, behind []byte) {
	server := c.loop.server
	if err := server.http.take(c, head, behind); err != nil {
		server.http.warn(server.cfg.Logger, err)
		c.refuse(refuseFull)
		return
	}
	c.noteHandshake(OutcomeHTTP)
	c.phase = phaseDraining // its handshake is over
	c.hangUp(nil)           // our descriptor; the duplicate lives on
}

// httpBacklog is how many connections may wait for net/http's accept loop.
const httpBacklog = 1024

func newHTTPSide(s *Server, handler http.Handler) *httpSide {
	return &httpSide{
		queue: make(chan net.Conn, httpBacklog),
		quit:  make(chan struct{}),
		moved: make(map[*movedConn]struct{}),
		server: &http.Server{
			Handler:           s.front(handler),
			ConnContext:       movedContext,
			ConnState:         movedState,
			ReadHeaderTimeout: s.cfg.HandshakeTimeout,
			ReadTimeout:       bodyTime,
			IdleTimeout:       httpIdleTimeout,
			MaxHeaderBytes:    s.cfg.MaxHandshakeBytes,
			ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelWarn),
		},
	}
}

// take duplicates the descriptor and queues it for net/http. It looks for room
// first: once a TLS connection is detached, nobody here can answer it.
func (h *httpSide) take(c *Conn, head, behind []byte) error {
	if h.queued.Add(1) > httpBacklog {
		h.queued.Add(-1)
		return errBacklog
	}
	secured := c.tls()
	conn, err := c.loop.wire.Detach(c.socket())
	if err != nil {
		h.queued.Add(-1)
		return err
	}
	moved := &movedConn{
		Conn: conn, side: h, server: c.loop.server, tls: secured, remote: c.remote,
		first: slices.Concat(head, behind),
	}
	if x := c.more.Load(); x != nil {
		moved.nameless = x.nameless
	}
	if c.flags&flagCounted != 0 {
		moved.client = c.Client()
	}
	c.flags &^= flagPlace | flagCounted // it counts as moved from now on
	h.add(moved)
	h.queue <- moved // it has room
	select {
	case <-h.quit: // Close may have emptied the queue before
		return h.Close()
	default:
		return nil
	}
}

// add counts a connection that net/http has from now on, with the place that it had.
func (h *httpSide) add(m *movedConn) {
	m.server.open.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.moved[m] = struct{}{}
}

// leave says, once, that a connection is net/http's no more. Whoever hears it counts
// the connection out, or goes on with it.
func (h *httpSide) leave(m *movedConn) (first bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, first = h.moved[m]
	delete(h.moved, m)
	return first
}

// warn logs a failed hand-over, once a second at most: a flood must not fill
// the log.
func (h *httpSide) warn(logger *slog.Logger, err error) {
	now := time.Now().Unix()
	if h.warned.Swap(now) != now {
		logger.Warn("a connection could not be given to net/http", "err", err)
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
		h.cut()
	}
}

// cut ends every connection, those that a handler has hijacked too.
func (h *httpSide) cut() {
	_ = h.server.Close()
	h.mu.Lock()
	moved := slices.Collect(maps.Keys(h.moved))
	h.mu.Unlock()
	for _, m := range moved {
		_ = m.Close()
	}
}

// Accept implements net.Listener.
func (h *httpSide) Accept() (net.Conn, error) {
	select {
	case c := <-h.queue:
		h.queued.Add(-1)
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
			h.queued.Add(-1)
			_ = c.Close()
		default:
			return nil
		}
	}
}

// Addr implements net.Listener.
func (h *httpSide) Addr() net.Addr { return h.addr }

// movedKey is where the context of a request has its movedConn.
type movedKey struct{}

func movedContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, movedKey{}, c)
}

// front is what net/http calls. It sets Request.TLS, which net/http does for its own
// TLS only, and gives the loops the handshakes for our endpoints: those that follow
// other requests, on a connection that a proxy has kept.
func (s *Server) front(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if moved, ok := r.Context().Value(movedKey{}).(*movedConn); ok {
			r.TLS = moved.tls
		}
		if path := r.URL.Path; s.endpoints[path] != nil && hasTokenIn(r.Header.Values("Upgrade"), "websocket") {
			if err := s.Upgrade(w, r, path, nil); err != nil {
				s.cfg.Logger.Debug("a handshake did not come back from net/http", "err", err)
			}
			return
		}
		next.ServeHTTP(w, r)
	})
}
