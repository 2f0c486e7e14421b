package pubsub

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

const patience = 20 * time.Second

// plainText is an Encoder that a person can read: a line of words for each message.
type plainText struct{}

func (plainText) Op() engine.Op { return engine.Text }

func (plainText) AppendUpdate(dst []byte, u *Update) []byte {
	kind := "update"
	if u.Deleted {
		kind = "deleted"
	}
	dst = fmt.Appendf(dst, "%s %s %q %d %d %d ", kind, u.Topic, u.Key, u.Epoch, u.Seq, u.Skipped)
	return append(dst, u.Payload...)
}

func (plainText) AppendMark(dst []byte, m *Mark) []byte {
	name := [...]string{"", "snapshot", "end", "recovered", "live"}[m.Kind]
	return fmt.Appendf(dst, "%s %s %q %d %d %d %t", name, m.Topic+"/", m.Pattern, m.Epoch, m.Seq, m.Count, m.Lost)
}

// heard is a message as a subscriber got it.
type heard struct {
	kind, topic, key, pattern, payload string
	Position
	skipped, count int
	lost           bool
}

func parseHeard(p []byte) (h heard, err error) {
	words := strings.SplitN(string(p), " ", 7)
	if len(words) != 7 {
		return h, fmt.Errorf("%d words: %.80q", len(words), p)
	}
	h.kind = words[0]
	h.topic = strings.TrimSuffix(words[1], "/")
	quoted, err := strconv.Unquote(words[2])
	if err != nil {
		return h, fmt.Errorf("%.80q: %w", p, err)
	}
	h.Epoch, _ = strconv.ParseUint(words[3], 10, 64)
	h.Seq, _ = strconv.ParseUint(words[4], 10, 64)
	n, _ := strconv.Atoi(words[5])
	switch h.kind {
	case "update", "deleted":
		h.key, h.skipped, h.payload = quoted, n, abridged(words[6])
	default:
		h.pattern, h.count, h.lost = quoted, n, words[6] == "true"
	}
	return h, nil
}

// abridged keeps what tells one long payload from another.
func abridged(p string) string {
	if len(p) <= 40 {
		return p
	}
	return fmt.Sprintf("%s…%d", p[:20], len(p))
}

// stage is a hub behind a server, and what dials it.
type stage struct {
	t      testing.TB
	hub    *Hub
	server *engine.Server
	client *engine.Client
	opened chan *engine.Conn
}

// newStage starts a server, whose connections the hub may use.
func newStage(t testing.TB, cfg Config, ep engine.Endpoint, loops int) *stage {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(panics{t}, nil))
	}
	if cfg.Encoder == nil {
		cfg.Encoder = plainText{}
	}
	s := &stage{t: t, opened: make(chan *engine.Conn, 1)}
	var err error
	if s.hub, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(panics{t}, &slog.HandlerOptions{Level: slog.LevelError}))
	ep.Handler = engine.HandlerFuncs{Open: func(c *engine.Conn) { s.opened <- c }}
	s.server, err = engine.New(engine.Config{Addr: "127.0.0.1:0", Loops: loops, Logger: logger, ShutdownTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s.server.Handle("/", ep)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.server.Run(ctx) }()
	<-s.server.Ready()
	if s.client, err = engine.NewClient(engine.ClientConfig{Logger: logger}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.client.Close()
		cancel()
		<-done
		_ = s.hub.Close()
	})
	return s
}

// listener is the client's end of a connection: it keeps what it hears.
type listener struct {
	t    testing.TB
	conn *engine.Conn // the server's end

	mu     sync.Mutex
	heard  []heard
	count  *counter          // if not nil, takes updates instead
	closed *engine.CloseInfo // nil: it has not ended
	change chan struct{}     // closed and made anew with each message
	dialed *engine.Conn
}

// OnOpen implements engine.Handler.
func (l *listener) OnOpen(*engine.Conn) {}

// OnMessage implements engine.Handler.
func (l *listener) OnMessage(_ *engine.Conn, _ engine.Op, p []byte) {
	h, err := parseHeard(p)
	if err != nil {
		l.t.Error(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count != nil && h.kind == "update" {
		l.count.hear(h)
		return
	}
	l.heard = append(l.heard, h)
	close(l.change)
	l.change = make(chan struct{})
}

// OnClose implements engine.Handler.
func (l *listener) OnClose(_ *engine.Conn, info engine.CloseInfo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = &info
	close(l.change)
	l.change = make(chan struct{})
}

// join dials, and gives both ends.
func (s *stage) join() *listener {
	s.t.Helper()
	l := &listener{t: s.t, change: make(chan struct{})}
	d, err := s.client.Dialer("ws://"+s.server.Addr().String()+"/", engine.DialOptions{Endpoint: engine.Endpoint{Handler: l}})
	if err != nil {
		s.t.Fatal(err)
	}
	if l.dialed, err = d.Dial(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	l.conn = <-s.opened
	return l
}

func (s *stage) subscribe(l *listener, pattern string, o Options) {
	s.t.Helper()
	if err := s.hub.Subscribe(l.conn, pattern, o); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) publish(topic, key, payload string) Position {
	s.t.Helper()
	p, err := s.hub.Publish(topic, key, []byte(payload))
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// wait gives what was heard, once that satisfies a condition.
func (l *listener) wait(what string, holds func([]heard) bool) []heard {
	l.t.Helper()
	deadline := time.After(patience)
	for {
		l.mu.Lock()
		all, change := l.heard, l.change
		l.mu.Unlock()
		if holds(all) {
			return all
		}
		select {
		case <-change:
		case <-deadline:
			l.t.Fatalf("waited too long for %s; heard %d, at the end %v", what, len(all), all[max(0, len(all)-5):])
		}
	}
}

// waitLive waits until a subscription is through with its snapshot.
func (l *listener) waitLive(pattern string) []heard {
	l.t.Helper()
	return l.wait("live "+pattern, func(all []heard) bool {
		for _, h := range all {
			if h.kind == "live" && h.pattern == pattern {
				return true
			}
		}
		return false
	})
}

func (l *listener) waitCount(n int) []heard {
	l.t.Helper()
	return l.wait(fmt.Sprint(n, " messages"), func(all []heard) bool { return len(all) >= n })
}

// counts has the updates counted from now on, in place of keeping them.
func (l *listener) counts() *counter {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count = &counter{}
	return l.count
}

func (l *listener) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = nil
}

// short gives messages in few words.
func short(all []heard) string {
	var words []string
	for _, h := range all {
		switch h.kind {
		case "update":
			w := h.topic + ":" + h.key + "=" + h.payload + "@" + fmt.Sprint(h.Seq)
			if h.skipped > 0 {
				w += fmt.Sprintf("(%d)", h.skipped)
			}
			words = append(words, w)
		case "deleted":
			words = append(words, h.topic+":"+h.key+"-@"+fmt.Sprint(h.Seq))
		case "live":
			words = append(words, "live")
		default:
			w := fmt.Sprintf("%s(%s@%d,%d)", h.kind, h.topic, h.Seq, h.count)
			if h.lost {
				w += "!"
			}
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited too long until ", what)
		}
	}
}

// settle waits until a loop has done what it was asked to.
func settle(c *engine.Conn) {
	done := make(chan struct{})
	c.Loop().NewWork(func() bool { close(done); return false }).Ask()
	<-done
}

// counter counts updates of one topic, and the numbers that are missing between.
type counter struct {
	last       uint64
	seen, gaps atomic.Uint64
}

func (c *counter) hear(h heard) {
	if h.Seq != c.last+1 {
		c.gaps.Add(1)
	}
	c.last = h.Seq
	c.seen.Add(1)
}

// panics fails a test for whatever the engine or a hub logs as an error.
type panics struct{ t testing.TB }

func (p panics) Write(line []byte) (int, error) {
	p.t.Errorf("%s", line)
	return len(line), nil
}
