package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/engine/internal/wire"
)

// Server accepts connections and carries them. Make one with New, add endpoints
// with Handle, then Run it, once.
type Server struct {
	// immutable once Run has begun
	cfg       Config
	backend   wire.Backend
	endpoints map[string]*endpoint
	http      *httpSide                              // nil without HandleHTTP
	readOn    int                                    // what is worth a second read (readOnSize); less in tests
	poison    bool                                   // tests: see memory.poison
	random    func(most time.Duration) time.Duration // from 0 on, below most; tests have one with a seed

	maxRefused int64   // see the function of that name
	proxied    []bool  // by listener: its connections begin with a PROXY header
	clients    *census // nil without Config.MaxConnsPerIP

	// any goroutine
	open       atomic.Int64 // connections, net/http's included
	places     atomic.Int64 // of those, the ones that count against MaxConns: not those refused at once
	drops      drops
	refusals   refusals
	handshakes turnstile // Config.MaxHandshakeRate
	started    atomic.Bool
	stopped    atomic.Bool  // Shutdown has begun
	lost       atomic.Int64 // connections that it has cut before their peers had got everything
	ready      chan struct{}
	addrs      []net.Addr    // valid once ready is closed
	done       chan struct{} // closed when serving has ended

	mu      sync.Mutex
	loops   []*loop
	drained chan struct{} // closed when places has come to 0 during Shutdown; nil before
}

// New makes a Server. An error says which setting is wrong.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := newServer(cfg, nil)
	s.backend = s.newBackend()
	return s, nil
}

func newServer(cfg Config, backend wire.Backend) *Server {
	s := &Server{
		readOn:     readOnSize,
		cfg:        cfg,
		backend:    backend,
		clients:    newCensus(cfg.MaxConnsPerIP),
		random:     rand.N[time.Duration],
		maxRefused: maxRefused(cfg.MaxConns),
		endpoints:  make(map[string]*endpoint),
		ready:      make(chan struct{}),
		done:       make(chan struct{}),
	}
	s.handshakes.pace = paceOf(cfg.MaxHandshakeRate)
	for _, l := range cfg.listeners() {
		s.proxied = append(s.proxied, l.ProxyProtocol)
	}
	return s
}

// Handle serves WebSocket connections at a path, matched exactly. Like
// http.ServeMux it panics on a mistake of the programmer: a path without
// leading slash, one that is taken, no Handler, a malformed setting; and after
// Run has begun.
func (s *Server) Handle(path string, e Endpoint) {
	if s.started.Load() {
		panic("engine: Handle after Run")
	}
	if s.endpoints[path] != nil {
		panic(fmt.Sprintf("engine: path %q has an endpoint already", path))
	}
	ep, err := newEndpoint(path, e)
	if err != nil {
		panic(err)
	}
	s.endpoints[path] = ep
}

// HandleHTTP serves everything that is no WebSocket request for an endpoint
// with h, by way of net/http, on the same port. Without it such a request is
// answered with 404 or 426. It panics after Run has begun.
func (s *Server) HandleHTTP(h http.Handler) {
	if s.started.Load() {
		panic("engine: HandleHTTP after Run")
	}
	s.http = newHTTPSide(s, h)
}

// Run listens and serves. When ctx ends it shuts down, as Shutdown does, within
// Config.ShutdownTimeout, and returns nil. It returns an error when it cannot
// listen, when the loops fail, or when connections had to be cut at the end
// (then errors.Is(err, context.DeadlineExceeded), or ErrCloseTimeout of peers that had
// stopped reading before). It returns nil after a
// Shutdown. It is called once.
func (s *Server) Run(ctx context.Context) error {
	if !s.started.CompareAndSwap(false, true) {
		return errors.New("engine: Run was called before")
	}
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.ShutdownTimeout)
	defer cancel()
	shutdownErr := s.shutdown(limited)
	return errors.Join(<-served, shutdownErr)
}

// serve runs the backend until it is stopped.
func (s *Server) serve() error {
	defer func() {
		if s.http != nil {
			s.http.cut()
		}
		s.finishCut()
		s.tellLoopEnds()
		close(s.done)
	}()
	err := s.backend.Serve(s.addLoop, func(bound []net.Addr) {
		s.addrs = bound
		close(s.ready)
		if s.http != nil {
			go s.http.serve(bound[0])
		}
	})
	if err != nil {
		return fmt.Errorf("engine: serve %s: %w", s.cfg.addresses(), err)
	}
	if !s.stopped.Load() {
		return errors.New("engine: the event loops have ended by themselves")
	}
	return nil
}

// tellLoopEnds is called when no loop runs any more.
func (s *Server) tellLoopEnds() {
	s.mu.Lock()
	loops := slices.Clone(s.loops)
	s.mu.Unlock()
	for _, l := range loops {
		l.end.tellEnd()
	}
}

// Ready is closed when the server listens. Safe from any goroutine.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addr is the first address that the server listens on, nil before Ready. Safe
// from any goroutine.
func (s *Server) Addr() net.Addr {
	if addrs := s.Addrs(); addrs != nil {
		return addrs[0]
	}
	return nil
}

// Addrs are all addresses that the server listens on: Config.Addr, then
// Config.Listeners, with the ports that 0 has become. It is nil before Ready.
// Don't change the slice. Safe from any goroutine.
func (s *Server) Addrs() []net.Addr {
	select {
	case <-s.ready:
		return s.addrs
	default:
		return nil
	}
}

// Connections is how many connections are open, those included that are in
// their handshake or their end, or with net/http. Safe from any goroutine.
func (s *Server) Connections() int { return int(s.open.Load()) }

// takePlace says whether one more connection fits MaxConns, and counts it.
func (s *Server) takePlace() bool {
	if s.places.Add(1) <= int64(s.cfg.MaxConns) {
		return true
	}
	s.places.Add(-1)
	return false
}

// connEnded counts a connection out.
func (s *Server) connEnded(hadPlace bool) {
	s.open.Add(-1)
	if hadPlace && s.places.Add(-1) == 0 && s.stopped.Load() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.checkDrained()
	}
}

// addLoop makes the engine's side of a loop.
func (s *Server) addLoop(w wire.Loop) wire.Handler {
	l := newLoop(s, w)
	s.mu.Lock()
	defer s.mu.Unlock()
	l.draining = s.drained != nil
	s.loops = append(s.loops, l)
	return l
}

const httpIdleTimeout = 60 * time.Second
