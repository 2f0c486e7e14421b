package engine

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/simwire"
)

func TestDrainWindowDefault(t *testing.T) {
	for _, tt := range []struct {
		conns               int64
		set, shutdown, left time.Duration
		want                time.Duration
	}{
		{conns: 0, want: 0},
		{conns: 100, want: 10 * time.Millisecond},
		{conns: 20_000, want: 2 * time.Second},
		{conns: 1_000_000, want: 5 * time.Second}, // half of ShutdownTimeout
		{conns: 1_000_000, shutdown: time.Hour, left: time.Hour, want: 100 * time.Second},
		{conns: 1_000_000, set: -1, want: 0},
		{conns: 1, set: 3 * time.Second, want: 3 * time.Second},
		{conns: 1, set: time.Hour, want: 5 * time.Second},                                    // CloseTimeout is left
		{conns: 1, set: time.Hour, left: time.Minute, want: 55 * time.Second},                // the same
		{conns: 1, set: time.Hour, left: 4 * time.Second, want: 2 * time.Second},             // half is left
		{conns: 1, set: time.Hour, left: 1 << 62, want: time.Hour},                           // no deadline
		{conns: 1, set: time.Hour, left: -1, want: 0},                                        // it is over
		{conns: 20_000, left: 1 * time.Second, want: 500 * time.Millisecond},                 // half is left
		{conns: 20_000, set: 0, left: 1 << 62, shutdown: time.Second, want: time.Second / 2}, // half of ShutdownTimeout
	} {
		cfg, err := Config{DrainWindow: tt.set, ShutdownTimeout: tt.shutdown}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		if tt.left == 0 {
			tt.left = cfg.ShutdownTimeout
		}
		srv := newServer(cfg, nil)
		srv.places.Store(tt.conns)
		if got := srv.drainWindow(max(0, tt.left)); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestDrainConfigRefuses(t *testing.T) {
	for _, cfg := range []Config{{DrainCode: 1000}, {DrainCode: 1006}, {DrainCode: 4000}, {DrainWindow: 366 * 24 * time.Hour}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}

// Connections are closed evenly over the window, tick by tick, in random order, and
// none is disturbed before its turn.
func TestDrainIsSpread(t *testing.T) {
	const conns, window = 403, 4 * time.Second
	const ticks = int(window / (50 * time.Millisecond))
	closedAt := make([]time.Duration, conns)
	var order []int
	var began time.Duration
	said, heard := 0, 0
	simServer(t, 5, Config{DrainWindow: window}, Endpoint{Handler: echoHandler}, func(srv *Server, sim *simwire.Sim) {
		var peers []*simwire.Peer
		for i := range conns {
			reader := &wireReader{frame: func(op byte, _ []byte) error {
				if op == wireClose {
					closedAt[i] = sim.Now() - began
					order = append(order, i)
				} else {
					heard++
				}
				return nil
			}}
			var p *simwire.Peer
			p = sim.Dial(simwire.Profile{
				SendBuffer: 1 << 20,
				Data: func(b []byte) {
					if err := reader.feed(b); err != nil {
						t.Error(err)
					}
					if closedAt[i] > 0 {
						p.Close()
					}
				},
				End: func(error) {},
			})
			p.Write([]byte(simRequest))
			peers = append(peers, p)
		}
		sim.Run(sim.Now() + time.Second)
		began = sim.Now()
		srv.beginDrain()
		for sim.Now() < began+window/2 {
			sim.Run(sim.Now() + 100*time.Millisecond)
			if i := srv.Stats().WebSockets; closedAt[i] == 0 { // somebody whose turn has not come
				peers[i].Write(clientFrame(0x81, [4]byte{}, []byte("still here")))
				said++
			}
		}
		if open := srv.Stats().WebSockets; open < conns*35/100 || open > conns*65/100 {
			t.Errorf("%d of %d connections are open in the middle of the window", open, conns)
		}
		sim.Run(began + window + 20*time.Second)
		if n := srv.Connections(); n != 0 {
			t.Errorf("%d connections are open at the end", n)
		}
	})
	if heard < said*8/10 || said == 0 { // its turn may come while a message is on its way
		t.Errorf("%d messages were answered of %d that came before the sender's turn", heard, said)
	}
	if len(order) != conns {
		t.Fatalf("%d of %d connections were closed", len(order), conns)
	}
	perTick := make([]int, ticks+8)
	for _, at := range closedAt {
		perTick[min(int(at/(50*time.Millisecond)), len(perTick)-1)]++
	}
	// A loop of the simulation loses its processor now and then, for a few ticks.
	if most := slices.Max(perTick); most > 8*conns/ticks {
		t.Errorf("%d of %d connections were closed in one of %d ticks: %v", most, conns, ticks, perTick)
	}
	used := 0
	for _, n := range perTick {
		used += min(n, 1)
	}
	if used < ticks*7/10 || used > ticks+5 {
		t.Errorf("the closes were spread over %d ticks, the window has %d", used, ticks)
	}
	if slices.IsSorted(order) || slices.IsSortedFunc(order, func(a, b int) int { return b - a }) {
		t.Error("the connections left in the order in which they came")
	}
}

// A few connections of one of many servers don't all leave at the same moment of the
// window.
func TestDrainOfFewIsSpread(t *testing.T) {
	const window = 10 * time.Second
	var all []time.Duration
	for seed := range uint64(40) {
		simServer(t, seed, Config{DrainWindow: window, ShutdownTimeout: time.Minute}, Endpoint{Handler: echoHandler}, func(srv *Server, sim *simwire.Sim) {
			rng := sim.Rand()
			srv.random = func(most time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(most))) }
			var got []byte
			p := sim.Dial(simPipe(&got))
			p.Write([]byte(simRequest))
			sim.Run(sim.Now() + time.Second)
			began, had := sim.Now(), len(got)
			srv.beginDrain()
			for len(got) == had && sim.Now() < began+time.Minute {
				sim.Run(sim.Now() + 10*time.Millisecond)
			}
			all = append(all, sim.Now()-began)
			p.Close()
			sim.Run(sim.Now() + time.Minute)
		})
	}
	slices.Sort(all)
	if all[10] > window/2 || all[30] < window/2 || all[39] > window+time.Second {
		t.Errorf("one connection each of 40 servers left after %v", all)
	}
}

// What was accepted for sending arrives, all of it and in order, though the readers
// are slow, the senders don't stop, and CloseTimeout is far too short.
func TestDrainLosesNothing(t *testing.T) {
	const conns, size, buffer = 6, 10_000, 16 << 10
	opened := make(chan *Conn, conns)
	cfg := quiet()
	cfg.Loops, cfg.DrainWindow, cfg.CloseTimeout, cfg.MaxConns = 2, 300*time.Millisecond, 150*time.Millisecond, 100
	srv := startServer(t, cfg, func(s *Server) {
		s.Handle("/x", Endpoint{MaxQueue: 4 << 20, Handler: HandlerFuncs{Open: func(c *Conn) {
			_ = unix.SetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_SNDBUF, buffer) // the queue is where it waits
			opened <- c
		}}})
	})
	var wg sync.WaitGroup
	filled := make(chan struct{}, conns)
	for range conns {
		client, err := dialSmall(srv.Addr().String(), "/x", buffer)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close() //nolint:errcheck // a test's end
		client.r = bufio.NewReader(client.Conn)
		conn := next(t, opened)
		var accepted atomic.Int64
		accepted.Store(-1)
		wg.Go(func() { // sends until it is told that this is over
			n := 0
			for ; ; n++ {
				err := conn.Send(Binary, numberedMessage(n, size))
				if errors.Is(err, ErrClosed) {
					break
				} else if err != nil {
					t.Error(err)
					break
				}
				if n == 100 {
					filled <- struct{}{}
				}
				for conn.Buffered() > 100*size && conn.intake.open() {
					time.Sleep(time.Millisecond)
				}
			}
			accepted.Store(int64(n))
		})
		wg.Go(func() { // reads slowly
			for got := int64(0); ; got++ {
				op, p, err := client.recv()
				switch {
				case err != nil:
					t.Errorf("after %d messages: %v", got, err)
					return
				case op == codec.OpClose:
					waitFor(t, "the sender's end", func() bool { return accepted.Load() >= 0 })
					if n := accepted.Load(); n != got {
						t.Errorf("%d messages were accepted, %d came", n, got)
					}
					_ = client.send(codec.OpClose, p)
					return
				case int64(binary.BigEndian.Uint32(p)) != got:
					t.Errorf("message %d came as number %d", binary.BigEndian.Uint32(p), got)
					return
				}
				time.Sleep(5 * time.Millisecond) // a slow reader: that is what is tested
			}
		})
	}
	for range conns {
		next(t, filled)
	}
	if err := srv.Shutdown(t.Context()); err != nil { // however long it takes
		t.Error(err)
	}
	wg.Wait()
	if got := srv.Stats(); got.Closes[Ending{CloseGoingAway, Local}] != conns || len(got.Closes) != 1 {
		t.Errorf("the ends: %v", got.Closes)
	}
}

// A message that is accepted when the shutdown has begun, but its loop has not come to
// this connection, goes before the Close frame.
func TestDrainWaitsForWhatIsOnItsWay(t *testing.T) {
	var conn *Conn
	var got []string
	h := HandlerFuncs{Open: func(c *Conn) { conn = c }}
	simServer(t, 1, Config{DrainWindow: -1}, Endpoint{Handler: h}, func(srv *Server, sim *simwire.Sim) {
		var p *simwire.Peer
		reader := &wireReader{frame: func(op byte, payload []byte) error {
			got = append(got, string(payload))
			return nil
		}}
		p = sim.Dial(simwire.Profile{
			SendBuffer: 1 << 20,
			Data: func(b []byte) {
				if err := reader.feed(b); err != nil {
					t.Error(err)
				}
			},
			End: func(error) { p.Close() },
		})
		p.Write([]byte(simRequest))
		sim.Run(sim.Now() + time.Second)
		srv.beginDrain()
		for _, text := range []string{"one", "two"} {
			if err := conn.Send(Text, []byte(text)); err != nil {
				t.Error(err)
			}
		}
		sim.Run(sim.Now() + time.Second)
		if err := conn.Send(Text, []byte("three")); !errors.Is(err, ErrClosed) {
			t.Errorf("behind the Close frame Send gives %v", err)
		}
		sim.Run(sim.Now() + time.Minute)
	})
	goodbye := string(codec.AppendClose(nil, CloseGoingAway, "server is shutting down"))
	if want := []string{"one", "two", goodbye}; !slices.Equal(got, want) {
		t.Errorf("the peer got %q, want %q", got, want)
	}
}

// At the deadline the rest is cut: peers that take nothing. Those that read have had
// their Close frame.
func TestDrainEndsAtTheDeadline(t *testing.T) {
	opened := make(chan *Conn, 2)
	cfg := quiet()
	cfg.CloseTimeout = 100 * time.Millisecond
	srv := startServer(t, cfg, func(s *Server) {
		s.Handle("/x", Endpoint{MaxQueue: 64 << 20, Handler: HandlerFuncs{Open: func(c *Conn) { opened <- c }}})
	})
	_, stuck := connect(t, srv, "/x"), next(t, opened)
	if err := stuck.Send(Binary, make([]byte, 50<<20)); err != nil {
		t.Fatal(err)
	}
	reader := connect(t, srv, "/x")
	told := make(chan error, 1)
	go func() { told <- reader.expectClose(CloseGoingAway, "server is shutting down") }()
	const deadline = time.Second
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	began := time.Now()
	err := srv.Shutdown(ctx)
	if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took < deadline || took > deadline+5*time.Second {
		t.Errorf("Shutdown gives %v after %v", err, took)
	}
	if err := next(t, told); err != nil {
		t.Error(err)
	}
}

// A deadline cuts the window short, so that everyone gets a Close frame before it, and
// time to answer.
func TestDrainWindowEndsBeforeTheDeadline(t *testing.T) {
	shutdowns := map[string]func(*Server) error{
		"deadline": func(srv *Server) error {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			return srv.Shutdown(ctx)
		},
		"second call": func(srv *Server) error {
			first := make(chan error, 1)
			go func() { first <- srv.Shutdown(context.Background()) }()
			for !srv.Draining() {
				time.Sleep(time.Millisecond)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			return errors.Join(srv.Shutdown(ctx), <-first)
		},
	}
	for name, shutdown := range shutdowns {
		t.Run(name, func(t *testing.T) {
			cfg := quiet()
			cfg.DrainWindow, cfg.CloseTimeout = time.Hour, 500*time.Millisecond
			srv := startServer(t, cfg, serveEcho)
			told := make(chan error, 20)
			for range cap(told) {
				c := connect(t, srv, "/echo")
				go func() { told <- c.expectClose(CloseGoingAway, "server is shutting down") }()
			}
			if err := shutdown(srv); err != nil {
				t.Error(err)
			}
			for range cap(told) {
				if err := next(t, told); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Who gives up all at once still lets everyone be told.
func TestDrainIsCancelled(t *testing.T) {
	cfg := quiet()
	cfg.DrainWindow = time.Hour
	srv := startServer(t, cfg, serveEcho)
	told := make(chan error, 20)
	for range cap(told) {
		c := connect(t, srv, "/echo")
		go func() { told <- c.expectClose(CloseGoingAway, "server is shutting down") }()
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancel)
	if err := srv.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown gives %v", err)
	}
	for range cap(told) {
		if err := next(t, told); err != nil {
			t.Error(err)
		}
	}
}

// Draining is true before anybody is closed, and whoever comes then is asked to come
// later.
func TestDrainingIsSaidFirst(t *testing.T) {
	var srv *Server
	closed := make(chan bool, 10)
	cfg := quiet()
	cfg.DrainWindow = time.Second
	cfg.Observer.Closed = func(*Conn, CloseInfo) { closed <- srv.Draining() }
	srv = startServer(t, cfg, serveEcho)
	c := connect(t, srv, "/echo")
	if srv.Draining() {
		t.Error("it drains before its shutdown")
	}
	held := connect(t, srv, "/echo") // doesn't answer: the shutdown goes on while it is looked at
	go func() { _ = c.expectClose(CloseGoingAway, "server is shutting down") }()
	ended := make(chan error, 1)
	go func() { ended <- srv.Shutdown(t.Context()) }()
	if !next(t, closed) {
		t.Error("a connection was closed before Draining was true")
	}
	late, err := net.Dial("tcp", srv.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	_, _ = io.WriteString(late, upgradeTo("/echo"))
	_ = late.SetDeadline(time.Now().Add(patience))
	res, err := http.ReadResponse(bufio.NewReader(late), nil)
	if err != nil {
		t.Fatal(err)
	}
	seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if res.StatusCode != 503 || err != nil || seconds < 1 || seconds > 3 {
		t.Errorf("a handshake during the shutdown is answered with %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	_ = held.Close()
	if err := next(t, ended); err != nil {
		t.Error(err)
	}
	if !srv.Draining() {
		t.Error("it does not drain after its shutdown")
	}
}

// With 1012 each peer is told another time to come again: after the window, spread
// over as much time again.
func TestDrainCodeServiceRestart(t *testing.T) {
	const conns, window = 30, 1200 * time.Millisecond
	cfg := quiet()
	cfg.DrainCode, cfg.DrainWindow = CloseServiceRestart, window
	closed := make(chan CloseInfo, conns)
	srv := startServer(t, cfg, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: HandlerFuncs{Close: func(_ *Conn, info CloseInfo) { closed <- info }}})
	})
	var clients []*testClient
	for range conns {
		clients = append(clients, connect(t, srv, "/x"))
	}
	returns := make(chan time.Duration, conns)
	began := time.Now()
	for _, c := range clients {
		go func() {
			defer c.Close() //nolint:errcheck // it has had its Close frame
			op, p, err := c.recv()
			code, reason, _ := codec.ParseClose(p)
			var retry struct {
				After *int64 `json:"retry_after_ms"`
			}
			if err != nil || op != codec.OpClose || code != 1012 || json.Unmarshal(reason, &retry) != nil || retry.After == nil {
				t.Errorf("got %v %v %q, %v", op, code, reason, err)
				returns <- 0
				return
			}
			returns <- time.Since(began) + time.Duration(*retry.After)*time.Millisecond
			_ = c.send(codec.OpClose, p)
		}()
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	var all []time.Duration
	for range conns {
		all = append(all, next(t, returns))
		if info := next(t, closed); info.Code != CloseServiceRestart || info.Initiator != Local || !errors.Is(info.Err, ErrShutdown) {
			t.Errorf("it ended with %+v", info)
		}
	}
	slices.Sort(all)
	const slack = 500 * time.Millisecond
	if all[0] < window-100*time.Millisecond || all[conns-1] > 2*window+slack || all[conns-1]-all[0] < window/2 {
		t.Errorf("they are to come again after %v; the window is %v", all, window)
	}
	if distinct := len(slices.Compact(slices.Clone(all))); distinct < conns/2 {
		t.Errorf("only %d different times: %v", distinct, all)
	}
}
