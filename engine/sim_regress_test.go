package engine

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/simwire"
	"github.com/headrace/headrace/engine/internal/wire"
)

// simServer runs a server with one endpoint, "/a", on one simulated loop for as
// long as script runs.
func simServer(t *testing.T, seed uint64, cfg Config, ep Endpoint, script func(*Server, *simwire.Sim)) {
	t.Helper()
	simServerOn(t, seed, func(b wire.Backend) wire.Backend { return b }, cfg, ep, script)
}

// simServerOn is simServer with something between the server and its loop.
func simServerOn(t *testing.T, seed uint64, between func(wire.Backend) wire.Backend, cfg Config, ep Endpoint, script func(*Server, *simwire.Sim)) {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg, err := cfg.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	var srv *Server
	sim := simwire.New(simwire.Options{
		Seed: seed, Loops: 1, ReadBuffer: 64 << 10,
		Script: func(sim *simwire.Sim) { script(srv, sim) },
		Misuse: func(what string) { t.Error(what) },
	})
	srv = newServer(cfg, between(sim))
	srv.poison = true
	if ep.PingInterval == 0 {
		ep.PingInterval = -1
	}
	srv.Handle("/a", ep)
	srv.started.Store(true)
	_ = srv.serve()
}

const simRequest = "GET /a HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"

// simPipe gives a profile of a quick network that collects what the peer reads.
func simPipe(read *[]byte) simwire.Profile {
	return simwire.Profile{
		SendBuffer: 1 << 20,
		Data:       func(p []byte) { *read = append(*read, p...) },
		End:        func(error) {},
	}
}

func TestCloseIsCleanOnlyIfOurCloseFrameHasLeft(t *testing.T) {
	var infos []CloseInfo
	h := HandlerFuncs{Close: func(_ *Conn, info CloseInfo) { infos = append(infos, info) }}
	simServer(t, 1, Config{}, Endpoint{Handler: h}, func(_ *Server, sim *simwire.Sim) {
		var got []byte
		profile := simPipe(&got)
		profile.SendBuffer = 10 // the answer does not fit, so nothing behind it leaves
		p := sim.Dial(profile)
		p.Halt()
		p.Write([]byte(simRequest))
		p.Write(clientFrame(0x80|wireClose, [4]byte{}, []byte{3, 232}))
		p.CloseWrite()
		sim.Run(time.Minute)
	})
	if len(infos) != 1 || infos[0].Clean || infos[0].Code != codec.CloseNormal || !errors.Is(infos[0].Err, io.ErrUnexpectedEOF) {
		t.Errorf("the end: %+v", infos)
	}
}

func TestShutdownDuringAdmit(t *testing.T) {
	var got []byte
	var other *Conn
	var srv *Server
	opened := 0
	ep := Endpoint{
		Handler: HandlerFuncs{Open: func(c *Conn) { other = c; opened++ }},
		Admit: func(r *Request) error {
			if other != nil {
				srv.beginDrain()                // another goroutine, just now
				_ = other.Reply(Text, []byte{}) // takes in what other goroutines have left
				if host := r.Host(); host != "h" {
					t.Errorf("the request has changed under Admit: Host %q", host)
				}
			}
			return nil
		},
	}
	simServer(t, 1, Config{}, ep, func(s *Server, sim *simwire.Sim) {
		srv = s
		var ignored []byte
		first := sim.Dial(simPipe(&ignored))
		first.Write([]byte(simRequest))
		sim.Run(time.Second)
		second := sim.Dial(simPipe(&got))
		second.Write([]byte(simRequest[:50])) // cut, so that the head lies in the loop's memory
		sim.Run(2 * time.Second)
		second.Write([]byte(simRequest[50:]))
		sim.Run(time.Minute)
	})
	if !strings.HasPrefix(string(got), "HTTP/1.1 503 ") || strings.Count(string(got), "HTTP/1.1") != 1 || opened != 1 {
		t.Errorf("a handshake in a shutdown is answered with %q, %d connections were opened", got, opened)
	}
}

// The time that a tick began with may be over when the last timer expires and
// sets a new one.
func TestTickEndsWhenTimePassesInIt(t *testing.T) {
	cfg := Config{HandshakeTimeout: 50 * time.Millisecond, CloseTimeout: 50 * time.Millisecond}
	simServer(t, 1, cfg, Endpoint{Handler: HandlerFuncs{}}, func(srv *Server, sim *simwire.Sim) {
		for range 3000 {
			var got []byte
			p := sim.Dial(simPipe(&got))
			if sim.Run(sim.Now() + time.Hour); !strings.HasPrefix(string(got), "HTTP/1.1 408 ") {
				t.Fatalf("a peer that says nothing is answered with %q", got)
			}
			p.Close()
			sim.Run(sim.Now() + time.Hour)
		}
		if l := srv.loops[0]; l.wheel.entries != 0 || l.conns.len != 0 {
			t.Errorf("%d timers and %d connections are left", l.wheel.entries, l.conns.len)
		}
	})
}

// A broadcast leaves over several turns, so that the loop's other connections
// need not wait for it, and it leaves completely.
func TestBroadcastIsSpreadOverTurns(t *testing.T) {
	const conns = 3*settlePerTurn + 10
	var all []*Conn
	h := HandlerFuncs{
		Open: func(c *Conn) { all = append(all, c) },
		Message: func(_ *Conn, op Op, p []byte) {
			for _, c := range all {
				if err := c.Reply(op, p); err != nil {
					t.Error(err)
				}
			}
		},
	}
	var got [conns][]byte
	simServer(t, 1, Config{MaxConns: conns}, Endpoint{Handler: h}, func(srv *Server, sim *simwire.Sim) {
		var peers [conns]*simwire.Peer
		for i := range peers {
			peers[i] = sim.Dial(simPipe(&got[i]))
			peers[i].Write([]byte(simRequest))
		}
		sim.Run(time.Second)
		clear(got[:])
		peers[0].Write(clientFrame(0x80|wireText, [4]byte{1, 2, 3, 4}, []byte("news")))
		l, most := srv.loops[0], uint64(0)
		for had := l.stats.writes; sim.Step(); had = l.stats.writes {
			most = max(most, l.stats.writes-had)
		}
		if most > settlePerTurn+1 {
			t.Errorf("%d writes in one turn", most)
		}
	})
	for i := range got {
		if string(got[i]) != "\x81\x04news" {
			t.Fatalf("peer %d got %q", i, got[i])
		}
	}
}
