package tlswire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// clients are those that a server of ours meets.
func clients() map[string]*tls.Config {
	return map[string]*tls.Config{
		"1.3":        {MinVersion: tls.VersionTLS13},
		"1.2/gcm":    {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}},
		"1.2/chacha": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}},
		"1.2/cbc":    {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
	}
}

// chatter says all sizes and wants each back.
func chatter(sizes []int, got *error) func(*client, *tls.Conn) {
	return func(_ *client, conn *tls.Conn) {
		*got = func() error {
			for i, n := range sizes {
				if err := sayAndHear(conn, bytes.Repeat([]byte{byte('a' + i%26)}, n)); err != nil {
					return err
				}
			}
			return conn.CloseWrite()
		}()
	}
}

func sayAndHear(conn *tls.Conn, p []byte) error {
	if _, err := conn.Write(p); err != nil {
		return err
	}
	return hear(conn, p)
}

func hear(conn *tls.Conn, want []byte) error {
	p := make([]byte, len(want))
	if _, err := io.ReadFull(conn, p); err != nil {
		return err
	}
	if !bytes.Equal(p, want) {
		return errors.New("something else came back")
	}
	return nil
}

// Whatever the reads are, the owner hears the same.
func TestAnySplit(t *testing.T) {
	sizes := []int{1, 0, 5, 100, 16384, 16385, 40000, 3}
	total := 0
	for _, n := range sizes {
		total += n
	}
	for name, config := range clients() {
		for _, split := range []int{1, 2, 5, 21, 22, 1000, 20000} {
			if split < 20 && testing.Short() {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", name, split), func(t *testing.T) {
				u := &user{echo: true}
				l := serve(u, serverConfig(), nil)
				var got error
				c := newClient(config, chatter(sizes, &got))
				defer end(t, c, l)
				converse(c, l, func(all int) int { return min(all, split) }, anyRoom)
				if got != nil || c.live {
					t.Fatalf("the client: %v; still waiting: %v", got, c.live)
				}
				if len(u.heard) != total {
					t.Errorf("heard %d bytes, want %d", len(u.heard), total)
				}
				if len(u.ends) != 1 || !errors.Is(u.ends[0], io.EOF) || !l.closed {
					t.Errorf("after close_notify: ends %v, closed %v", u.ends, l.closed)
				}
			})
		}
	}
}

// One read is one turn, however many records it brings, and one turn is one
// write.
func TestOneTurnPerRead(t *testing.T) {
	const rounds = 10
	var l *transport
	handshake := 0
	u := &user{}
	u.onText = func(u *user, p []byte) {
		if handshake == 0 {
			handshake = l.writes
		}
		u.write(p)
	}
	l = serve(u, serverConfig(), nil)
	c := newClient(&tls.Config{}, func(_ *client, conn *tls.Conn) {
		_ = conn.Handshake()
		for range rounds {
			for range 50 {
				_, _ = conn.Write([]byte("together"))
			}
			_, _ = io.ReadFull(conn, make([]byte, 400))
		}
	})
	defer end(t, c, l)
	converse(c, l, whole, anyRoom)
	if c.live || u.turns != rounds || l.writes-handshake != rounds {
		t.Errorf("%d turns and %d writes, want %d; the client waits: %v", u.turns, l.writes-handshake, rounds, c.live)
	}
}

// FuzzSession draws the reads, the writes' luck and the sizes.
func FuzzSession(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var names []string
		for name := range clients() {
			names = append(names, name)
		}
		var sizes []int
		total := 0
		for range 1 + rng.IntN(12) {
			n := rng.IntN(1 << (1 + rng.IntN(18)))
			sizes = append(sizes, n)
			total += n
		}
		most := 1 << rng.IntN(16)
		cut := func(all int) int { return 1 + rng.IntN(min(all, most)) }
		if rng.IntN(4) == 0 {
			cut = whole
		}
		room := anyRoom
		if rng.IntN(3) > 0 {
			wide := 64 << rng.IntN(12)
			room = func() int { return rng.IntN(wide) }
		}
		u := &user{echo: true}
		l := serve(u, serverConfig(), nil)
		l.room = room()
		var got error
		c := newClient(clients()[names[rng.IntN(len(names))]], func(c *client, conn *tls.Conn) {
			var all []byte
			for i, n := range sizes {
				p := bytes.Repeat([]byte{byte('a' + i)}, n)
				all = append(all, p...)
				if _, got = conn.Write(p); got != nil {
					return
				}
			}
			got = hear(conn, all)
			_ = conn.CloseWrite()
		})
		defer end(t, c, l)
		for range 20000 {
			converse(c, l, cut, room)
			if !c.live && len(c.out) == 0 || got != nil {
				break
			}
		}
		if got != nil || c.live {
			t.Fatalf("seed %d: the client: %v; still waiting: %v; heard %d of %d, queue %d, waiting %v", seed, got, c.live, len(u.heard), total, len(u.queue), u.waiting)
		}
		if len(u.queue) > 0 {
			t.Errorf("all has come, and the owner was not told of %d bytes", len(u.queue))
		}
		if len(u.ends) != 1 {
			t.Errorf("ends %v", u.ends)
		}
	})
}

func TestGarbageAfterTheHandshake(t *testing.T) {
	for name, garbage := range map[string]string{
		"no record":       "hello, hello, hello",
		"too long":        "\x17\x03\x03\xff\xff" + strings.Repeat("x", 100),
		"does not decode": "\x17\x03\x03\x00\x20" + strings.Repeat("x", 32),
		"wrong version":   "\x17\x03\x01\x00\x20" + strings.Repeat("x", 32),
	} {
		t.Run(name, func(t *testing.T) {
			u := &user{echo: true}
			l := serve(u, serverConfig(), nil)
			var hears error
			c := newClient(&tls.Config{}, func(c *client, conn *tls.Conn) {
				_, _ = conn.Write([]byte("good"))
				p := make([]byte, 4)
				_, _ = io.ReadFull(conn, p)
				c.out = append(c.out, garbage...)
				_, hears = conn.Read(p)
			})
			defer end(t, c, l)
			converse(c, l, whole, anyRoom)
			if u.broken == nil || !l.fin {
				t.Errorf("broken: %v, our half ended: %v", u.broken, l.fin)
			}
			if string(u.heard) != "good" {
				t.Errorf("heard %q", u.heard)
			}
			if hears == nil || !strings.Contains(hears.Error(), "remote error: tls: ") {
				t.Errorf("the peer hears %v, want an alert", hears)
			}
		})
	}
}

// What came before a bad record is heard, and the answer to it does not get in the
// way of the end.
func TestGarbageInTheSameRead(t *testing.T) {
	u := &user{echo: true}
	l := serve(u, serverConfig(), nil)
	var hears error
	c := newClient(&tls.Config{}, func(c *client, conn *tls.Conn) {
		_ = conn.Handshake()
		c.wait(struct{}{})
		_, _ = conn.Write([]byte("good"))
		c.out = append(c.out, "\x17\x03\x03\x00\x20"+strings.Repeat("x", 32)...)
		_, hears = io.ReadAll(conn)
	})
	defer end(t, c, l)
	converse(c, l, whole, anyRoom)
	if string(u.heard) != "good" || u.broken == nil || len(u.ends) > 0 || !l.fin {
		t.Errorf("heard %q; broken: %v; ends %v; our half ended: %v", u.heard, u.broken, u.ends, l.fin)
	}
	if hears == nil || !strings.Contains(hears.Error(), "bad record MAC") {
		t.Errorf("the peer hears %v, want an alert", hears)
	}
}
