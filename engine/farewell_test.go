package engine

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/simwire"
)

// endTimes are those of the tests here: far less than a slow reader needs for all.
var endTimes = Config{CloseTimeout: time.Second, StallTimeout: 5 * time.Second, DrainWindow: -1}

// slowEnd ends a connection in the simulation behind 500 messages that the kernel has
// taken, and whose peer reads about 50 KB in a second, pinging all the while: what is
// lost at a cut is lost at once. It reads so many of them.
type slowEnd struct {
	end   func(*Server, *Conn)
	reads int           // messages before it stops to read
	pause time.Duration // of its reading, after every 100 messages; 0: none

	next  int           // the message after which it pauses
	until time.Duration // it pauses; 0: it does not
	got   int           // messages
	moved time.Duration // when it has last read
	ended time.Duration
	info  CloseInfo
	lost  int64
}

const slowMessages = 500

func (e *slowEnd) run(t *testing.T, seed uint64) {
	var conn *Conn
	var sim *simwire.Sim
	h := HandlerFuncs{
		Open:  func(c *Conn) { conn = c },
		Close: func(_ *Conn, info CloseInfo) { e.info, e.ended = info, sim.Now() },
	}
	simServer(t, seed, endTimes, Endpoint{Handler: h}, func(srv *Server, s *simwire.Sim) {
		sim = s
		var p *simwire.Peer
		reader := &wireReader{}
		reader.frame = func(op byte, payload []byte) error {
			if op == wireClose {
				p.Write(clientFrame(0x88, [4]byte{}, payload))
				return nil
			}
			if n := int(binary.BigEndian.Uint32(payload)); n != e.got {
				return fmt.Errorf("message %d came as number %d", n, e.got)
			}
			e.got++
			return nil
		}
		p = sim.Dial(simwire.Profile{
			SendBuffer: 1 << 20, PeerLag: 40 * time.Millisecond, MaxPeer: 2000,
			Data: func(b []byte) {
				e.moved = sim.Now()
				if err := reader.feed(b); err != nil {
					t.Error(err)
				}
				if e.got >= e.reads {
					p.Halt()
				}
				if e.pause > 0 && e.got >= e.next {
					e.next, e.until = e.got+100, e.moved+e.pause
					p.Halt()
				}
			},
			End: func(error) { p.Close() },
		})
		p.Write([]byte(simRequest))
		sim.Run(sim.Now() + time.Second)
		for i := range slowMessages {
			if err := conn.Send(Binary, numberedMessage(i, 1000)); err != nil {
				t.Error(err)
			}
		}
		sim.Run(sim.Now() + 100*time.Millisecond)
		if conn.Buffered() > 0 {
			t.Error("the kernel has not taken everything")
		}
		if e.reads == 0 {
			p.Halt()
		}
		e.moved = sim.Now()
		e.end(srv, conn)
		for range 600 {
			sim.Run(sim.Now() + 100*time.Millisecond)
			p.Write(clientFrame(0x89, [4]byte{}, nil))
			if e.until > 0 && sim.Now() >= e.until {
				e.until = 0
				p.Resume()
			}
		}
		e.lost = srv.lost.Load()
	})
	if e.ended == 0 {
		t.Errorf("seed %d: it has not ended", seed)
	}
}

var ends = map[string]func(*Server, *Conn){
	"Close":    func(_ *Server, c *Conn) { _ = c.Close(CloseNormal, "") },
	"shutdown": func(s *Server, _ *Conn) { s.beginDrain() },
}

// A peer that reads gets everything, however long it takes, though the kernel has taken
// all of it before CloseTimeout begins.
func TestEndWaitsForASlowReader(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(10) {
				e := slowEnd{end: end, reads: slowMessages + 1}
				e.run(t, seed)
				if e.got != slowMessages || !e.info.Clean || e.lost != 0 {
					t.Errorf("seed %d: %d of %d messages came, %d losses are counted, %+v", seed, e.got, slowMessages, e.lost, e.info)
				}
			}
		})
	}
}

// A peer that stops reading is cut when it has taken nothing for StallTimeout, and one
// that never reads when CloseTimeout is over. Only the first is a loss of a shutdown.
func TestEndOfAPeerThatStopsReading(t *testing.T) {
	for name, end := range ends {
		for _, row := range []struct {
			name  string
			reads int
			limit time.Duration
			lost  int64
		}{
			{"in the middle", 100, endTimes.StallTimeout, 1},
			{"at once", 0, endTimes.CloseTimeout, 0},
		} {
			t.Run(name+"/"+row.name, func(t *testing.T) {
				if name != "shutdown" {
					row.lost = 0
				}
				for seed := range uint64(10) {
					e := slowEnd{end: end, reads: row.reads}
					e.run(t, seed)
					took, look := e.ended-e.moved, endTimes.CloseTimeout/looksPerClose
					if took < row.limit-look || took > row.limit+look+simSlack {
						t.Errorf("seed %d: it was cut %v after it had last read, the limit is %v", seed, took, row.limit)
					}
					if e.lost != row.lost || e.info.Clean || e.info.Err == nil {
						t.Errorf("seed %d: %d losses are counted, %+v", seed, e.lost, e.info)
					}
				}
			})
		}
	}
}

// A peer whose queue was full is told so though it takes something only now and then, as
// the kernel sees one that reads a few KB a second. One that takes nothing is cut.
func TestEndOfAPeerThatIsTooSlow(t *testing.T) {
	tooSlow := func(_ *Server, c *Conn) { c.loop.push(item{run: func(*loop) { c.fail(ErrSlowPeer) }}) }
	const limit = slowPatience * time.Second // endTimes.CloseTimeout is one
	for seed := range uint64(10) {
		e := slowEnd{end: tooSlow, reads: slowMessages + 1, pause: limit * 3 / 4}
		e.run(t, seed)
		if e.got != slowMessages || !e.info.Clean || e.info.Err != ErrSlowPeer {
			t.Errorf("seed %d: %d of %d messages came, %+v", seed, e.got, slowMessages, e.info)
		}
		e = slowEnd{end: tooSlow, reads: 100}
		e.run(t, seed)
		if took, look := e.ended-e.moved, endTimes.CloseTimeout/looksPerClose; e.info.Clean || took > limit+look+simSlack {
			t.Errorf("seed %d: it was cut %v after it had last read, %+v", seed, took, e.info)
		}
	}
}

// The same over real sockets, where what is lost stands in the kernel's send buffer.
func TestDrainLosesNothingInTheKernel(t *testing.T) {
	const messages, size = 100, 10_000
	a := newAuthority(t)
	for name, cfg := range map[string]Config{
		"tcp":  {},
		"TLS":  {TLS: a.server(t)},
		"unix": {Network: "unix", Addr: filepath.Join(t.TempDir(), "s")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opened := make(chan *Conn, 1)
			cfg.Loops, cfg.Logger = 1, quiet().Logger
			cfg.CloseTimeout, cfg.StallTimeout, cfg.DrainWindow = time.Second, patience, -1
			srv := startServer(t, cfg, func(s *Server) {
				s.Handle("/x", Endpoint{MaxQueue: 4 << 20, Handler: HandlerFuncs{Open: func(c *Conn) { opened <- c }}})
			})
			raw := dialNet(t, srv.Addr())
			_ = raw.(interface{ SetReadBuffer(int) error }).SetReadBuffer(32 << 10)
			client := overTLS(t, raw, a, cfg.TLS != nil)
			conn := next(t, opened)
			for i := range messages {
				if err := conn.Send(Binary, numberedMessage(i, size)); err != nil {
					t.Fatal(err)
				}
			}
			ended := make(chan error, 1)
			go func() { ended <- srv.Shutdown(t.Context()) }()
			for got := 0; ; {
				op, p, err := client.recv()
				if err != nil {
					t.Fatalf("after %d of %d messages: %v", got, messages, err)
				}
				if op == codec.OpClose {
					if got != messages {
						t.Errorf("%d of %d messages came", got, messages)
					}
					_ = client.send(op, p)
					_ = client.Close()
					break
				}
				if op == codec.OpBinary {
					got++
				}
				if got%10 == 0 {
					_ = client.send(codec.OpPing, nil) // what answers a closed socket's peer with a reset
				}
				time.Sleep(30 * time.Millisecond) // a slow reader: that is what is tested
			}
			if err := next(t, ended); err != nil {
				t.Error(err)
			}
		})
	}
}

// overTLS makes a WebSocket connection, with TLS below it or not.
func overTLS(t *testing.T, conn net.Conn, a *testAuthority, secure bool) *testClient {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	if secure {
		conn = tls.Client(conn, a.client())
	}
	c, err := upgradeClient(conn, "h", "/x")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The error of a shutdown says so when peers have not got everything.
func TestShutdownTellsOfLosses(t *testing.T) {
	opened := make(chan *Conn, 1)
	cfg := quiet()
	cfg.CloseTimeout, cfg.StallTimeout = 50*time.Millisecond, 100*time.Millisecond
	srv := startServer(t, cfg, func(s *Server) {
		s.Handle("/x", Endpoint{MaxQueue: 64 << 20, Handler: HandlerFuncs{Open: func(c *Conn) { opened <- c }}})
	})
	connect(t, srv, "/x") // reads nothing
	if err := next(t, opened).Send(Binary, make([]byte, 50<<20)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := srv.Shutdown(ctx); !errors.Is(err, ErrCloseTimeout) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown gives %v", err)
	}
}
