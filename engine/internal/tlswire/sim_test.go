package tlswire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/simwire"
	"github.com/headrace/headrace/engine/internal/wire"
)

// counted is memory that knows what is lent, and poisons what comes back, so that
// the simulation sees a use of it.
type counted struct{ lent int }

func (m *counted) Get(n int) []byte {
	m.lent++
	return make([]byte, 0, n)
}

func (m *counted) Put(b []byte) {
	m.lent--
	b = b[:cap(b)]
	for i := range b {
		b[i] = 0xDB
	}
}

// crowd is a handler with a user for each connection.
type crowd struct {
	loop  wire.Loop
	mem   counted
	users []*user
}

func (h *crowd) Memory() codec.Memory { return &h.mem }
func (h *crowd) Woken()               {}
func (h *crowd) Tick(time.Duration)   {}

func (h *crowd) Opened(s wire.Socket, _ int, _ net.Addr) wire.Owner {
	u := &user{loop: h.loop, socket: s, echo: true}
	h.users = append(h.users, u)
	return u
}

// life is one connection of a simulation.
type life struct {
	client *client
	peer   *simwire.Peer
	got    error
	end    error
	faulty bool // it doesn't play to the end
	done   bool
}

// step lets the client go on with what has come.
func (l *life) step() {
	if l.client.live {
		_, l.client.live = l.client.next()
	}
	if len(l.client.out) > 0 {
		l.peer.Write(l.client.out)
		l.client.out = nil
	}
	if !l.client.live && !l.done {
		l.done = true
		l.peer.CloseWrite()
	}
}

// TestSim lives connections on a simulated transport: reads and writes cut
// anywhere, full sockets, resets and hang-ups at any moment, workers that take
// their time.
func TestSim(t *testing.T) {
	seeds := 60
	if raceDetector || testing.Short() {
		seeds = 15
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { simulate(t, uint64(seed)) })
	}
}

func simulate(t *testing.T, seed uint64) {
	h := &crowd{}
	var sim *simwire.Sim
	var backend *Backend
	var lives []*life
	crowded := seed%3 == 0 // more handshakes than may be under way
	most := 100
	if crowded {
		most = 4
	}
	sim = simwire.New(simwire.Options{
		Seed: seed, Loops: 1, ReadBuffer: 1 << (10 + seed%7), Interleave: 0.05,
		Misuse: func(what string) { t.Error(what) },
		Script: func(sim *simwire.Sim) {
			for range 12 {
				lives = append(lives, newLife(t, sim))
			}
			sim.Run(2 * time.Minute)
			for _, l := range lives {
				l.peer.Close()
			}
			sim.Run(4 * time.Minute)
			if n := sim.OpenSockets(); n != 0 {
				t.Errorf("%d sockets are open", n)
			}
		},
	})
	backend = New(sim, Options{
		Configs: []*tls.Config{serverConfig()}, MaxHandshakes: most, Workers: 2, Logger: slog.New(slog.DiscardHandler),
		Run: func(worker func()) {
			sim.After(time.Duration(sim.Rand().IntN(int(5*time.Millisecond))), worker)
		},
	})
	if err := backend.Serve(func(l wire.Loop) wire.Handler { h.loop = l; return h }, func([]net.Addr) {}); err != nil {
		t.Fatal(err)
	}
	for i, l := range lives {
		refused := crowded && l.got != nil && // with an alert, or to make room for another
			(strings.Contains(l.got.Error(), "internal error") || errors.Is(l.got, io.EOF))
		if !l.faulty && l.got != nil && !refused {
			t.Errorf("client %d: %v (the stream: %v)", i, l.got, l.end)
		}
		l.client.stop()
	}
	for _, u := range h.users {
		if len(u.ends) != 1 {
			t.Errorf("a connection has ended %d times: %v", len(u.ends), u.ends)
		}
	}
	if h.mem.lent != 0 {
		t.Errorf("%d buffers were not given back", h.mem.lent)
	}
	if n := backend.shaking.Load(); n != 0 {
		t.Errorf("%d handshakes are counted after the end", n)
	}
}

func newLife(t *testing.T, sim *simwire.Sim) *life {
	rng := sim.Rand()
	l := &life{}
	var sizes []int
	for range 1 + rng.IntN(5) {
		sizes = append(sizes, 1+rng.IntN(1<<(1+rng.IntN(16))))
	}
	garbage := rng.IntN(8) == 0
	l.client = newClient(&tls.Config{MaxVersion: tls.VersionTLS12 + uint16(rng.IntN(2))}, func(c *client, conn *tls.Conn) {
		for i, n := range sizes {
			if l.got = sayAndHear(conn, bytes.Repeat([]byte{byte('a' + i)}, n)); l.got != nil {
				return
			}
		}
		if garbage {
			c.out = append(c.out, "\x17\x03\x03\x00\x20 garbage garbage garbage garbage"...)
			_, _ = conn.Read(make([]byte, 1)) // the alert
			return
		}
		_ = conn.CloseWrite()
	})
	profile := simwire.Profile{
		AcceptLag: time.Millisecond, ServerLag: time.Millisecond, PeerLag: time.Millisecond,
		SendBuffer: 64 << rng.IntN(12),
		Data: func(p []byte) {
			l.client.in = append(l.client.in, p...)
			l.step()
		},
		End: func(err error) {
			l.end = err
			l.client.fin = true
			l.step()
			l.peer.Close()
		},
	}
	if rng.IntN(3) == 0 {
		profile.MaxRead = 1 + rng.IntN(2000)
	}
	if rng.IntN(6) == 0 {
		l.faulty = true
		profile.WriteError, profile.ErrorAfter = syscall.EPIPE, rng.IntN(20000)
	}
	l.peer = sim.Dial(profile)
	sim.After(time.Duration(rng.IntN(int(20*time.Millisecond))), l.step)
	if rng.IntN(3) == 0 {
		l.faulty = true
		what := []func(){l.peer.Reset, l.peer.Close, l.peer.CloseWrite}[rng.IntN(3)]
		sim.After(time.Duration(rng.IntN(int(60*time.Millisecond))), what)
	}
	return l
}
