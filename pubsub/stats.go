package pubsub

import (
	"sync/atomic"
	"time"
)

// Stats is what a hub has done, and what there is. Counts never go back.
type Stats struct {
	Topics        int
	Subscribers   int // connections with a subscription
	Subscriptions int

	Published  uint64
	Busy       uint64 // refused with ErrBusy
	Deliveries uint64 // messages that connections have accepted, marks included

	Conflated      uint64 // messages for which a newer one of their key went (Latest)
	DroppedLate    uint64 // older than Options.MaxAge (Deadline)
	DroppedPending uint64 // beyond Config.MaxPending, or MaxKeys without last values
	DroppedFull    uint64 // by the connection's policy for a full queue (DropNewest)

	Snapshots uint64 // of a topic for a subscription
	Lost      uint64 // of those, the ones that say that messages are missing
	Recovered uint64 // topics of which a subscriber that came back got all it had missed

	Latency Histogram // from Publish to the write on the socket, of each delivery
}

// Histogram is how often values were in which range.
type Histogram struct {
	Bounds []float64 // upper bounds in seconds, ascending
	Counts []uint64  // one for each bound, and one for what is above; not cumulative
	Sum    float64   // of all values, in seconds
}

// latencyBounds are the bounds of Stats.Latency.
var latencyBounds = [...]time.Duration{
	10 * time.Microsecond, 20 * time.Microsecond, 50 * time.Microsecond,
	100 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond,
	10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second,
}

// counters are a hub's own, for Stats.
type counters struct {
	published, busy, delivered     atomic.Uint64
	conflated, late, pending, full atomic.Uint64
	snapshots, lost, recovered     atomic.Uint64
	subscriptions                  atomic.Int64
	latency                        [len(latencyBounds) + 1]atomic.Uint64
	latencySum                     atomic.Int64 // nanoseconds
}

// Stats gives the hub's figures.
func (h *Hub) Stats() Stats {
	c := &h.stats
	s := Stats{
		Subscriptions: int(c.subscriptions.Load()),
		Published:     c.published.Load(), Busy: c.busy.Load(), Deliveries: c.delivered.Load(),
		Conflated: c.conflated.Load(), DroppedLate: c.late.Load(), DroppedPending: c.pending.Load(), DroppedFull: c.full.Load(),
		Snapshots: c.snapshots.Load(), Lost: c.lost.Load(), Recovered: c.recovered.Load(),
	}
	h.topicsMu.RLock()
	s.Topics = len(h.byName)
	h.topicsMu.RUnlock()
	h.eachShard(func(x *shard) {
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, o := range x.subscribers {
			if len(o.all) > 0 {
				s.Subscribers++
			}
		}
	})
	for i := range latencyBounds {
		s.Latency.Bounds = append(s.Latency.Bounds, latencyBounds[i].Seconds())
	}
	for i := range c.latency {
		s.Latency.Counts = append(s.Latency.Counts, c.latency[i].Load())
	}
	s.Latency.Sum = time.Duration(c.latencySum.Load()).Seconds()
	return s
}

// latencyNote is what a turn of a shard has delivered, until it is written.
type latencyNote struct {
	shard     *shard
	delivered uint64 // messages
	turn      uint64
	at        []time.Duration // when they were published
	runs      []notedRun
	wrote     func()
}

// notedRun is a part of at that went to so many connections.
type notedRun struct{ from, to, n int }

// notedAt is the run of a group in a turn.
type notedAt struct {
	turn uint64
	run  int
}

func (l *latencyNote) init(s *shard) {
	l.shard, l.turn = s, 1
	l.wrote = l.count
}

// add notes that a subscription has got all that its group gets in this turn.
func (l *latencyNote) add(g *group) {
	if g.noted.turn != l.turn {
		g.noted = notedAt{l.turn, len(l.runs)}
		from := len(l.at)
		for _, e := range g.events {
			l.at = append(l.at, e.at)
		}
		l.runs = append(l.runs, notedRun{from: from, to: len(l.at)})
	}
	l.runs[g.noted.run].n++
}

// addOne notes that one subscription has got one message.
func (l *latencyNote) addOne(e *event) {
	l.at = append(l.at, e.at)
	l.runs = append(l.runs, notedRun{len(l.at) - 1, len(l.at), 1})
}

// forget takes back what was noted from a run on: it was not sent.
func (l *latencyNote) forget(from int) { l.runs = l.runs[:from] }

// send has count called when the sockets have got what was delivered in this turn.
func (l *latencyNote) send() {
	if l.delivered > 0 {
		l.shard.hub.stats.delivered.Add(l.delivered)
		l.delivered = 0
	}
	if len(l.runs) > 0 && l.shard.loop != nil { // nil: it has ended in this turn, after another send
		l.shard.loop.AfterWrites(l.wrote)
	}
}

func (l *latencyNote) count() {
	stats, now := &l.shard.hub.stats, l.shard.hub.now()
	sum := time.Duration(0)
	for _, r := range l.runs {
		for _, at := range l.at[r.from:r.to] {
			d, bucket := now-at, 0
			for bucket < len(latencyBounds) && d > latencyBounds[bucket] {
				bucket++
			}
			stats.latency[bucket].Add(uint64(r.n))
			sum += d * time.Duration(r.n)
		}
	}
	stats.latencySum.Add(int64(sum))
	l.runs, l.at = l.runs[:0], l.at[:0]
	l.turn++
}
