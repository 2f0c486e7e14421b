package pubsub

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

// onlySubscription runs f on the loop of a connection that has one subscription.
func (s *stage) onlySubscription(l *listener, f func(x *shard, sub *subscription)) {
	s.t.Helper()
	x := s.hub.shardOf(l.conn)
	onShard(l, func() {
		x.mu.Lock()
		o := x.subscribers[l.conn]
		x.mu.Unlock()
		if len(o.live) != 1 {
			s.t.Errorf("%d subscriptions, want 1", len(o.live))
			return
		}
		f(x, o.live[0])
	})
}

// delivered waits until the shards have done all that was pushed.
func (s *stage) delivered() {
	s.t.Helper()
	eventually(s.t, "all is delivered", func() bool {
		left := int64(0)
		s.hub.eachShard(func(x *shard) { left += x.backlog.Load() })
		return left == 0
	})
}

// What waits for a Latest subscription is bounded where keys come and go, and it ends
// up with what there is.
func TestLatestWithKeysThatComeAndGo(t *testing.T) {
	const maxKeys = 16
	for name, o := range map[string]Options{
		"after a snapshot": {Mode: Latest}, "without": {Mode: Latest, NoSnapshot: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, Config{MaxKeys: maxKeys}, engine.Endpoint{MaxQueue: 8 << 20}, 1)
			slow := s.join()
			s.subscribe(slow, "orders", o)
			slow.waitLive("orders")
			const known = maxKeys / 2
			for i := range known {
				s.publish("orders", fmt.Sprint("known-", i), "x")
			}
			slow.wait("all keys", func(all []heard) bool { return countKind(all, "update", "orders") == known })
			s.stall(slow)
			for i := range known {
				if _, err := s.hub.Delete("orders", fmt.Sprint("known-", i)); err != nil {
					t.Fatal(err)
				}
			}
			most := 0
			for i := range 2000 {
				k := fmt.Sprint("order-", i)
				s.publish("orders", k, "x")
				if _, err := s.hub.Delete("orders", k); err != nil {
					t.Fatal(err)
				}
				if i%20 == 0 {
					s.delivered()
					s.onlySubscription(slow, func(_ *shard, sub *subscription) {
						if sub.waiting != nil {
							most = max(most, sub.waiting.len())
						}
					})
				}
			}
			if most != known {
				t.Errorf("up to %d messages waited, %d should: keys that the subscriber knows, and that are gone", most, known)
			}
			s.publish("orders", "kept", "still here")
			slow.dialed.ResumeRead()
			slow.wait("what there is", func(all []heard) bool {
				return strings.Contains(short(all[len(all)-min(len(all), 50):]), "orders:kept=still here")
			})
		})
	}
}

// A Latest subscriber of many topics gets the newest of each, with a snapshot and without:
// MaxKeys is the limit of one topic.
func TestLatestOfMoreTopicsThanKeys(t *testing.T) {
	const topics = 100
	for _, noSnapshot := range []bool{false, true} {
		s := newStage(t, Config{MaxKeys: topics / 4}, engine.Endpoint{MaxQueue: 8 << 20}, 1)
		slow := s.join()
		s.subscribe(slow, "a.*", Options{Mode: Latest, NoSnapshot: noSnapshot})
		slow.waitLive("a.*")
		s.stall(slow)
		for round := range 3 {
			for i := range topics {
				s.publish(fmt.Sprint("a.", i), "", fmt.Sprint(round))
			}
		}
		s.delivered()
		slow.dialed.ResumeRead()
		slow.wait("the newest of each", func(all []heard) bool {
			last := 0
			for _, h := range all {
				if h.payload == "2" {
					last++
				}
			}
			return last == topics
		})
		if st := s.hub.Stats(); st.Conflated != 2*topics || st.DroppedPending != 0 {
			t.Errorf("no snapshot %t: %d conflated, %d dropped", noSnapshot, st.Conflated, st.DroppedPending)
		}
	}
}

// What waits with Deadline is bounded in bytes, and those that are too old go also while
// the socket takes nothing.
func TestDeadlineIsBounded(t *testing.T) {
	s := newStage(t, Config{NoLastValues: true, History: NoHistory}, engine.Endpoint{MaxQueue: 8 << 20}, 1)
	patient, hasty := s.join(), s.join()
	s.subscribe(patient, "a", Options{Mode: Deadline, MaxAge: time.Hour})
	s.subscribe(hasty, "a", Options{Mode: Deadline, MaxAge: time.Millisecond})
	for _, l := range []*listener{patient, hasty} {
		l.waitLive("a")
		s.stall(l)
	}
	for range 50 {
		s.publish("a", "", strings.Repeat("x", 200<<10)) // 10 MB in all
	}
	s.delivered()
	s.onlySubscription(patient, func(_ *shard, sub *subscription) {
		w := sub.waiting.(*inOrder)
		held := 0
		for _, e := range w.events[w.first:] {
			held += e.size()
		}
		if w.len() < 10 || held > maxPendingBytes || held != w.bytes {
			t.Errorf("%d messages of %d bytes wait, counted as %d; at most %d may", w.len(), held, w.bytes, maxPendingBytes)
		}
	})
	eventually(t, "what is too old is gone", func() bool {
		s.publish("a", "", "x")
		s.delivered()
		held := 0
		s.onlySubscription(hasty, func(_ *shard, sub *subscription) {
			if sub.waiting != nil {
				held = sub.waiting.(*inOrder).bytes
			}
		})
		return held < 100<<10
	})
}

// A key has at most 1024 bytes, and counts in what is kept.
func TestLongKeys(t *testing.T) {
	h, err := New(Config{MaxPayload: 10, NoLastValues: true, HistoryBytes: 8 * maxKey})
	if err != nil {
		t.Fatal(err)
	}
	longest := strings.Repeat("k", maxKey)
	for range 20 {
		if _, err := h.Publish("a", longest, nil); err != nil {
			t.Fatal(err)
		}
	}
	if top := h.topic("a"); top.history.count != 8 {
		t.Errorf("%d messages are kept, there is room for 8", top.history.count)
	}
	if _, err := h.Publish("a", longest+"k", nil); !errors.Is(err, ErrTooLong) {
		t.Errorf("Publish: %v", err)
	}
	if _, err := h.Delete("a", longest+"k"); !errors.Is(err, ErrTooLong) {
		t.Errorf("Delete: %v", err)
	}
}

func TestManyPositions(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	l := s.join()
	since := map[string]Position{}
	for i := range maxPositions {
		since[fmt.Sprint("a.", i)] = Position{1, 1}
	}
	s.subscribe(l, "a.*", Options{Since: since})
	if n := len(l.waitLive("a.*")); n != 2*maxPositions+1 {
		t.Errorf("%d messages, want a beginning and an end of each", n)
	}
	since["a.more"] = Position{1, 1}
	if err := s.hub.Subscribe(l.conn, "a.*", Options{Since: since}); !errors.Is(err, ErrBadOptions) {
		t.Errorf("one more: %v", err)
	}
}

// What is due later does not outlive the subscription that it is for.
func TestSubscriptionEndsBeforeItIsDue(t *testing.T) {
	s := newStage(t, Config{NoLastValues: true}, engine.Endpoint{}, 1)
	stays := s.join()
	s.subscribe(stays, "other", Options{})
	stays.waitLive("other")
	const peers = 20
	var all []*rawPeer
	for range peers {
		p := s.joinRaw()
		if err := s.hub.Subscribe(p.server, "a", Options{Mode: Latest, MaxRate: 0.001, NoSnapshot: true}); err != nil {
			t.Fatal(err)
		}
		settle(p.server)
		all = append(all, p)
	}
	timed := func() (n int) {
		s.onlySubscription(stays, func(x *shard, _ *subscription) { n = len(x.timed) })
		return n
	}
	s.publish("a", "", "at once")
	s.publish("a", "", "later")
	s.delivered()
	eventually(t, "all wait until they are due", func() bool {
		s.publish("a", "", "later")
		s.delivered()
		return timed() == peers
	})
	for i, p := range all {
		if i%2 == 0 {
			_ = p.Close()
		} else if err := s.hub.Unsubscribe(p.server, "a"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "they have left", func() bool { return s.hub.Stats().Subscriptions == 1 })
	if n := timed(); n != 0 {
		t.Errorf("%d are still to be called", n)
	}
}

// The latency is that of messages that were sent.
func TestLatencyIsOfWhatIsDelivered(t *testing.T) {
	s := newStage(t, Config{NoLastValues: true}, engine.Endpoint{}, 1)
	p := s.joinRaw()
	if err := s.hub.Subscribe(p.server, "a", Options{NoSnapshot: true}); err != nil {
		t.Fatal(err)
	}
	settle(p.server)
	counted := func() (n uint64) {
		for _, c := range s.hub.Stats().Latency.Counts {
			n += c
		}
		return n
	}
	for range 10 {
		s.publish("a", "", "x")
	}
	eventually(t, "10 are counted", func() bool { return counted() == 10 })
	_ = p.server.Close(engine.CloseNormal, "") // the peer does not answer: it stays for a while
	settle(p.server)
	for range 100 {
		s.publish("a", "", "x")
	}
	s.delivered()
	settle(p.server)
	settle(p.server)
	if n, st := counted(), s.hub.Stats(); n != 10 || n > st.Deliveries || st.Subscriptions != 1 {
		t.Errorf("%d in the histogram, %d deliveries, %d subscriptions", n, st.Deliveries, st.Subscriptions)
	}
}
