package pubsub

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/headrace/headrace/engine"
)

// isStalled says whether a connection's socket takes no more.
func isStalled(c *engine.Conn) (stalled bool) {
	done := make(chan struct{})
	c.Loop().NewWork(func() bool { stalled = c.Stalled(); close(done); return false }).Ask()
	<-done
	return stalled
}

// subscribeUnread subscribes for a peer that doesn't read, until its snapshot has filled
// the socket.
func (s *stage) subscribeUnread(l *listener, pattern string, o Options) {
	s.t.Helper()
	l.dialed.PauseRead()
	s.subscribe(l, pattern, o)
	eventually(s.t, "the socket takes no more", func() bool { return isStalled(l.conn) })
}

// countKind counts messages of a kind and a topic.
func countKind(all []heard, kind, topic string) (n int) {
	for _, h := range all {
		if h.kind == kind && h.topic == topic {
			n++
		}
	}
	return n
}

// large makes a topic whose values are 16 MiB.
func (s *stage) large(topic string) (keys int) {
	payload := strings.Repeat("x", 64<<10)
	for i := range 256 {
		s.publish(topic, fmt.Sprint(i), payload)
	}
	return 256
}

// A snapshot takes no more of the queue than there is, whatever the topic holds and
// whether the peer reads or not.
func TestSnapshotBeyondTheQueue(t *testing.T) {
	const most = 1 << 20
	s := newStage(t, Config{}, engine.Endpoint{MaxQueue: most}, 1)
	keys := s.large("a")
	l := s.join()
	s.subscribeUnread(l, "a", Options{Mode: Latest})
	settle(l.conn)
	if n := l.conn.Buffered(); n > most {
		t.Errorf("%d bytes wait, at most %d may", n, most)
	}
	l.dialed.ResumeRead()
	all := l.waitLive("a")
	if n := countKind(all, "update", "a"); n != keys || all[len(all)-2].kind != "end" {
		t.Errorf("%d values of %d, before the end %v", n, keys, all[len(all)-2])
	}
}

// A snapshot under way leaves room in the queue for what is published meanwhile.
func TestSnapshotLeavesRoomForOthers(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{MaxQueue: 1 << 20, WhenFull: engine.CloseSlow}, 1)
	s.publish("a.tick", "", "0") // older, so its snapshot is the first
	keys := s.large("a.large")
	l := s.join()
	s.subscribeUnread(l, "a.*", Options{})
	const ticks = 200
	for range ticks {
		s.publish("a.tick", "", strings.Repeat("t", 1000))
	}
	settle(l.conn)
	settle(l.conn)
	if !l.conn.IsOpen() {
		t.Fatal("closed: the snapshot has taken the queue")
	}
	l.dialed.ResumeRead()
	all := l.wait("all", func(all []heard) bool {
		return len(all) >= 1+ticks+keys+5
	})
	if n := countKind(all, "update", "a.tick"); n != 1+ticks {
		t.Errorf("%d ticks, want %d", n, 1+ticks)
	}
	if n := countKind(all, "update", "a.large"); n != keys {
		t.Errorf("%d values of %d", n, keys)
	}
}

// The client's end of a connection subscribes too: what it sends is masked for it
// alone, within the same limits.
func TestSnapshotFromAClientsEnd(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	s.large("a")
	l := s.join()
	if err := s.hub.Subscribe(l.dialed, "a", Options{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the snapshot is sent, or its connection closed", func() bool {
		return s.hub.Stats().Snapshots == 1 || !l.dialed.IsOpen()
	})
	if !l.dialed.IsOpen() || l.dialed.Dropped() > 0 {
		t.Errorf("open: %v, %d messages dropped", l.dialed.IsOpen(), l.dialed.Dropped())
	}
}

// Many small topics, and a queue that has room for two or three of them.
func TestSnapshotWithASmallQueue(t *testing.T) {
	const topics = 300
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, Config{}, engine.Endpoint{MaxQueue: 32 << 10, MaxUnsent: 16 << 10, WhenFull: policy}, 1)
			for i := range topics {
				s.publish(fmt.Sprint("a.", i), "", strings.Repeat("x", 12_000))
			}
			l := s.join()
			s.subscribeUnread(l, "a.*", Options{Mode: Latest})
			l.dialed.ResumeRead()
			all := l.waitLive("a.*")
			if len(all) != 3*topics+1 || l.conn.Dropped() != 0 {
				t.Errorf("%d messages of %d, %d dropped", len(all), 3*topics+1, l.conn.Dropped())
			}
		})
	}
}

var policies = map[string]engine.FullPolicy{
	"CloseSlow": engine.CloseSlow, "DropNewest": engine.DropNewest, "DropOldest": engine.DropOldest,
}

// What has waited for the subscriptions of a connection leaves within its queue, so the
// policy takes nothing that is the newest.
func TestLatestWithASmallQueueLosesNothingNewest(t *testing.T) {
	const subs, keys = 10, 10
	payload := strings.Repeat("x", 3000)
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, Config{}, engine.Endpoint{MaxQueue: 192 << 10, MaxUnsent: 16 << 10, WhenFull: policy}, 1)
			l := s.join()
			for i := range subs {
				s.subscribe(l, fmt.Sprint("t", i), Options{Mode: Latest, NoSnapshot: true})
			}
			l.waitCount(subs)
			round := func(what string) {
				for i := range subs {
					for k := range keys {
						s.publish(fmt.Sprint("t", i), fmt.Sprint(k), what+payload)
					}
				}
			}
			l.dialed.PauseRead()
			for !isStalled(l.conn) {
				round("first")
				settle(l.conn)
			}
			release := block(l.conn)
			round("second")
			release()
			round("last")
			settle(l.conn)
			settle(l.conn)
			l.dialed.ResumeRead()
			l.wait("the newest of each key", func(all []heard) bool {
				n := 0
				for _, h := range all {
					if strings.HasPrefix(h.payload, "last") {
						n++
					}
				}
				return n == subs*keys
			})
			if !l.conn.IsOpen() || l.conn.Dropped() > 0 {
				t.Errorf("open: %v, %d messages dropped", l.conn.IsOpen(), l.conn.Dropped())
			}
		})
	}
}

// Who knows a topic that the hub has forgotten is told so, whatever the pattern.
func TestSinceOfAVanishedTopic(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	s.publish("a.y", "", "1")
	since := map[string]Position{"a.x": {Epoch: 77, Seq: 5}}
	const vanished = "snapshot(a.x@0,0)! end(a.x@0,0)! "
	for _, o := range []Options{{Since: since}, {Since: since, Mode: Latest}, {Since: since, NoSnapshot: true}} {
		for _, pattern := range []string{"a.x", "a.*"} {
			want := vanished + "live"
			switch {
			case pattern == "a.*" && o.NoSnapshot:
				want = vanished + "recovered(a.y@1,0) live"
			case pattern == "a.*":
				want = vanished + "snapshot(a.y@1,1) a.y:=1@1 end(a.y@1,1) live"
			}
			l := s.join()
			s.subscribe(l, pattern, o)
			if got := short(l.waitLive(pattern)); got != want {
				t.Errorf("%v, NoSnapshot %v, %s:\ngot  %s\nwant %s", o.Mode, o.NoSnapshot, pattern, got, want)
			}
		}
	}
}

// While a subscription's snapshot is under way an older one sends nothing of its topic.
func TestSnapshotBesideAnOlderSubscription(t *testing.T) {
	const updates = 100
	s := newStage(t, Config{History: 1}, engine.Endpoint{MaxQueue: 1 << 20}, 1)
	keys := s.large("a.b")
	l := s.join()
	s.subscribe(l, "a.*", Options{NoSnapshot: true})
	l.waitLive("a.*")
	s.subscribeUnread(l, "a.b", Options{})
	for i := range updates {
		s.publish("a.b", "1", fmt.Sprint(i))
	}
	settle(l.conn)
	l.dialed.ResumeRead()
	l.waitLive("a.b")
	s.publish("a.b", "1", "last")
	all := l.wait("the last", func(all []heard) bool { return all[len(all)-1].payload == "last" })
	seq := uint64(0)
	for _, h := range all {
		switch h.kind {
		case "end":
			if seq != uint64(keys) {
				t.Errorf("the snapshot ends with %d, want %d", seq, keys)
			}
		case "update":
			if seq++; h.Seq != seq {
				t.Fatalf("message %d, want %d", h.Seq, seq)
			}
		}
	}
}

// Many topics take several turns. What comes between two of them of the topic whose turn
// it is comes behind that.
func TestSnapshotGoesOnInTheNextTurn(t *testing.T) {
	const topics = 2*topicsPerTurn + 10
	s := newStage(t, Config{}, engine.Endpoint{MaxQueue: 64 << 20}, 1) // the publisher is as fast as it can be
	for i := range topics {
		s.publish(fmt.Sprint("a.", i), "", "0")
	}
	l := s.join()
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for !isClosed(stop) {
			s.publish(fmt.Sprint("a.", topicsPerTurn), "", "1")
		}
	})
	for range 50 {
		s.subscribe(l, "a.*", Options{})
		l.waitLive("a.*")
		l.forget()
		settle(l.conn)
	}
	s.subscribe(l, "a.*", Options{})
	l.waitLive("a.*")
	close(stop)
	publishing.Wait()
	s.publish("a.0", "", "last")
	all := l.wait("the last", func(all []heard) bool { return all[len(all)-1].payload == "last" })
	seqs := make(map[string]uint64)
	for _, h := range all {
		switch {
		case h.kind == "snapshot":
			seqs[h.topic] = h.Seq - 1
		case h.kind != "update" || seqs[h.topic] == 0 && h.Seq > 1:
		case h.Seq != seqs[h.topic]+1:
			t.Fatalf("%s: %d comes after %d", h.topic, h.Seq, seqs[h.topic])
		default:
			seqs[h.topic] = h.Seq
		}
	}
}
