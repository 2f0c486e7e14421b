package engine

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/headrace/headrace/engine/internal/gnetwire"
	"github.com/headrace/headrace/engine/internal/tlswire"
	"github.com/headrace/headrace/engine/internal/wire"
)

// ClientConfig are the settings of a Client. The zero value serves.
type ClientConfig struct {
	// Loops is the number of event loops. Zero means one per processor that Go may
	// use (GOMAXPROCS), less one where there are several.
	Loops int

	// MaxConns is how many connections may be open at once. Dial fails beyond it.
	// Zero means what RLIMIT_NOFILE allows, less some for everything else.
	MaxConns int

	// HandshakeTimeout is the time for one Dial: TCP, proxy, TLS and the opening
	// handshake together. Zero means 10 s.
	HandshakeTimeout time.Duration

	// StallTimeout, CloseTimeout, ShutdownTimeout, ReadBuffer and Logger are those
	// of Config.
	StallTimeout    time.Duration
	CloseTimeout    time.Duration
	ShutdownTimeout time.Duration
	ReadBuffer      int
	Logger          *slog.Logger
}

// Client carries outgoing connections on event loops of its own, as a Server does
// incoming ones: the same Conn, Handler and limits, and no goroutine for a
// connection that is open. Make one with NewClient for all connections of a
// program, and Close it at the end.
type Client struct {
	host   *Server // without listeners and endpoints
	served chan error
}

// NewClient makes a Client and starts its loops.
func NewClient(cfg ClientConfig) (*Client, error) {
	full, err := Config{
		Addr:             ":0", // nobody listens there
		Loops:            cfg.Loops,
		MaxConns:         cfg.MaxConns,
		HandshakeTimeout: cfg.HandshakeTimeout,
		StallTimeout:     cfg.StallTimeout,
		CloseTimeout:     cfg.CloseTimeout,
		ShutdownTimeout:  cfg.ShutdownTimeout,
		ReadBuffer:       cfg.ReadBuffer,
		Logger:           cfg.Logger,
	}.withDefaults()
	if err != nil {
		return nil, err
	}
	full.Addr = ""
	c := &Client{host: newServer(full, newClientBackend(full)), served: make(chan error, 1)}
	c.host.started.Store(true)
	go func() { c.served <- c.host.serve() }()
	select {
	case <-c.host.ready:
		return c, nil
	case err := <-c.served:
		return nil, err
	}
}

// newClientBackend makes a transport without listeners.
func newClientBackend(cfg Config) wire.Backend {
	loops := gnetwire.New(gnetwire.Options{Loops: cfg.Loops, ReadBuffer: cfg.ReadBuffer, Logger: cfg.Logger})
	return tlswire.New(loops, tlswire.Options{Logger: cfg.Logger})
}

// Close closes every connection with 1001, behind what was accepted for sending,
// and returns when all have ended; what has not within ClientConfig.ShutdownTimeout
// is cut. Safe from any goroutine.
func (c *Client) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), c.host.cfg.ShutdownTimeout)
	defer cancel()
	return c.host.Shutdown(ctx)
}

// Connections is how many connections are open. Safe from any goroutine.
func (c *Client) Connections() int { return c.host.Connections() }

var (
	errTooMany = errors.New("too many connections are open (ClientConfig.MaxConns)")
	errStopped = errors.New("the client is closed")
)

// adopt moves a connection whose handshake is done onto a loop. It takes ownership
// of conn.
func (c *Client) adopt(ctx context.Context, conn net.Conn, g *granted) (*Conn, error) {
	var made *Conn
	var refused error
	err := c.host.backend.Adopt(ctx, conn, func(h wire.Handler, s wire.Socket, remote net.Addr) (wire.Owner, func()) {
		l := h.(*loop)
		made = l.newConn(s, remote)
		return (*owner)(made), func() { refused = l.openGranted(made, g) }
	})
	switch {
	case err == nil:
		return made, refused
	case c.host.stopped.Load():
		err = errStopped
	}
	_ = conn.Close()
	return nil, err
}

// openGranted opens a connection that a server has granted.
func (l *loop) openGranted(c *Conn, g *granted) error {
	l.enter()
	defer l.leave(c)
	switch {
	case l.draining:
		c.hangUp(ErrShutdown)
		return errStopped
	case !l.server.takePlace():
		c.hangUp(nil)
		return errTooMany
	}
	c.flags |= flagPlace
	if g.deflate != nil {
		c.extra().deflate = g.deflate
	}
	c.open(g.id)
	c.hearBehind(g.behind)
	return nil
}
