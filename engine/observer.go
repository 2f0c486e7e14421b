package engine

import (
	"net"
	"runtime/debug"
	"strconv"
	"time"
)

// Observer is told of what happens seldom: once or twice in the life of a
// connection, or once a tick. Server.Stats counts the same; an Observer sees each
// one, which a histogram needs, or a log. Its functions run on the loops, on several
// at once, and must not block. Nil ones are not called. A panic in one is logged.
type Observer struct {
	// Handshake is called when an opening handshake has been decided, or has come to
	// nothing. After OutcomeGranted OnOpen follows.
	Handshake func(remote net.Addr, outcome Outcome)
	// Closed is called before OnClose. With Endpoint.Workers callbacks of the
	// connection may still come.
	Closed func(c *Conn, info CloseInfo)
	// RoundTrip is called when a heartbeat is answered (Endpoint.PingInterval).
	RoundTrip func(c *Conn, took time.Duration)
	// LoopLag is called for every tick of a loop's timers, with how late it came: 20
	// times a second for each loop that has timers.
	LoopLag func(late time.Duration)
}

// Outcome says what became of an opening handshake: the status of its answer, 101
// or the one it was refused with, or one of the outcomes without an answer.
type Outcome int

// The outcomes that are no refusals.
const (
	OutcomeGranted Outcome = 101 // it is a WebSocket connection
	OutcomeHTTP    Outcome = 1   // it was another request, which net/http has got (Server.HandleHTTP)
	OutcomeGone    Outcome = 2   // the peer hung up before its request was whole
	OutcomeTLS     Outcome = 3   // the TLS handshake failed
	OutcomeCut     Outcome = 4   // it was hung up on: a flood, or its socket broke
)

// String gives "granted", "http", "gone", "tls", "cut", or a refusal's status.
func (o Outcome) String() string {
	switch o {
	case OutcomeGranted:
		return "granted"
	case OutcomeHTTP:
		return "http"
	case OutcomeGone:
		return "gone"
	case OutcomeTLS:
		return "tls"
	case OutcomeCut:
		return "cut"
	default:
		return strconv.Itoa(int(o))
	}
}

// The methods below count, and tell the observer. They are loop-only.

func (l *loop) noteAccept() {
	l.ledger.mu.Lock()
	l.ledger.accepted++
	l.ledger.mu.Unlock()
}

// noteHandshake is called once for each connection.
func (c *Conn) noteHandshake(outcome Outcome) {
	b := &c.loop.ledger
	b.mu.Lock()
	b.handshakes[outcome]++
	b.mu.Unlock()
	if tell := c.loop.server.cfg.Observer.Handshake; tell != nil {
		defer c.loop.recoverObserver()
		tell(c.remote, outcome)
	}
}

func (c *Conn) noteClose(info CloseInfo) {
	b := &c.loop.ledger
	b.mu.Lock()
	b.closes[Ending{info.Code, info.Initiator}]++
	b.mu.Unlock()
	if tell := c.loop.server.cfg.Observer.Closed; tell != nil {
		defer c.loop.recoverObserver()
		tell(c, info)
	}
}

func (c *Conn) noteRoundTrip(took time.Duration) {
	b := &c.loop.ledger
	b.mu.Lock()
	b.roundTrips.add(Samples{1, took})
	b.mu.Unlock()
	if tell := c.loop.server.cfg.Observer.RoundTrip; tell != nil {
		defer c.loop.recoverObserver()
		tell(c, took)
	}
}

func (l *loop) noteLag(late time.Duration) {
	b := &l.ledger
	b.mu.Lock()
	b.lags.add(Samples{1, late})
	b.mu.Unlock()
	if tell := l.server.cfg.Observer.LoopLag; tell != nil {
		defer l.recoverObserver()
		tell(late)
	}
}

// recoverObserver is deferred around every call of the observer: what only looks on
// must not end a loop.
func (l *loop) recoverObserver() {
	if p := recover(); p != nil {
		l.server.cfg.Logger.Error("panic in the observer", "panic", p, "stack", string(debug.Stack()))
	}
}
