package tlswire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// shell has workers that work when the test says so.
type shell struct{ workers []func() }

func (s *shell) options(o *Options) { o.Run = func(w func()) { s.workers = append(s.workers, w) } }

func (s *shell) work() {
	for len(s.workers) > 0 {
		w := s.workers[0]
		s.workers = s.workers[1:]
		w()
	}
}

// hello is what a client says first.
func hello(t *testing.T) []byte {
	t.Helper()
	c := newClient(&tls.Config{}, func(_ *client, conn *tls.Conn) { _ = conn.Handshake() })
	_, _ = c.next()
	c.stop()
	return c.out
}

// A connection that ends lets its handshake go, wherever that is.
func TestTheEndEndsTheHandshake(t *testing.T) {
	first := hello(t)
	for name, row := range map[string]struct {
		say  []byte
		work bool
	}{
		"before a byte":   {nil, false},
		"in the hello":    {first[:100], false},
		"in the queue":    {first, false},
		"while suspended": {first, true},
	} {
		t.Run(name, func(t *testing.T) {
			var pool shell
			var backend *Backend
			u := &user{}
			l := serve(u, serverConfig(), func(o *Options) { pool.options(o) })
			backend = l.owner.(*session).loop.backend
			if row.say != nil {
				l.arrive(row.say)
			}
			if row.work {
				pool.work()
				l.wake()
				if len(l.sent) == 0 {
					t.Fatal("the handshake has not begun")
				}
			}
			l.owner.Closed(io.EOF)
			pool.work()
			l.wake()
			if n := backend.shaking.Load(); n != 0 || backend.pool.workers != 0 {
				t.Errorf("%d handshakes, %d workers after the end", n, backend.pool.workers)
			}
			if len(u.ends) != 1 || !errors.Is(u.ends[0], io.EOF) {
				t.Errorf("it ended with %v", u.ends)
			}
		})
	}
}

// What the owner writes before the handshake is done goes nowhere; its end of the
// stream is an alert.
func TestTheOwnerEndsTheHandshake(t *testing.T) {
	u := &user{}
	l := serve(u, serverConfig(), nil)
	l.arrive(hello(t)[:200])
	if n, err := u.loop.Write(u.socket, []byte("HTTP/1.1 408 ")); n != 13 || err != nil {
		t.Errorf("Write gives %d, %v", n, err)
	}
	if n, err := u.loop.Writev(u.socket, [][]byte{[]byte("Request"), []byte(" Timeout")}); n != 15 || err != nil {
		t.Errorf("Writev gives %d, %v", n, err)
	}
	if err := u.loop.CloseWrite(u.socket); err != nil {
		t.Error(err)
	}
	if string(l.sent) != alertInternal || !l.fin {
		t.Errorf("sent %q, our half ended: %v", l.sent, l.fin)
	}
	l.arrive([]byte("more of the hello"))
	if u.turns > 0 || u.broken != nil {
		t.Error("the owner hears of what came later")
	}
}

// A client that says much behind its handshake, while the workers are busy, is
// not read from, and nothing is lost.
func TestMuchBehindTheHandshake(t *testing.T) {
	var pool shell
	u := &user{}
	l := serve(u, serverConfig(), func(o *Options) { pool.options(o) })
	text := bytes.Repeat([]byte("x"), 300<<10)
	c := newClient(&tls.Config{}, func(c *client, conn *tls.Conn) {
		_, _ = conn.Write(text)
		_ = conn.CloseWrite()
	})
	paused := false
	for c.live {
		_, c.live = c.next()
		for len(c.out) > 0 && !l.paused {
			n := min(len(c.out), 10_000)
			l.arrive(c.out[:n])
			c.out = c.out[n:]
		}
		paused = paused || l.paused
		pool.work()
		l.wake()
		c.in = append(c.in, l.drain(-1)...)
	}
	for len(c.out) > 0 && !l.closed {
		n := min(len(c.out), 10_000)
		l.arrive(c.out[:n])
		c.out = c.out[n:]
	}
	if !paused || l.paused {
		t.Errorf("it was paused: %v, it still is: %v", paused, l.paused)
	}
	if !bytes.Equal(u.heard, text) || len(u.ends) != 1 {
		t.Errorf("heard %d bytes of %d; ends %v", len(u.heard), len(text), u.ends)
	}
}

// An owner that has stopped reading hears of the end when it reads on.
func TestEndWhilePaused(t *testing.T) {
	u := &user{onText: func(u *user, _ []byte) {
		if err := u.loop.PauseRead(u.socket); err != nil {
			panic(err)
		}
	}}
	l := serve(u, serverConfig(), nil)
	c := newClient(&tls.Config{}, func(_ *client, conn *tls.Conn) {
		_ = conn.Handshake()
		_, _ = conn.Write([]byte("much"))
		_ = conn.Close()
	})
	defer end(t, c, l)
	converse(c, l, whole, anyRoom)
	if string(u.heard) != "much" || len(u.ends) > 0 {
		t.Fatalf("heard %q, ends %v", u.heard, u.ends)
	}
	if err := u.loop.ResumeRead(u.socket); err != nil {
		t.Fatal(err)
	}
	if len(u.ends) > 0 {
		t.Error("Closed was called inside ResumeRead")
	}
	l.wake()
	if len(u.ends) != 1 || !errors.Is(u.ends[0], io.EOF) {
		t.Errorf("ends %v", u.ends)
	}
}

func TestOwnerClosesInsideArrived(t *testing.T) {
	u := &user{onText: func(u *user, _ []byte) { u.loop.Close(u.socket) }}
	l := serve(u, serverConfig(), nil)
	c := newClient(&tls.Config{}, func(_ *client, conn *tls.Conn) {
		_, _ = conn.Write([]byte("one"))
		_, _ = conn.Write([]byte("two"))
		_ = conn.Close()
	})
	defer c.stop()
	converse(c, l, whole, anyRoom)
	if len(u.ends) != 1 || u.ends[0] != nil || u.turns != 1 {
		t.Errorf("ends %v, %d turns", u.ends, u.turns)
	}
}

func TestPrepare(t *testing.T) {
	given := &tls.Config{NextProtos: []string{"h2", "http/1.1", "acme-tls/1"}}
	b := &Backend{}
	got := b.prepare(given)
	if strings.Join(got.NextProtos, " ") != "http/1.1 acme-tls/1" || !got.DynamicRecordSizingDisabled || got.MinVersion != tls.VersionTLS12 {
		t.Errorf("prepared: %v, %v, %x", got.NextProtos, got.DynamicRecordSizingDisabled, got.MinVersion)
	}
	if len(given.NextProtos) != 3 || given.MinVersion != 0 {
		t.Error("the caller's config was changed")
	}
	if b.prepare(nil) != nil {
		t.Error("a plain listener gets TLS")
	}
}

var _ net.Conn = (*stream)(nil)
