package pubsub

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

func TestSnapshotThenUpdates(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 2)
	s.publish("ticks.a", "bid", "1")
	s.publish("ticks.a", "ask", "2")
	s.publish("ticks.a", "bid", "3")
	s.publish("other", "", "no")
	l := s.join()
	s.subscribe(l, "ticks.a", Options{})
	l.waitLive("ticks.a")
	s.publish("ticks.a", "bid", "4")
	s.publish("other", "", "no")
	if _, err := s.hub.Delete("ticks.a", "ask"); err != nil {
		t.Fatal(err)
	}
	got := short(l.waitCount(7))
	want := "snapshot(ticks.a@3,2) ticks.a:ask=2@2 ticks.a:bid=3@3 end(ticks.a@3,2) live ticks.a:bid=4@4 ticks.a:ask-@5"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	late := s.join()
	s.subscribe(late, "ticks.*", Options{})
	if got := short(late.waitLive("ticks.*")); got != "snapshot(ticks.a@5,1) ticks.a:bid=4@4 end(ticks.a@5,1) live" {
		t.Error("after the deletion: ", got)
	}
}

func TestTopicThatBeginsLater(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	l := s.join()
	s.subscribe(l, "a.b", Options{})
	s.subscribe(l, "x.>", Options{})
	l.waitLive("x.>")
	s.publish("a.b", "", "1")
	s.publish("x.y.z", "", "2")
	if got := short(l.waitCount(6)); got != "snapshot(a.b@0,0) end(a.b@0,0) live live a.b:=1@1 x.y.z:=2@1" {
		t.Error(got)
	}
}

func TestRecovery(t *testing.T) {
	s := newStage(t, Config{History: 5}, engine.Endpoint{}, 1)
	var at []Position
	for _, p := range []string{"1", "2", "3", "4", "5", "6", "7"} {
		at = append(at, s.publish("a", "k"+p[:1], p))
	}
	old := at[6]
	old.Epoch++
	future := at[6]
	future.Seq += 5
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"some", Options{Since: map[string]Position{"a": at[4]}}, "recovered(a@7,2) a:k6=6@6 a:k7=7@7 live"},
		{"none", Options{Since: map[string]Position{"a": at[6]}}, "recovered(a@7,0) live"},
		{"all of the history", Options{Since: map[string]Position{"a": at[1]}}, "recovered(a@7,5) a:k3=3@3 a:k4=4@4 a:k5=5@5 a:k6=6@6 a:k7=7@7 live"},
		{"too old", Options{Since: map[string]Position{"a": at[0]}, NoSnapshot: true}, "snapshot(a@7,0)! end(a@7,0)! live"},
		{"another epoch", Options{Since: map[string]Position{"a": old}, NoSnapshot: true}, "snapshot(a@7,0)! end(a@7,0)! live"},
		{"the future", Options{Since: map[string]Position{"a": future}, NoSnapshot: true}, "snapshot(a@7,0)! end(a@7,0)! live"},
		{"no such topic", Options{Since: map[string]Position{"b": future}}, "snapshot(b@0,0)! end(b@0,0)! live"},
		{"latest", Options{Mode: Latest, Since: map[string]Position{"a": at[0]}}, "recovered(a@7,6) a:k2=2@2 a:k3=3@3 a:k4=4@4 a:k5=5@5 a:k6=6@6 a:k7=7@7 live"},
		{"not asked for", Options{NoSnapshot: true}, "recovered(a@7,0) live"},
	} {
		l := s.join()
		pattern := "a"
		if c.name == "no such topic" {
			pattern = "b"
		}
		s.subscribe(l, pattern, c.o)
		if got := short(l.waitLive(pattern)); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
	if _, err := s.hub.Delete("a", "k7"); err != nil {
		t.Fatal(err)
	}
	s.publish("a", "k2", "9")
	l := s.join()
	s.subscribe(l, "a", Options{Mode: Latest, Since: map[string]Position{"a": at[6]}})
	if got := short(l.waitLive("a")); got != "recovered(a@9,2) a:k7-@8 a:k2=9@9 live" {
		t.Error("latest across a deletion within the history: ", got)
	}
}

// What is published right after Subscribe comes, also where the topic begins with it and
// no values are kept.
func TestPublishRightAfterSubscribe(t *testing.T) {
	for _, o := range []Options{{}, {NoSnapshot: true}} {
		s := newStage(t, Config{NoLastValues: true}, engine.Endpoint{}, 1)
		l := s.join()
		onShard(l, func() { // so that the loop comes to both at once
			s.subscribe(l, "a", o)
			s.publish("a", "", "1")
		})
		l.wait("it", func(all []heard) bool { return strings.Contains(short(all), "a:=1@1") })
	}
}

// A second subscription with the same pattern takes the place of the first.
func TestSubscribeAgain(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	s.publish("a", "", "1")
	l := s.join()
	s.subscribe(l, "a", Options{})
	l.waitLive("a")
	l.forget()
	s.subscribe(l, "a", Options{Mode: Latest})
	l.waitLive("a")
	s.publish("a", "", "2")
	if got := short(l.waitCount(5)); got != "snapshot(a@1,1) a:=1@1 end(a@1,1) live a:=2@2" {
		t.Error(got)
	}
	if n := s.hub.Stats().Subscriptions; n != 1 {
		t.Errorf("%d subscriptions", n)
	}
	if n := s.hub.Subscribers("a"); n != 1 {
		t.Errorf("%d subscribers of a", n)
	}
}

// What several patterns of a connection match comes once, also when the one that
// brought it ends.
func TestOverlappingPatterns(t *testing.T) {
	s := newStage(t, Config{NoLastValues: true}, engine.Endpoint{}, 1)
	l := s.join()
	for _, p := range []string{"a.*", "a.b", ">", "x"} {
		s.subscribe(l, p, Options{NoSnapshot: true})
	}
	l.waitCount(4)
	l.forget()
	s.publish("a.b", "", "1")
	s.publish("x", "", "2")
	s.publish("a.c", "", "3")
	if err := s.hub.Unsubscribe(l.conn, "a.*"); err != nil {
		t.Fatal(err)
	}
	settle(l.conn)
	settle(l.conn)
	s.publish("a.b", "", "4")
	s.publish("a.c", "", "5")
	if got := short(l.waitCount(5)); got != "a.b:=1@1 a.c:=3@1 x:=2@1 a.b:=4@2 a.c:=5@2" &&
		got != "a.b:=1@1 x:=2@1 a.c:=3@1 a.b:=4@2 a.c:=5@2" && !isInterleaving(got) {
		t.Error(got)
	}
	settle(l.conn)
	if n := len(l.waitCount(5)); n != 5 {
		t.Errorf("%d messages", n)
	}
}

// isInterleaving accepts any order of topics.
func isInterleaving(got string) bool {
	words := strings.Fields(got)
	at := map[string]int{}
	for i, w := range words {
		at[w] = i
	}
	_, a := at["a.c:=3@1"]
	_, x := at["x:=2@1"]
	return len(words) == 5 && a && x && at["a.b:=1@1"] < at["a.b:=4@2"] && at["a.c:=3@1"] < at["a.c:=5@2"]
}

func TestUnsubscribe(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	l, other := s.join(), s.join()
	s.subscribe(l, "a", Options{NoSnapshot: true})
	s.subscribe(other, "a", Options{NoSnapshot: true})
	l.waitLive("a")
	other.waitLive("a")
	if err := s.hub.Unsubscribe(l.conn, "a"); err != nil {
		t.Fatal(err)
	}
	if err := s.hub.Unsubscribe(l.conn, "a"); err != ErrNotSubscribed {
		t.Errorf("the second time: %v", err)
	}
	eventually(t, "it has ended", func() bool { return s.hub.Subscribers("a") == 1 })
	s.publish("a", "", "1")
	other.waitCount(2)
	settle(l.conn)
	if n := len(l.heard); n != 1 {
		t.Errorf("heard %d messages, want 1", n)
	}
}

// Subscriptions end with their connection, and leave nothing behind.
func TestConnectionEnds(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 2)
	for range 20 {
		l := s.join()
		s.subscribe(l, "a", Options{})
		s.subscribe(l, "b.*", Options{Mode: Latest, MaxRate: 10})
	}
	if n := s.hub.Subscribers("a"); n != 20 {
		t.Errorf("%d subscribers", n)
	}
	s.publish("a", "", "1")
	_ = s.client.Close()
	eventually(t, "all have left", func() bool {
		st := s.hub.Stats()
		return st.Subscribers == 0 && st.Subscriptions == 0 && s.hub.Subscribers("a") == 0
	})
	s.publish("a", "", "2")
	shards := 0
	eventually(t, "the shards have gone", func() bool {
		shards = 0
		s.hub.eachShard(func(*shard) { shards++ })
		return shards == 0
	})
	if n := s.hub.interests.len(); n != 0 {
		t.Errorf("%d interests are left", n)
	}
}

func TestSubscribeAfterTheEnd(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	l := s.join()
	_ = l.dialed.Close(engine.CloseNormal, "")
	eventually(t, "it has ended", func() bool { return !l.conn.IsOpen() })
	if err := s.hub.Subscribe(l.conn, "a", Options{}); err != engine.ErrClosed {
		t.Errorf("got %v", err)
	}
	if err := s.hub.Unsubscribe(l.conn, "a"); err != ErrNotSubscribed {
		t.Errorf("got %v", err)
	}
}

func TestRefusals(t *testing.T) {
	no := errors.New("no")
	s := newStage(t, Config{
		MaxTopics: 2, MaxKeys: 2, MaxPayload: 10, MaxSubscriptions: 2,
		AllowSubscribe: func(_ *engine.Conn, p string) error {
			if p == "secret" {
				return no
			}
			return nil
		},
		AllowPublish: func(_ *engine.Conn, topic string) error {
			if topic == "secret" {
				return no
			}
			return nil
		},
	}, engine.Endpoint{}, 1)
	l := s.join()
	subscribe := func(p string, o Options) error { return s.hub.Subscribe(l.conn, p, o) }
	publish := func(topic, key, p string) error {
		_, err := s.hub.PublishFrom(l.conn, topic, key, []byte(p))
		return err
	}
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"bad pattern", subscribe("a..b", Options{}), ErrBadPattern},
		{"a rate without latest", subscribe("a", Options{MaxRate: 1}), ErrBadOptions},
		{"a rate too high", subscribe("a", Options{Mode: Latest, MaxRate: 1e9}), ErrBadOptions},
		{"a negative rate", subscribe("a", Options{Mode: Latest, MaxRate: -1}), ErrBadOptions},
		{"no age", subscribe("a", Options{Mode: Deadline}), ErrBadOptions},
		{"an age", subscribe("a", Options{MaxAge: time.Second}), ErrBadOptions},
		{"a mode", subscribe("a", Options{Mode: 9}), ErrBadOptions},
		{"forbidden", subscribe("secret", Options{}), no},
		{"first", subscribe("a", Options{}), nil},
		{"second", subscribe("b", Options{}), nil},
		{"again", subscribe("b", Options{}), nil},
		{"third", subscribe("c", Options{}), ErrTooManySubscriptions},
		{"bad topic", publish("a.*", "", ""), ErrBadTopic},
		{"too long", publish("a", "", "12345678901"), ErrTooLong},
		{"a key that is not UTF-8", publish("a", "\xff", "1"), ErrBadKey},
		{"a payload that is not UTF-8", publish("a", "", "\xff"), ErrBadPayload},
		{"forbidden", publish("secret", "", ""), no},
		{"first topic", publish("a", "x", "1"), nil},
		{"second key", publish("a", "y", "1"), nil},
		{"known key", publish("a", "y", "2"), nil},
		{"third key", publish("a", "z", "1"), ErrTooManyKeys},
		{"second topic", publish("b", "", "1"), nil},
		{"third topic", publish("c", "", "1"), ErrTooManyTopics},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, c.err, c.want)
		}
	}
	if err := s.hub.Close(); err != nil {
		t.Error(err)
	}
	if err := subscribe("a", Options{}); err != ErrHubClosed {
		t.Errorf("Subscribe after Close: %v", err)
	}
	if err := publish("a", "x", "1"); err != ErrHubClosed {
		t.Errorf("Publish after Close: %v", err)
	}
	if err := s.hub.Close(); err != ErrHubClosed {
		t.Errorf("the second Close: %v", err)
	}
}

// Topics that nobody uses make room for others, and begin a new epoch if they return.
func TestTopicsAreForgotten(t *testing.T) {
	s := newStage(t, Config{MaxTopics: 10, Retain: time.Millisecond}, engine.Endpoint{}, 1)
	l := s.join()
	s.subscribe(l, "kept", Options{})
	first := s.publish("kept", "", "1")
	gone := s.publish("gone", "", "1")
	for i := range 100 {
		time.Sleep(2 * time.Millisecond)
		s.publish("t"+strings.Repeat("x", i), "", "1")
	}
	if n := s.hub.Stats().Topics; n > 10 {
		t.Errorf("%d topics", n)
	}
	if p := s.publish("kept", "", "2"); p.Epoch != first.Epoch || p.Seq != 2 {
		t.Errorf("a topic with a subscriber was forgotten: %v after %v", p, first)
	}
	if p := s.publish("gone", "", "2"); p.Epoch == gone.Epoch || p.Seq != 1 {
		t.Errorf("a topic that was forgotten went on: %v after %v", p, gone)
	}
}

func TestHasTopic(t *testing.T) {
	h, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, ok := h.Publish("a.x", "", []byte("1"))
	_, no := h.Publish("b.y", "", []byte("\xff"))
	if ok != nil || no == nil {
		t.Fatal(ok, no)
	}
	for pattern, want := range map[string]bool{
		"a.x": true, "a.*": true, ">": true, "a": false, "a.>": true, "b.y": false, "b.>": false, "*": false, "": false, "a..": false,
	} {
		if got := h.HasTopic(pattern); got != want {
			t.Errorf("%q: %v", pattern, got)
		}
	}
}

func TestPayloads(t *testing.T) {
	s := newStage(t, Config{Encoder: Payloads{Kind: engine.Text}}, engine.Endpoint{}, 1)
	s.publish("a", "", `update a "" 0 1 0 before`)
	l := s.join()
	s.subscribe(l, "a", Options{})
	l.waitCount(1)
	s.publish("a", "", `update a "" 0 2 0 after`)
	if got := short(l.waitCount(2)); got != "a:=before@1 a:=after@2" {
		t.Error(got)
	}
}

// What would have every subscriber end its connection is not published: whatever the
// Encoder, it is the text that counts.
func TestTextIsUTF8(t *testing.T) {
	poison := []byte("\xff")
	for name, test := range map[string]struct {
		encoder Encoder
		want    error
	}{
		"text":         {Payloads{Kind: engine.Text}, ErrBadPayload},
		"text, longer": {plainText{}, ErrBadPayload},
		"binary":       {Payloads{Kind: engine.Binary}, nil},
		"text of hex":  {hexText{}, nil},
	} {
		hub, err := New(Config{Encoder: test.encoder})
		if err != nil {
			t.Fatal(err)
		}
		before, err := hub.Publish("a", "k", []byte("ü"))
		if err != nil {
			t.Fatal(name, err)
		}
		at, err := hub.Publish("a", "k", poison)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		next, _ := hub.Publish("a", "k", []byte("1"))
		if gone := test.want != nil; gone && (at != Position{} || next.Seq != before.Seq+1) || !gone && next.Seq != before.Seq+2 {
			t.Errorf("%s: after %v at %v, then %v", name, before, at, next)
		}
		topic := Position{next.Epoch, 7}
		err = (*sink)(hub).Restore("b", topic, []Publication{{Topic: "b", Payload: poison, Position: topic}, {Topic: "b", Key: "k", Payload: []byte("1"), Position: topic}}, nil)
		if values := len(hub.topic("b").values); !errors.Is(err, test.want) || values != 2 && test.want == nil || values != 1 && test.want != nil {
			t.Errorf("%s: restored %d values, %v", name, values, err)
		}
		_ = hub.Close()
	}
}

// hexText makes text of whatever there is.
type hexText struct{ Payloads }

func (hexText) Op() engine.Op { return engine.Text }

func (hexText) AppendUpdate(dst []byte, u *Update) []byte { return fmt.Appendf(dst, "%x", u.Payload) }

// A mark that is not UTF-8 ends the connection that it is for, and says so here, not there.
func TestMarksAreUTF8(t *testing.T) {
	log := make(chan string, 10)
	s := newStage(t, Config{Encoder: badMarks{}, Logger: slog.New(slog.NewTextHandler(lineWriter(log), nil))}, engine.Endpoint{}, 1)
	l := s.join()
	s.subscribe(l, "a", Options{})
	l.wait("the end", func([]heard) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.closed != nil
	})
	if said := <-log; l.closed.Code != engine.CloseInternalError || !strings.Contains(said, "not UTF-8") {
		t.Errorf("%v, and the log says %q", l.closed, said)
	}
}

// lineWriter sends what is logged, as far as there is room.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	select {
	case w <- string(p):
	default:
	}
	return len(p), nil
}

// badMarks makes marks that are no text.
type badMarks struct{ plainText }

func (badMarks) AppendMark(dst []byte, _ *Mark) []byte { return append(dst, 0xff) }

// Deleting what is not there tells nobody.
func TestDeleteWithoutAValue(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	if p, err := s.hub.Delete("a", "k"); err != nil || p != (Position{}) || s.hub.Stats().Topics != 0 {
		t.Errorf("of no topic: %v, %v", p, err)
	}
	at := s.publish("a", "k", "1")
	if p, err := s.hub.Delete("a", "other"); err != nil || p != at {
		t.Errorf("of another key: %v, %v", p, err)
	}
	if p, err := s.hub.Delete("a", "k"); err != nil || p.Seq != 2 {
		t.Errorf("of a value: %v, %v", p, err)
	}
	if _, err := s.hub.Delete("a..b", "k"); !errors.Is(err, ErrBadTopic) {
		t.Errorf("of a bad topic: %v", err)
	}
}

// Once Unsubscribe has returned on the loop, nothing more comes of the subscription,
// and another one that matches the same goes on without a gap.
func TestUnsubscribeOnTheLoop(t *testing.T) {
	s := newStage(t, Config{NoLastValues: true}, engine.Endpoint{}, 1)
	l := s.join()
	s.subscribe(l, "a.*", Options{NoSnapshot: true})
	s.subscribe(l, ">", Options{NoSnapshot: true})
	s.subscribe(l, "x", Options{NoSnapshot: true})
	l.waitCount(3)
	l.forget()
	onShard(l, func() {
		s.publish("x", "", "0") // is not delivered yet, and x has > too
		s.publish("a.b", "", "1")
		for _, p := range []string{"a.*", "x"} {
			if err := s.hub.Unsubscribe(l.conn, p); err != nil {
				t.Error(err)
			}
		}
		if err := l.conn.Send(engine.Text, []byte(`update ack "" 0 0 0 x`)); err != nil {
			t.Error(err)
		}
	})
	s.publish("a.b", "", "2")
	got := short(l.wait("all", func(all []heard) bool { return len(all) >= 4 }))
	if got != "ack:=x@0 x:=0@1 a.b:=1@1 a.b:=2@2" {
		t.Error(got)
	}
}
