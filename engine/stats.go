package engine

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats is what a Server has counted since it began, and what it holds now. See
// Server.Stats.
type Stats struct {
	// Connections is how many are open now: Server.Connections.
	Connections int
	// WebSockets is how many of those are between OnOpen and OnClose.
	WebSockets int
	// Accepted is how many connections have come.
	Accepted uint64
	// Handshakes is what became of them. Those that are missing are in their
	// handshake still.
	Handshakes map[Outcome]uint64
	// Refused are the peers that a limit has turned away. All but those of PeerRate are
	// among the Handshakes.
	Refused Refusals
	// Closes is how the WebSocket connections among them have ended.
	Closes map[Ending]uint64
	// Received and Sent are the messages and the bytes of each direction.
	Received, Sent Traffic
	// Dropped are the messages that were not sent.
	Dropped Drops
	// QueueBytes is how much waits for peers that have not taken it yet: the sum of
	// what Conn.Buffered gives, as of the last turn of each loop.
	QueueBytes int
	// RoundTrips are the times that heartbeats' pings took (Endpoint.PingInterval).
	RoundTrips Samples
	// LoopLags are the times by which the ticks of the loops' timers came late,
	// because a loop had other things to do. A loop without timers has none.
	LoopLags Samples
}

// Traffic is what has gone in one direction.
type Traffic struct {
	// Messages are whole messages, text and binary: those received from peers, or
	// those that were put in line for the socket. One that a policy has dropped is
	// not among the sent.
	Messages uint64
	// Bytes are what the sockets have given or taken, handshakes and frame headers
	// included, compressed where that was agreed on, and before TLS. What net/http
	// serves is not among them, but for the first bytes of a request; nor are the
	// requests of Server.Upgrade, and the handshakes of Dialer.Dial.
	Bytes uint64
}

// Drops counts messages that were not sent, by reason.
type Drops struct {
	Newest uint64 // there was no room: DropNewest
	Oldest uint64 // they made room for others: DropOldest
	Late   uint64 // they would have come too late: Conn.SendWithin
}

// Refusals counts who was turned away, by reason.
type Refusals struct {
	Conns         uint64 // Config.MaxConns
	ConnsPerIP    uint64 // Config.MaxConnsPerIP
	HandshakeRate uint64 // Config.MaxHandshakeRate
	ProxyHeader   uint64 // Listener.ProxyProtocol: none, a malformed one, or of a peer that isn't trusted
	PeerRate      uint64 // open connections closed with 1008: Endpoint.MaxMessageRate and the like
}

// Samples are times that were measured: how many, and their sum.
type Samples struct {
	Count uint64
	Sum   time.Duration
}

// Ending is how a connection ended, without the details.
type Ending struct {
	Code      CloseCode
	Initiator Initiator
}

// Stats gives what was counted. The parts are not of one instant: each is right by
// itself. Take it once a second or so, not once a message. Safe from any goroutine.
func (s *Server) Stats() Stats {
	all := Stats{
		Connections: s.Connections(),
		Handshakes:  make(map[Outcome]uint64),
		Closes:      make(map[Ending]uint64),
		Dropped:     Drops{s.drops.newest.Load(), s.drops.oldest.Load(), s.drops.late.Load()},
		Refused: Refusals{
			s.refusals.full.Load(), s.refusals.client.Load(), s.refusals.rate.Load(),
			s.refusals.proxy.Load(), s.refusals.limited.Load(),
		},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.loops {
		l.public.addTo(&all)
		l.ledger.addTo(&all)
	}
	return all
}

// loopStats is what a loop counts on the way of every message. It is loop-only; what
// others read is a copy, which is published once a turn: that costs a turn a few
// nanoseconds, and a message none.
type loopStats struct {
	reads, writes  uint64 // system calls that the wire was asked for
	received, sent Traffic
	queued         int // in the outboxes
}

// published is the copy. Only the loop writes to it.
type published struct {
	_                              [64]byte // on cache lines of its own: others write what stands beside
	messagesReceived, messagesSent atomic.Uint64
	bytesReceived, bytesSent       atomic.Uint64
	queued                         atomic.Uint64
	_                              [64]byte
}

// publish shows what was counted, at the end of a turn. Loop-only.
func (l *loop) publish() {
	c, p := &l.stats, &l.public
	show(&p.messagesReceived, c.received.Messages)
	show(&p.messagesSent, c.sent.Messages)
	show(&p.bytesReceived, c.received.Bytes)
	show(&p.bytesSent, c.sent.Bytes)
	show(&p.queued, uint64(c.queued))
}

// show stores a number that only the caller stores to. A load is cheap, a store
// takes as long as twenty other instructions.
func show(to *atomic.Uint64, n uint64) {
	if to.Load() != n {
		to.Store(n)
	}
}

func (p *published) addTo(all *Stats) {
	all.Received.Messages += p.messagesReceived.Load()
	all.Received.Bytes += p.bytesReceived.Load()
	all.Sent.Messages += p.messagesSent.Load()
	all.Sent.Bytes += p.bytesSent.Load()
	all.QueueBytes += int(p.queued.Load())
}

// ledger is what a loop counts now and then: once or twice in the life of a
// connection, or once a tick. The loop writes to it, anybody reads.
type ledger struct {
	mu         sync.Mutex // held for a few instructions
	accepted   uint64
	handshakes map[Outcome]uint64
	closes     map[Ending]uint64
	roundTrips Samples
	lags       Samples
}

func newLedger() ledger {
	return ledger{handshakes: make(map[Outcome]uint64), closes: make(map[Ending]uint64)}
}

func (b *ledger) addTo(all *Stats) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all.Accepted += b.accepted
	for outcome, n := range b.handshakes {
		all.Handshakes[outcome] += n
	}
	all.WebSockets += int(b.handshakes[OutcomeGranted])
	for ending, n := range b.closes {
		all.Closes[ending] += n
		all.WebSockets -= int(n)
	}
	all.RoundTrips.add(b.roundTrips)
	all.LoopLags.add(b.lags)
}

func (s *Samples) add(more Samples) {
	s.Count += more.Count
	s.Sum += more.Sum
}

// countQueue brings what is counted of the connection's queue up to date. A queue
// that one write empties is never counted. Loop-only.
func (c *Conn) countQueue() {
	if o := c.out; o != nil {
		n := o.total() - o.answer
		c.loop.stats.queued += n - o.counted
		o.counted = n
	}
}
