package pubsub

import (
	"fmt"
	"sync"
	"testing"

	"github.com/headrace/headrace/engine"
)

// positions gives where the topics are that a subscriber was told of with nothing behind.
func positions(t *testing.T, all []heard) map[string]Position {
	t.Helper()
	at := make(map[string]Position)
	for _, h := range all {
		if h.kind != "recovered" {
			continue
		}
		if _, twice := at[h.topic]; twice || h.count != 0 {
			t.Errorf("told again, or of messages: %+v", h)
		}
		at[h.topic] = h.Position
	}
	return at
}

// Who begins with nothing knows where it begins, and can come back to it.
func TestPositionsWithoutASnapshot(t *testing.T) {
	for name, test := range map[string]struct {
		cfg Config
		o   Options
	}{
		"no snapshot":          {Config{}, Options{NoSnapshot: true}},
		"latest, no snapshot":  {Config{}, Options{NoSnapshot: true, Mode: Latest}},
		"a hub without values": {Config{NoLastValues: true}, Options{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, test.cfg, engine.Endpoint{}, 1)
			s.publish("a.x", "k", "1")
			x, y := s.publish("a.x", "k", "2"), s.publish("a.y", "", "1")
			l := s.join()
			s.subscribe(l, "a.*", test.o)
			all := l.waitLive("a.*")
			if got, want := short(all), "recovered(a.x@2,0) recovered(a.y@1,0) live"; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			at := positions(t, all)
			if at["a.x"] != x || at["a.y"] != y {
				t.Errorf("%v, want %v and %v", at, x, y)
			}
			s.publish("a.y", "", "2")
			back := s.join()
			o := test.o
			o.Since = map[string]Position{"a.y": at["a.y"]} // the other one it has forgotten
			s.subscribe(back, "a.*", o)
			if got, want := short(back.waitLive("a.*")), "recovered(a.y@2,1) a.y:=2@2 recovered(a.x@2,0) live"; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// However busy the topics are, the next message behind such a position is the next of its
// topic.
func TestPositionsOfBusyTopics(t *testing.T) {
	const topics, rounds, joiners = 40, 50, 12
	s := newStage(t, Config{}, engine.Endpoint{}, 2)
	name := func(i int) string { return fmt.Sprint("a.", i) }
	for i := range topics {
		s.publish(name(i), "", "0")
	}
	var publishing, listening sync.WaitGroup
	for p := range 2 {
		publishing.Add(1)
		go func() {
			defer publishing.Done()
			for n := range topics * rounds {
				s.publish(name((n+p)%topics), "", "1")
			}
		}()
	}
	heardBy := make(chan *listener, joiners)
	for range joiners {
		l := s.join()
		listening.Add(1)
		go func() {
			defer listening.Done()
			if err := s.hub.Subscribe(l.conn, "a.*", Options{NoSnapshot: true}); err != nil {
				t.Error(err)
			}
			heardBy <- l
		}()
	}
	publishing.Wait()
	listening.Wait()
	for i := range topics {
		s.publish(name(i), "", "last")
	}
	for range joiners {
		l := <-heardBy
		all := l.wait("all the last ones", func(all []heard) bool {
			lasts := 0
			for _, h := range all {
				if h.payload == "last" {
					lasts++
				}
			}
			return lasts == topics
		})
		if told := len(positions(t, all)); told != topics {
			t.Errorf("told of %d topics", told)
		}
		at := make(map[string]Position)
		for _, h := range all {
			before, known := at[h.topic]
			switch {
			case h.kind == "live":
			case h.kind == "recovered" && known && h.Position != before,
				h.kind == "update" && known && h.Position != Position{before.Epoch, before.Seq + 1}:
				t.Fatalf("%+v behind %v", h, before)
			default:
				at[h.topic] = h.Position
			}
		}
	}
}

// There are no more positions than a subscriber may name when it comes back, and they
// leave its queue room.
func TestPositionsAreBounded(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{MaxQueue: 2 << 10, MaxUnsent: 4 << 10}, 1)
	for i := range maxPositions + 50 {
		s.publish(fmt.Sprint("a.", i), "", "1")
	}
	l := s.join()
	l.dialed.PauseRead()
	s.subscribe(l, "a.*", Options{NoSnapshot: true})
	eventually(t, "the socket takes no more, or all", func() bool { return isStalled(l.conn) || s.fences(l.conn) == 0 })
	l.dialed.ResumeRead()
	if told := len(positions(t, l.waitLive("a.*"))); told != maxPositions {
		t.Errorf("told of %d topics, want %d", told, maxPositions)
	}
	if s.hub.Stats().Recovered != 0 {
		t.Error("they count as recovered")
	}
}
