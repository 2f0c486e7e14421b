package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/codec"
)

// Endpoint is what a Server does with the WebSocket connections of one path.
// Only Handler is required.
type Endpoint struct {
	// Handler gets the events of the connections.
	Handler Handler

	// Origins are the origins whose web pages may connect besides those of the
	// server itself: whole origins, such as "https://example.com", or "*" for
	// all. The same origin always may: the host and port of the Origin header are
	// those of the Host header. A request without Origin comes from no browser
	// and passes. Others are answered with 403 (RFC 6455 §10.2).
	Origins []string

	// Subprotocols are those that the server speaks. The first one in the
	// client's order that is among them is chosen; with none in common the
	// connection has none (RFC 6455 §1.9).
	Subprotocols []string

	// Admit, if not nil, decides on a request that is valid otherwise. It may
	// read everything of the request, choose the subprotocol, add response
	// headers and set the connection's user state. An error refuses: a *Refusal
	// with its own status, any other with 403. Loop-only: it must not block.
	Admit func(r *Request) error

	// PingInterval is how long a peer may be silent before it is asked with a
	// ping whether it is there, at most 20 min. Zero means 30 s, a negative value
	// never. Without it, nobody notices a peer that vanished without a word.
	PingInterval time.Duration

	// PongTimeout is how long the answer may take. A peer that sends nothing at
	// all until then is closed with 1011. Zero means 10 s; at most 20 min.
	PongTimeout time.Duration

	// MaxMessage is the most that one message may take, in bytes over all its
	// frames. A longer one closes the connection with 1009. Zero means 1 MiB.
	MaxMessage int64

	// MaxFrames is how many frames one message may have. More of them close
	// the connection with 1008. Zero means 16384.
	MaxFrames int

	// MaxQueue is how many bytes may wait for a peer that reads slowly. A
	// message that finds the queue empty is always taken, so the bound is
	// MaxQueue or one message, whichever is more. While half of it waits, or so
	// much that an echo of MaxMessage would not fit, the peer is not read from,
	// so answers to its messages don't overflow it. A message that doesn't fit
	// all the same closes the connection with 1013. Zero means 1 MiB; at most
	// 1 GiB.
	MaxQueue int
}

const (
	maxMaxQueue  = 1 << 30
	maxHeartbeat = 20 * time.Minute // Conn.beat counts ticks in 16 bits
)

// endpoint is an Endpoint made ready: checked, with its interfaces found.
type endpoint struct {
	Endpoint
	path     string
	rules    codec.Rules
	onPing   PingHandler
	onPong   PongHandler
	plain    *identity
	byOffer  map[string]*identity // by subprotocol
	anywhere bool                 // Origins has "*"
}

// identity is what many connections have in common. Connections share it, so
// that path and subprotocol cost each of them one pointer.
type identity struct {
	*endpoint
	subprotocol string
}

func newEndpoint(path string, e Endpoint) (*endpoint, error) {
	setDefault(&e.PingInterval, 30*time.Second)
	setDefault(&e.PongTimeout, 10*time.Second)
	setDefault(&e.MaxMessage, 1<<20)
	setDefault(&e.MaxFrames, 16384)
	setDefault(&e.MaxQueue, 1<<20)
	if err := e.validate(path); err != nil {
		return nil, fmt.Errorf("engine: endpoint %q: %w", path, err)
	}
	e.Origins = slices.Clone(e.Origins)
	ep := &endpoint{
		Endpoint: e,
		path:     path,
		rules:    codec.Rules{Side: codec.Server, MaxMessage: e.MaxMessage, MaxFrames: e.MaxFrames},
		byOffer:  make(map[string]*identity, len(e.Subprotocols)),
		anywhere: slices.Contains(e.Origins, "*"),
	}
	for i, o := range ep.Origins {
		ep.Origins[i] = canonicalOrigin(o)
	}
	ep.onPing, _ = e.Handler.(PingHandler)
	ep.onPong, _ = e.Handler.(PongHandler)
	ep.plain = &identity{endpoint: ep}
	for _, p := range e.Subprotocols {
		ep.byOffer[p] = &identity{endpoint: ep, subprotocol: p}
	}
	return ep, nil
}

func (e Endpoint) validate(path string) error {
	switch {
	case !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?# \t\r\n"):
		return errors.New("the path must begin with / and have no query")
	case e.Handler == nil:
		return errors.New("Handler is nil")
	case e.PingInterval > maxHeartbeat || e.PongTimeout < 0 || e.PongTimeout > maxHeartbeat:
		return fmt.Errorf("PingInterval and PongTimeout are at most %v, and PongTimeout is not negative", maxHeartbeat)
	case e.MaxMessage < 0 || e.MaxFrames < 0:
		return errors.New("MaxMessage and MaxFrames must not be negative")
	case e.MaxQueue < 0 || e.MaxQueue > maxMaxQueue:
		return fmt.Errorf("MaxQueue is %d: it must be between 0 and %d", e.MaxQueue, maxMaxQueue)
	}
	for _, o := range e.Origins {
		if o != "*" && !validOrigin(o) {
			return fmt.Errorf("origin %q: it must be scheme://host[:port], without a path, or *", o)
		}
	}
	for _, p := range e.Subprotocols {
		if !isToken([]byte(p)) {
			return fmt.Errorf("subprotocol %q is no token (RFC 6455 §4.1)", p)
		}
	}
	return nil
}

// identify gives the shared identity for a subprotocol, or a new one for a
// subprotocol that only Admit knows.
func (e *endpoint) identify(subprotocol string) *identity {
	if subprotocol == "" {
		return e.plain
	}
	if id := e.byOffer[subprotocol]; id != nil {
		return id
	}
	return &identity{endpoint: e, subprotocol: subprotocol}
}
