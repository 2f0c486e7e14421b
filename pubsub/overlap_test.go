package pubsub

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

// block keeps a connection's loop busy until the function that it gives is called.
func block(c *engine.Conn) (release func()) {
	in, out := make(chan struct{}), make(chan struct{})
	c.Loop().NewWork(func() bool { close(in); <-out; return false }).Ask()
	<-in
	return func() { close(out) }
}

// What waits for a subscription that ends is part of a snapshot for the others that
// match it.
func TestOverlapWhereWhatWaitsEnds(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	l := s.join()
	s.subscribe(l, "a.*", Options{Mode: Latest, MaxRate: 0.01})
	l.waitLive("a.*")
	s.subscribe(l, "a.b", Options{})
	l.waitLive("a.b")
	l.forget()
	s.publish("a.b", "k", "1")
	l.waitCount(1)
	s.publish("a.b", "k", "2") // waits for a.*, for 100 s
	settle(l.conn)
	settle(l.conn)
	if err := s.hub.Unsubscribe(l.conn, "a.*"); err != nil {
		t.Fatal(err)
	}
	got := short(l.waitLive("a.b"))
	if want := "a.b:k=1@1 snapshot(a.b@2,1) a.b:k=2@2 end(a.b@2,1) live"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What a subscription withholds for its own snapshot, and never sends because it ends,
// is part of a snapshot too: the newest value comes.
func TestOverlapWhereWhatIsWithheldEnds(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{MaxQueue: 8 << 20}, 1)
	s.publish("a.b", "k", "0")
	l := s.join()
	s.stall(l)
	s.subscribe(l, "a.*", Options{}) // its snapshot has to wait
	settle(l.conn)
	s.subscribe(l, "a.b", Options{NoSnapshot: true})
	settle(l.conn)
	s.publish("a.b", "k", "1")
	settle(l.conn)
	settle(l.conn)
	if err := s.hub.Unsubscribe(l.conn, "a.*"); err != nil {
		t.Fatal(err)
	}
	settle(l.conn)
	l.dialed.ResumeRead()
	got := short(withoutFiller(l.waitLive("a.b")))
	if want := "snapshot(a.b@2,1) a.b:k=1@2 end(a.b@2,1) live"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The snapshot of a newer subscription says as much as what an older one has not sent
// yet: that does not come behind it.
func TestOverlapWhereASnapshotIsNewer(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	l := s.join()
	s.subscribe(l, "a.*", Options{NoSnapshot: true})
	l.waitLive("a.*")
	l.forget()
	release := block(l.conn)
	for i := 1; i <= 3; i++ {
		s.publish("a.b", "k", fmt.Sprint(i))
	}
	s.subscribe(l, "a.b", Options{})
	release()
	l.waitLive("a.b")
	s.publish("a.b", "k", "4")
	got := short(l.wait("4", func(all []heard) bool { return strings.HasSuffix(short(all), "=4@4") }))
	if want := "snapshot(a.b@3,1) a.b:k=3@3 end(a.b@3,1) live a.b:k=4@4"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// after gives a message behind which nothing comes, and what was heard up to it.
func (s *stage) after(l *listener, topic, key, last string) string {
	s.t.Helper()
	s.publish(topic, key, last)
	return short(l.wait(last, func(all []heard) bool {
		return len(all) > 0 && all[len(all)-1].payload == last
	}))
}

// A subscription without a snapshot joins one that has messages on their way: those come
// all the same, by way of that one, or of the new one where the old one ends.
func TestOverlapJoinsWithoutASnapshot(t *testing.T) {
	const all = "a.b:k=1@2 a.b:k=2@3 a.b:k=3@4 a.b:k=4@5"
	const at = "recovered(a.b@1,0) live " // where it is
	bare := Options{NoSnapshot: true}
	for name, test := range map[string]struct {
		first, second string
		options       Options
		ends          bool // the first
		want          string
	}{
		"exact beside a pattern":             {"a.*", "a.b", bare, false, "live " + all},
		"exact in a pattern's place":         {"a.*", "a.b", bare, true, at + all},
		"a pattern beside exact":             {"a.b", "a.*", bare, false, "live " + all},
		"a pattern in exact's place":         {"a.b", "a.*", bare, true, at + all},
		"the same, exact":                    {"a.b", "a.b", bare, false, at + all},
		"the same, a pattern":                {"a.*", "a.*", bare, false, at + all},
		"latest in the place of the same":    {"a.b", "a.b", Options{Mode: Latest, NoSnapshot: true}, false, at + all},
		"exact, from what it does not know":  {"a.*", "a.b", Options{NoSnapshot: true, Since: map[string]Position{"a.b": {1, 1}}}, false, "snapshot(a.b@1,0)! end(a.b@1,0)! live " + all},
		"exact beside a pattern, with marks": {"a.*", "a.b", Options{}, false, "snapshot(a.b@1,0) end(a.b@1,0) live " + all},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, Config{NoLastValues: name == "exact beside a pattern, with marks"}, engine.Endpoint{}, 1)
			s.publish("a.b", "k", "0")
			l := s.join()
			s.subscribe(l, test.first, bare)
			l.waitLive(test.first)
			l.forget()
			release := block(l.conn)
			for i := 1; i <= 3; i++ {
				s.publish("a.b", "k", fmt.Sprint(i))
			}
			s.subscribe(l, test.second, test.options)
			if test.ends {
				if err := s.hub.Unsubscribe(l.conn, test.first); err != nil {
					t.Fatal(err)
				}
			}
			release()
			l.waitLive(test.second)
			if got := s.after(l, "a.b", "k", "4"); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// What Latest keeps is not forgotten when a subscription joins that is sent nothing.
func TestOverlapKeepsWhatWaits(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	l := s.join()
	s.subscribe(l, "a.*", Options{Mode: Latest, MaxRate: 2})
	l.waitLive("a.*")
	l.forget()
	for i := 1; i <= 3; i++ {
		s.publish("a.b", "k", fmt.Sprint(i))
		settle(l.conn)
		settle(l.conn)
	}
	s.subscribe(l, "a.b", Options{NoSnapshot: true})
	l.wait("3", func(all []heard) bool { return strings.Contains(short(all), "k=3@3") })
}

// A connection that goes to and fro between an exact subscription and a pattern, always
// with one of them, hears every message once, whenever that comes.
func TestOverlapToAndFro(t *testing.T) {
	for _, o := range []Options{{}, {Mode: Deadline, MaxAge: time.Minute}, {Mode: Latest}} {
		t.Run(o.Mode.String(), func(t *testing.T) {
			o.NoSnapshot = true
			s := newStage(t, Config{}, engine.Endpoint{}, 1)
			l := s.join()
			others := s.join() // so that a batch has a middle
			s.subscribe(others, "a.*", Options{})
			s.subscribe(l, "a.b", o)
			l.waitLive("a.b")
			l.forget()
			stop := make(chan struct{})
			var publishing sync.WaitGroup
			for range 2 {
				publishing.Go(func() {
					for !isClosed(stop) {
						if _, err := s.hub.Publish("a.b", "k", []byte("x")); err != nil {
							t.Error(err)
						}
						runtime.Gosched()
					}
				})
			}
			at, next := "a.b", "a.*"
			for i := range 300 {
				s.subscribe(l, next, o)
				if i%3 > 0 {
					settle(l.conn)
				}
				if err := s.hub.Unsubscribe(l.conn, at); err != nil {
					t.Fatal(err)
				}
				if at, next = next, at; i%5 == 0 {
					s.subscribe(l, at, o)
				}
			}
			close(stop)
			publishing.Wait()
			last := s.publish("a.b", "k", "last").Seq
			heard := l.wait("the last", func(all []heard) bool {
				return len(all) > 0 && slices.ContainsFunc(all[max(0, len(all)-10):], func(h heard) bool { return h.kind == "update" && h.Seq == last })
			})
			seq, snapshot := uint64(0), false
			for _, h := range heard {
				switch {
				case h.kind == "snapshot":
					snapshot = true
				case h.kind == "end":
					snapshot, seq = false, h.Seq
				case h.kind != "update" || snapshot:
				case h.Seq != seq+1+uint64(h.skipped):
					t.Fatalf("%d comes after %d", h.Seq, seq)
				default:
					seq = h.Seq
				}
			}
		})
	}
}
