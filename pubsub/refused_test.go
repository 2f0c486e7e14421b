package pubsub

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/headrace/headrace/engine"
)

// What a broker delivers keeps to the limits of Publish. What is refused leaves the topic
// as it was, also where it would have begun a new epoch.
func TestDeliverRefusesWhatPublishRefuses(t *testing.T) {
	s := newStage(t, Config{MaxPayload: 10}, engine.Endpoint{}, 1)
	for name, c := range map[string]struct {
		bad  Publication
		want error
	}{
		"a payload too long":           {Publication{Key: "k", Payload: []byte("01234567890")}, ErrTooLong},
		"a key too long":               {Publication{Key: strings.Repeat("k", maxKey+1)}, ErrTooLong},
		"a deleted key too long":       {Publication{Key: strings.Repeat("k", maxKey+1), Deleted: true}, ErrTooLong},
		"a key that is not UTF-8":      {Publication{Key: "\xff"}, ErrBadKey},
		"a payload that is not UTF-8":  {Publication{Key: "k", Payload: []byte("\xff")}, ErrBadPayload},
		"a topic too long":             {Publication{Topic: strings.Repeat("t", maxNameBytes+1)}, ErrBadTopic},
		"a topic with an empty token":  {Publication{Topic: "a..b"}, ErrBadTopic},
		"a topic that is none of them": {Publication{Topic: "a.*"}, ErrBadTopic},
	} {
		t.Run(name, func(t *testing.T) {
			topic := "t." + strings.ReplaceAll(name, " ", "-")
			s.deliver(5, 1, topic, "k")
			s.deliver(5, 2, topic, "k")
			if c.bad.Topic == "" {
				c.bad.Topic = topic
			}
			for _, at := range []Position{{5, 3}, {5, 9}, {6, 1}} {
				c.bad.Position = at
				if err := (*sink)(s.hub).Deliver(c.bad); !errors.Is(err, c.want) {
					t.Errorf("at %v: %v, want %v", at, err, c.want)
				}
			}
			l := s.join()
			s.subscribe(l, topic, Options{Since: map[string]Position{topic: {5, 1}}})
			if got, want := short(l.waitLive(topic)), fmt.Sprintf("recovered(%s@2,1) %s:k=5.2@2 live", topic, topic); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if got, want := s.snapshotOf(topic), "k=5.2@2"; got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

// fragile panics over one payload.
type fragile struct{ plainText }

func (e fragile) AppendUpdate(dst []byte, u *Update) []byte {
	if string(u.Payload) == "!" {
		panic("over " + u.Key)
	}
	return e.plainText.AppendUpdate(dst, u)
}

// lockedBuffer keeps what is logged.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.Reset()
	return b.String()
}

// A panic of the Encoder is an error of the message, whichever way that comes, and a line
// in the log that says where it was; the topic goes on.
func TestEncoderPanics(t *testing.T) {
	log := new(lockedBuffer)
	s := newStage(t, Config{Encoder: fragile{}, Logger: slog.New(slog.NewTextHandler(log, nil))}, engine.Endpoint{}, 1)
	k := (*sink)(s.hub)
	bad := Publication{Topic: "a", Key: "bad", Payload: []byte("!"), Position: Position{6, 3}}
	s.deliver(5, 1, "a", "k")
	l := s.join()
	s.subscribe(l, "a", Options{})
	l.waitLive("a")
	l.forget()
	for name, bring := range map[string]func() error{
		"Publish":    func() error { _, err := s.hub.Publish(bad.Topic, bad.Key, bad.Payload); return err },
		"PublishAll": func() error { _, err := s.hub.PublishAll([]Publication{bad}); return err },
		"Deliver":    func() error { return k.Deliver(bad) },
		"Restore, a value": func() error {
			return k.Restore("new.value", bad.Position, []Publication{bad}, nil)
		},
		"Restore, history": func() error {
			return k.Restore("new.history", bad.Position, nil, []Publication{bad})
		},
	} {
		if err := bring(); !errors.Is(err, ErrEncoder) {
			t.Errorf("%s: %v, want %v", name, err, ErrEncoder)
		}
		if got := log.take(); !strings.Contains(got, `panic="over bad"`) || !strings.Contains(got, "fragile.AppendUpdate") {
			t.Errorf("%s is logged as %q", name, got)
		}
	}
	s.publish("a", "k", "2")
	if got, want := short(l.waitCount(1)), "a:k=2@2"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
