package pubsub

import (
	"fmt"
	"strings"
	"testing"

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
