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

	// Workers, if not zero, lets callbacks block: they run on a pool of at most so
	// many goroutines, which only this endpoint has. The callbacks of one
	// connection still run in order, never two at once. Messages are copied for
	// them; while more than 256, or 256 KiB, of a connection wait for their turn,
	// it is not read from. OnOpen, OnFull and Admit stay on the loop and must not
	// block. Zero means that all callbacks run on the loop. At most 10000.
	Workers int

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

	// MaxMessageRate is how many messages a peer may send in a second, a second's worth
	// of them at once. Who sends more is closed with 1008; the time of a pause
	// (HighWater, Conn.PauseRead) is credited. Zero means no limit.
	MaxMessageRate int

	// MaxByteRate is the same for bytes, as they come: compressed, with the headers of
	// frames, control frames too. A second's worth may come at once, or one message
	// of MaxMessage if that is more. Zero means no limit.
	MaxByteRate int

	// MaxControlRate is the same for pings and pongs together, without the answers to
	// our own pings. Zero means 100, a negative value no limit.
	MaxControlRate int

	// IdleTimeout is how long a connection may be without a message in either
	// direction. After that it is closed with 1001. It is for peers that are there
	// but of no use; PingInterval finds those that are gone. Zero means no limit.
	IdleTimeout time.Duration

	// MaxAge is how old a connection may get. It is closed with 1001 after that
	// time or up to a tenth earlier, at random, so that peers that came together
	// don't come back together. It spreads peers over servers that were added
	// later. Zero means no limit.
	MaxAge time.Duration

	// MaxQueue is how many bytes may wait for a peer that reads slowly. A
	// message that finds the queue empty is always taken, so the bound is
	// MaxQueue or one message, whichever is more. WhenFull says what becomes of a
	// message that doesn't fit. Zero means 1 MiB more than MaxMessage; at most 1 GiB.
	MaxQueue int

	// WhenFull says what becomes of a message for which the queue has no room. Zero
	// is CloseSlow: the connection is closed with 1013. With DropOldest and
	// AskHandler up to twice MaxQueue and a message may wait until the loop comes to
	// drop some; beyond that the newest is dropped. Whatever it is, a peer that takes nothing
	// for Config.StallTimeout is closed with 1013.
	WhenFull FullPolicy

	// HighWater and LowWater are marks in the queue, in bytes. While more than
	// HighWater waits, the peer is not read from, so answers to its messages don't
	// overflow the queue; when no more than LowWater is left it is read again, and
	// a handler with OnDrain is called. Zero means half of MaxQueue, or less where
	// an echo of MaxMessage would not fit otherwise, and half of HighWater.
	HighWater, LowWater int

	// MaxUnsent is how many bytes the kernel may hold for a peer that it has not sent
	// yet; beyond that the socket takes no more and messages wait here, where a policy
	// or a package like pubsub can still change its mind. With little, what a slow
	// reader gets next is new; too little costs throughput to a fast one that is far
	// away. Zero leaves it to the system: some megabytes. Linux holds up to twice as
	// much, and what a peer's own buffers take is beside it.
	MaxUnsent int

	// Compression, if not nil, offers permessage-deflate. Nil means that messages
	// go as they are.
	Compression *Compression
}

const (
	maxMaxQueue  = 1 << 30
	maxHeartbeat = 20 * time.Minute // Conn.beat counts ticks in 16 bits
)

// endpoint is an Endpoint made ready: checked, with its interfaces found.
type endpoint struct {
	Endpoint
	path         string
	pace         rates
	rules        codec.Rules
	deflateRules codec.Rules // with permessage-deflate
	onPing       PingHandler
	onPong       PongHandler
	onDrain      DrainHandler
	onFull       FullHandler
	plain        *identity
	byOffer      map[string]*identity // by subprotocol
	anywhere     bool                 // Origins has "*"
	workers      *workers             // nil without Workers
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
	setDefault(&e.MaxControlRate, 100)
	setDefault(&e.MaxQueue, int(min(e.MaxMessage+1<<20, maxMaxQueue)))
	setDefault(&e.HighWater, e.highWater())
	setDefault(&e.LowWater, e.HighWater/2)
	var err error
	if e.Compression, err = e.Compression.withDefaults(); err != nil {
		return nil, fmt.Errorf("engine: endpoint %q: %w", path, err)
	}
	if err := e.validate(path); err != nil {
		return nil, fmt.Errorf("engine: endpoint %q: %w", path, err)
	}
	e.Origins = slices.Clone(e.Origins)
	ep := &endpoint{
		Endpoint: e,
		path:     path,
		pace:     e.rates(),
		rules:    codec.Rules{Side: codec.Server, MaxMessage: e.MaxMessage, MaxFrames: e.MaxFrames},
		byOffer:  make(map[string]*identity, len(e.Subprotocols)),
		anywhere: slices.Contains(e.Origins, "*"),
		workers:  newWorkers(e.Workers),
	}
	for i, o := range ep.Origins {
		ep.Origins[i] = canonicalOrigin(o)
	}
	ep.onPing, _ = e.Handler.(PingHandler)
	ep.deflateRules = ep.rules
	ep.deflateRules.Deflate = true
	ep.onPong, _ = e.Handler.(PongHandler)
	ep.onDrain, _ = e.Handler.(DrainHandler)
	ep.onFull, _ = e.Handler.(FullHandler)
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
	case e.Workers < 0 || e.Workers > maxWorkers:
		return fmt.Errorf("an endpoint has 0 to %d Workers, not %d", maxWorkers, e.Workers)
	case e.PingInterval > maxHeartbeat || e.PongTimeout < 0 || e.PongTimeout > maxHeartbeat:
		return fmt.Errorf("PingInterval and PongTimeout are at most %v, and PongTimeout is not negative", maxHeartbeat)
	case e.MaxMessage < 0 || e.MaxFrames < 0:
		return errors.New("MaxMessage and MaxFrames must not be negative")
	case e.MaxMessageRate < 0 || e.MaxByteRate < 0 || max(e.MaxMessageRate, e.MaxByteRate, e.MaxControlRate) > maxRate:
		return fmt.Errorf("MaxMessageRate and MaxByteRate are not negative, and they and MaxControlRate at most %d", maxRate)
	case e.MaxQueue < 0 || e.MaxQueue > maxMaxQueue:
		return fmt.Errorf("MaxQueue is %d: it must be between 0 and %d", e.MaxQueue, maxMaxQueue)
	case e.MaxUnsent < 0 || e.MaxUnsent > maxMaxQueue:
		return fmt.Errorf("MaxUnsent is %d: it must be between 0 and %d", e.MaxUnsent, maxMaxQueue)
	case e.LowWater < 0 || e.LowWater > e.HighWater || e.HighWater > e.MaxQueue:
		return errors.New("LowWater is at most HighWater, and HighWater at most MaxQueue")
	case e.IdleTimeout < 0 || e.IdleTimeout > maxLimit || e.MaxAge < 0 || e.MaxAge > maxLimit:
		return fmt.Errorf("IdleTimeout and MaxAge are at most %v, and not negative", maxLimit)
	case e.WhenFull > AskHandler:
		return fmt.Errorf("WhenFull is %d: it must be CloseSlow, DropNewest, DropOldest or AskHandler", e.WhenFull)
	case e.WhenFull == AskHandler && !implements[FullHandler](e.Handler):
		return errors.New("WhenFull is AskHandler, but Handler has no OnFull")
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

func implements[T any](h Handler) bool {
	_, ok := h.(T)
	return ok
}

// highWater is the default of HighWater: half of MaxQueue, or less, so that an echo
// of the longest message still fits.
func (e Endpoint) highWater() int {
	room := int64(e.MaxQueue) - e.MaxMessage - codec.MaxHeaderSize
	return int(max(0, min(room, int64(e.MaxQueue/2))))
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
