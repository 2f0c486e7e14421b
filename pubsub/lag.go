package pubsub

import (
	"cmp"
	"slices"
	"time"

	"github.com/headrace/headrace/engine"
)

// Lag is a subscription for which something waits.
type Lag struct {
	Conn    *engine.Conn
	Pattern string
	Mode    Mode
	Waiting int           // messages that wait for the socket, or until they are due
	Age     time.Duration // of the oldest of them
	Bytes   int           // that the connection has accepted and not sent: Conn.Buffered
}

// lagPatience is how long Slowest waits for a loop.
const lagPatience = time.Second

// Slowest gives the n subscriptions for which most waits, the slowest first. It asks
// every loop, each of which looks at all its subscribers, and leaves out a loop that
// does not answer within a second. Those for which nothing waits are left out too.
func (h *Hub) Slowest(n int) []Lag {
	n = max(0, n)
	var shards []*shard
	h.eachShard(func(s *shard) { shards = append(shards, s) })
	answers := make(chan []Lag, len(shards)) // so that none waits when nobody does any more
	for _, s := range shards {
		s.ask(order{kind: orderDo, do: func() { answers <- slowest(s.lags(), n) }})
	}
	var all []Lag
	timeout := time.After(lagPatience)
	for range shards {
		select {
		case some := <-answers:
			all = append(all, some...)
		case <-timeout:
			return slowest(all, n)
		}
	}
	return slowest(all, n)
}

func slowest(all []Lag, n int) []Lag {
	slices.SortFunc(all, func(a, b Lag) int {
		return cmp.Or(cmp.Compare(b.Bytes+1024*b.Waiting, a.Bytes+1024*a.Waiting), cmp.Compare(b.Age, a.Age))
	})
	return all[:min(n, len(all))]
}

// lags gives all subscriptions of the shard for which something waits.
func (s *shard) lags() (all []Lag) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.subscribers {
		bytes := o.conn.Buffered()
		for _, sub := range o.live {
			l := Lag{Conn: o.conn, Pattern: sub.pattern, Mode: sub.options.Mode, Bytes: bytes}
			if sub.waiting != nil && sub.waiting.len() > 0 {
				l.Waiting, l.Age = sub.waiting.len(), s.now-sub.waiting.oldest()
			}
			if l.Waiting > 0 || l.Bytes > 0 {
				all = append(all, l)
			}
		}
	}
	return all
}
