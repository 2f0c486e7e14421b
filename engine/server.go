package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/engine/internal/gnetwire"
	"github.com/headrace/headrace/engine/internal/tlswire"
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
	poison    bool                                   // tests: see memory.poison
	random    func(most time.Duration) time.Duration // from 0 on, below most; tests have one with a seed

	maxRefused int64 // see the function of that name

	// any goroutine
	open    atomic.Int64 // connections, net/http's included
	places  atomic.Int64 // of those, the ones that count against MaxConns: not those refused at once
	drops   drops
	started atomic.Bool
	stopped atomic.Bool // Shutdown has begun
	ready   chan struct{}
	addrs   []net.Addr    // valid once ready is closed
	done    chan struct{} // closed when serving has ended

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
	return newServer(cfg, newBackend(cfg)), nil
}

// newBackend makes the transport: gnet, and TLS above it where an address speaks
// it.
func newBackend(cfg Config) wire.Backend {
	var addrs []gnetwire.Listener
	var configs []*tls.Config
	for _, l := range cfg.listeners() {
		addrs = append(addrs, gnetwire.Listener{Network: l.Network, Addr: numbered(l)})
		configs = append(configs, l.TLS)
	}
	backend := gnetwire.New(gnetwire.Options{
		Listeners:  addrs,
		Loops:      cfg.Loops,
		ReadBuffer: cfg.ReadBuffer,
		Logger:     cfg.Logger,
	})
	if !slices.ContainsFunc(configs, func(c *tls.Config) bool { return c != nil }) {
		return backend
	}
	return tlswire.New(backend, tlswire.Options{
		Configs:       configs,
		MaxHandshakes: cfg.MaxTLSHandshakes,
		Logger:        cfg.Logger,
	})
}

// numbered is the address with its port in digits.
func numbered(l Listener) string {
	host, port, _ := net.SplitHostPort(l.Addr)
	if n, err := net.LookupPort(l.Network, port); err == nil {
		port = strconv.Itoa(n)
	}
	return net.JoinHostPort(host, port)
}

func newServer(cfg Config, backend wire.Backend) *Server {
	return &Server{
		cfg:        cfg,
		backend:    backend,
		random:     rand.N[time.Duration],
		maxRefused: maxRefused(cfg.MaxConns),
		endpoints:  make(map[string]*endpoint),
		ready:      make(chan struct{}),
		done:       make(chan struct{}),
	}
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
// (then errors.Is(err, context.DeadlineExceeded)). It returns nil after a
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

// Shutdown closes every connection with 1001, behind what was accepted for
// sending, answers new ones with 503, and waits until all have ended; then Run
// returns. When ctx ends before, the rest is cut and ctx's error returned. Safe
// from any goroutine, but a callback that calls it holds up what it waits for.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.started.Load() {
		return errors.New("engine: Shutdown before Run")
	}
	err := s.shutdown(ctx)
	select {
	case <-s.done:
	case <-ctx.Done():
		err = errors.Join(err, context.Cause(ctx))
	}
	return err
}

func (s *Server) shutdown(ctx context.Context) error {
	select {
	case <-s.done: // it never listened, or has ended
		return nil
	default:
	}
	select {
	case <-s.ready:
	case <-s.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	drained := s.beginDrain()
	httpDone := make(chan struct{})
	go func() {
		defer close(httpDone)
		if s.http != nil {
			s.http.stop(ctx)
		}
	}()
	var err error
	select {
	case <-drained:
	case <-s.done:
	case <-ctx.Done():
		err = fmt.Errorf("engine: shutdown cut %d connections: %w", s.Connections(), context.Cause(ctx))
	}
	<-httpDone
	err = errors.Join(err, s.finishWork(ctx))
	s.backend.Stop()
	return err
}

// beginDrain has every loop close its connections.
func (s *Server) beginDrain() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained == nil {
		s.drained = make(chan struct{})
		s.stopped.Store(true)
		for _, l := range s.loops {
			l.push(item{run: (*loop).drainAll})
		}
		s.checkDrained()
	}
	return s.drained
}

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

// checkDrained ends the wait of Shutdown when nobody is left. Those that are just
// being refused don't count: clients that come again and again must not hold it
// up. The caller holds mu.
func (s *Server) checkDrained() {
	if s.places.Load() > 0 {
		return
	}
	select {
	case <-s.drained:
	default:
		close(s.drained)
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

// drainAll begins the end of every connection of the loop.
func (l *loop) drainAll() {
	l.draining = true
	for _, c := range l.conns {
		switch c.phase {
		case phaseHandshake:
			if l.request.conn != c { // else Admit is being asked, see judge
				c.abandon(refuseShutdown)
			}
		case phaseOpen:
			c.fail(ErrShutdown)
		case phaseClosing, phaseDraining, phaseDoomed, phaseEnded:
		}
	}
}

const httpIdleTimeout = 60 * time.Second
