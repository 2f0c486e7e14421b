package pubsub

import (
	"fmt"
	"testing"

	"github.com/headrace/headrace/engine"
)

// subscriptionBudget is the heap that a subscription may take beside its connection,
// in bytes: the subscriber's part included, once it is through with its snapshot.
const subscriptionBudget = 512

func TestSubscriptionMemory(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector changes the size of everything")
	}
	s := newStage(t, Config{Encoder: Payloads{Kind: engine.Text}}, engine.Endpoint{PingInterval: -1}, 1)
	for i := range 50 {
		s.publish(fmt.Sprint("ticks.", i), "", "1")
	}
	const n = 3000
	var peers []*rawPeer
	for range n {
		peers = append(peers, s.joinRaw())
	}
	subscribe := func(pattern string, o Options) float64 {
		before := heapInUse()
		had := s.hub.Stats().Subscriptions
		for _, p := range peers {
			if err := s.hub.Subscribe(p.server, pattern, o); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "all are there", func() bool { return s.hub.Stats().Subscriptions == had+n })
		eventually(t, "all snapshots are through", func() bool { return s.fences(peers[0].server) == 0 })
		return float64(int64(heapInUse())-int64(before)) / n
	}
	first := subscribe("ticks.*", Options{})
	second := subscribe("more", Options{Mode: Latest})
	t.Logf("a connection's first subscription takes %.0f bytes of heap, the next %.0f", first, second)
	if first > subscriptionBudget || second > subscriptionBudget {
		t.Errorf("a subscription takes %.0f and %.0f bytes of heap, the budget is %d", first, second, subscriptionBudget)
	}
}

// A delivery allocates nothing, in any mode, while the sockets take everything.
func TestDeliveriesAllocateNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	s := newStage(t, Config{Encoder: Payloads{Kind: engine.Text}}, engine.Endpoint{PingInterval: -1}, 1)
	d := newDrain(t)
	const peers = 300
	for i := range peers {
		p := s.joinRaw()
		if err := s.hub.Subscribe(p.server, "a.*", Options{Mode: Mode(i % 2), NoSnapshot: true}); err != nil {
			t.Fatal(err)
		}
		d.add(p.Conn)
	}
	payload := []byte("100 bytes or so")
	publish := func() {
		want := s.hub.stats.delivered.Load() + 4*peers
		for range 4 {
			if _, err := s.hub.Publish("a.b", "key", payload); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "all are delivered", func() bool { return s.hub.stats.delivered.Load() >= want })
	}
	for range 50 {
		publish()
	}
	const rounds = 50
	before := mallocs()
	for range rounds {
		publish()
	}
	if per := float64(mallocs()-before) / (rounds * 4 * peers); per > 0.05 {
		t.Errorf("%.3f allocations per delivery", per)
	}
}

// fences is how many subscriptions of a loop are not through with their snapshot.
func (s *stage) fences(c *engine.Conn) (n int) {
	done := make(chan struct{})
	c.Loop().NewWork(func() bool {
		defer close(done)
		x := s.hub.shardOf(c)
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, o := range x.subscribers {
			for _, sub := range o.live {
				if sub.fence != nil {
					n++
				}
			}
		}
		return false
	}).Ask()
	<-done
	return n
}
