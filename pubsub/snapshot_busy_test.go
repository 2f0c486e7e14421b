package pubsub

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

// What comes of a topic while its values are sent is held for the subscriber, whatever
// the history has forgotten: the values come once.
func TestSnapshotOfABusyTopic(t *testing.T) {
	for _, mode := range []Mode{Queue, Latest, Deadline} {
		t.Run(mode.String(), func(t *testing.T) {
			const updates = 100
			s := newStage(t, Config{History: 1}, engine.Endpoint{MaxQueue: 1 << 20}, 1)
			keys := s.large("a")
			l := s.join()
			o := Options{Mode: mode}
			if mode == Deadline {
				o.MaxAge = time.Hour
			}
			s.subscribeUnread(l, "a", o)
			if _, err := s.hub.Delete("a", "0"); err != nil { // so that Latest needs the history too
				t.Fatal(err)
			}
			for i := range updates {
				s.publish("a", "1", fmt.Sprint(i))
			}
			settle(l.conn)
			l.dialed.ResumeRead()
			l.waitLive("a")
			s.publish("a", "1", "last")
			all := l.wait("the last", func(all []heard) bool { return all[len(all)-1].payload == "last" })
			if n := countKind(all, "snapshot", "a"); n != 1 {
				t.Errorf("%d snapshots, want one", n)
			}
			var got, want []uint64
			for _, h := range all[slices.IndexFunc(all, func(h heard) bool { return h.kind == "end" }):] {
				if h.kind == "update" || h.kind == "deleted" {
					got = append(got, h.Seq)
				}
			}
			for i := range uint64(updates + 2) {
				if mode != Latest || i == 0 || i >= updates { // the deletion, the newest of them, and the last
					want = append(want, uint64(keys)+1+i)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("behind the snapshot come %d, want %d", got, want)
			}
		})
	}
}

// A topic whose keys come and go all the time has a snapshot in Latest like any other, and
// holds up nobody: what is made and deleted while it is sent is nothing in the end.
func TestSnapshotOfATopicWhoseKeysComeAndGo(t *testing.T) {
	s := newStage(t, Config{History: 1}, engine.Endpoint{MaxQueue: 64 << 10}, 1)
	keys := s.large("a")
	s.publish("b", "", "beside it")
	l := s.join()
	s.subscribeUnread(l, "a", Options{Mode: Latest})
	s.subscribe(l, "b", Options{Mode: Latest})
	for i := range 1000 { // more than may be held
		k := fmt.Sprint("order-", i)
		s.publish("a", k, strings.Repeat("x", 1000))
		if _, err := s.hub.Delete("a", k); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			s.delivered()
		}
	}
	if _, err := s.hub.Delete("a", "0"); err != nil {
		t.Fatal(err)
	}
	s.delivered()
	l.dialed.ResumeRead()
	all := l.waitLive("b")
	if n := countKind(all, "snapshot", "a"); n != 1 {
		t.Errorf("%d snapshots, want one", n)
	}
	for _, h := range all {
		if strings.HasPrefix(h.key, "order-") || h.kind == "deleted" && h.key != "0" {
			t.Fatalf("%+v has come, and has been nothing", h)
		}
	}
	if up, down := countKind(all, "update", "a"), countKind(all, "deleted", "a"); up != keys || down != 1 {
		t.Errorf("%d values and %d deletions, want %d and one", up, down, keys)
	}
}

// Where more comes than may be held, the values are sent again, and in Queue a subscriber
// that does not keep up even then is closed.
func TestSnapshotOfATopicThatIsTooBusy(t *testing.T) {
	s := newStage(t, Config{History: 1}, engine.Endpoint{MaxQueue: 64 << 10}, 1)
	s.large("a")
	l := s.join()
	s.subscribeUnread(l, "a", Options{})
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	publishing.Go(func() {
		payload := strings.Repeat("x", 64<<10)
		for i := 0; !isClosed(stop); i++ {
			if _, err := s.hub.Publish("a", fmt.Sprint(i%256), []byte(payload)); err != nil && !errors.Is(err, ErrBusy) {
				t.Error(err)
			}
			time.Sleep(10 * time.Microsecond)
		}
	})
	eventually(t, "much has come", func() bool { return s.hub.Stats().Published > 256+100 })
	l.dialed.ResumeRead()
	all := l.wait("the end", func(all []heard) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.closed != nil
	})
	close(stop)
	publishing.Wait()
	if n := countKind(all, "snapshot", "a"); n < 2 || n > 1+maxAgain || l.closed.Code != engine.CloseTryAgainLater {
		t.Errorf("%d snapshots, then %v", n, l.closed)
	}
}
