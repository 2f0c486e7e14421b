package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// idle says that an endpoint's workers have ended, and all its connections.
func idle(srv *Server, path string) bool {
	w := srv.endpoints[path].workers
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running == 0 && w.conns == 0 && w.first == nil
}

// alone checks that callbacks don't overlap. It is a connection's user state.
type alone struct {
	inside atomic.Bool
	due    uint32
}

func (a *alone) enter(t *testing.T) {
	if a.inside.Swap(true) {
		t.Error("two callbacks of a connection run at once")
	}
}

func (a *alone) leave() { a.inside.Store(false) }

func TestWorkersKeepTheOrderOfEachConnection(t *testing.T) {
	const clients, messages = 20, 1000
	h := HandlerFuncs{
		Open: func(c *Conn) { c.SetUser(new(alone)) },
		Message: func(c *Conn, op Op, p []byte) {
			a := c.User().(*alone)
			a.enter(t)
			defer a.leave()
			if got := binary.BigEndian.Uint32(p); got != a.due {
				t.Errorf("message %d came where %d was due", got, a.due)
			}
			if a.due++; a.due%16 == 0 {
				runtime.Gosched()
			}
			if err := c.Reply(op, p); err != nil {
				t.Error(err)
			}
		},
	}
	srv := startServer(t, Config{}, func(s *Server) { s.Handle("/x", Endpoint{Handler: h, Workers: 4}) })
	var wg sync.WaitGroup
	for range clients {
		c := connect(t, srv, "/x")
		wg.Go(func() {
			if err := writeNumbered(c, 8, messages, new(atomic.Int64)); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			for i := range messages {
				_, p, err := c.recv()
				if err != nil || binary.BigEndian.Uint32(p) != uint32(i) {
					t.Errorf("answer %d is %v, %v", i, p, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestBlockedHandlerHoldsUpNobodyElse(t *testing.T) {
	entered, release := make(chan struct{}, 1), make(chan struct{})
	h := HandlerFuncs{Message: func(c *Conn, op Op, p []byte) {
		if string(p) == "block" {
			entered <- struct{}{}
			<-release
		}
		_ = c.Reply(op, p)
	}}
	srv := startServer(t, Config{Loops: 1}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: h, Workers: 2})
		s.Handle("/full", Endpoint{Handler: h, Workers: 1})
		serveEcho(s)
	})
	blocked, full := connect(t, srv, "/x"), connect(t, srv, "/full")
	for _, c := range []*testClient{blocked, full} {
		if err := c.send(codec.OpText, []byte("block")); err != nil {
			t.Fatal(err)
		}
		next(t, entered)
	}
	waiting := connect(t, srv, "/full") // no worker is left for it
	if err := waiting.send(codec.OpText, []byte("later")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/x", "/echo"} {
		c := connect(t, srv, path)
		for range 100 {
			if err := c.echo(codec.OpText, "unharmed"); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
	}
	close(release)
	for _, c := range []*testClient{blocked, full} {
		if err := c.expect(codec.OpText, "block"); err != nil {
			t.Error(err)
		}
	}
	if err := waiting.expect(codec.OpText, "later"); err != nil {
		t.Error(err)
	}
}

func TestAtMostSoManyWorkersRun(t *testing.T) {
	const workers, clients = 3, 10
	var inside, most atomic.Int64
	entered, release := make(chan struct{}, clients), make(chan struct{})
	h := HandlerFuncs{Message: func(*Conn, Op, []byte) {
		most.Store(max(most.Load(), inside.Add(1)))
		entered <- struct{}{}
		<-release
		inside.Add(-1)
	}}
	srv := startServer(t, Config{Loops: 1}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: h, Workers: workers})
		serveEcho(s)
	})
	for range clients {
		if err := connect(t, srv, "/x").send(codec.OpText, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range workers { // that many do run, though none has returned
		next(t, entered)
	}
	if err := connect(t, srv, "/echo").echo(codec.OpText, "the loop has seen all messages"); err != nil {
		t.Fatal(err)
	}
	for range clients - workers {
		release <- struct{}{}
		next(t, entered)
	}
	for range workers {
		release <- struct{}{}
	}
	if n := most.Load(); n != workers {
		t.Errorf("%d callbacks ran at once, not %d", n, workers)
	}
	waitFor(t, "the end of the workers", func() bool { return !strings.Contains(ourGoroutines(), "(*workers).run") })
}

// A flood of one connection doesn't keep others from their turn.
func TestWorkersTakeTurns(t *testing.T) {
	g := newGate()
	var before atomic.Int64
	witness := make(chan int64, 1)
	message := g.Message
	g.Message = func(c *Conn, op Op, p []byte) {
		if string(p) == "witness" {
			witness <- before.Load()
			return
		}
		before.Add(1)
		message(c, op, p)
	}
	srv := startServer(t, Config{Loops: 1}, func(s *Server) { s.Handle("/x", Endpoint{Handler: g, Workers: 1}) })
	flood, other := connect(t, srv, "/x"), connect(t, srv, "/x")
	if err := writeNumbered(flood, 8, maxJobs, new(atomic.Int64)); err != nil {
		t.Fatal(err)
	}
	c := next(t, g.entered)
	waitFor(t, "the flood", func() bool { n, _ := queued(c); return n == maxJobs-1 })
	_ = other.send(codec.OpText, []byte("witness"))
	waitFor(t, "the witness", func() bool {
		w := srv.endpoints["/x"].workers
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.first != nil
	})
	close(g.release)
	if n := next(t, witness); n > jobsPerTurn {
		t.Errorf("%d messages of another connection went before", n)
	}
}

// A handler that ends its goroutine costs neither the connection nor the pool
// anything.
func TestGoexitInAHandler(t *testing.T) {
	r := newRecorder()
	r.Message = func(c *Conn, op Op, p []byte) {
		_ = c.Reply(op, p)
		runtime.Goexit()
	}
	srv := startServer(t, Config{}, func(s *Server) { s.Handle("/x", Endpoint{Handler: r, Workers: 1}) })
	c := connect(t, srv, "/x")
	for range 10 {
		if err := c.echo(codec.OpText, "still here"); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.Conn.Close()
	next(t, r.closed)
	waitFor(t, "the end of the workers", func() bool { return idle(srv, "/x") })
}

func TestShutdownWaitsForTheWorkers(t *testing.T) {
	g := newGate()
	srv := startServer(t, quiet(), func(s *Server) { s.Handle("/x", Endpoint{Handler: g, Workers: 2}) })
	client := connect(t, srv, "/x")
	_ = client.send(codec.OpText, []byte("last"))
	next(t, g.entered)
	ended := make(chan error, 1)
	go func() { ended <- srv.Shutdown(context.Background()) }()
	if err := client.expectClose(codec.CloseGoingAway, "server is shutting down"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the end of the connection", func() bool { return srv.Connections() == 0 })
	select {
	case err := <-ended:
		t.Errorf("Shutdown returned %v before the handler", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(g.release)
	if err := next(t, ended); err != nil {
		t.Error(err)
	}
	if len(g.closed) != 1 || !idle(srv, "/x") {
		t.Error("Shutdown returned before OnClose")
	}
}

func TestShutdownLeavesAHungHandlerBehind(t *testing.T) {
	g := newGate()
	cfg := quiet()
	cfg.Addr, cfg.ShutdownTimeout = "127.0.0.1:0", 200*time.Millisecond
	srv, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv.Handle("/x", Endpoint{Handler: g, Workers: 2})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- srv.Run(ctx) }()
	next(t, srv.Ready())
	client := connect(t, srv, "/x")
	_ = client.send(codec.OpText, []byte("last"))
	next(t, g.entered)
	cancel()
	_ = client.expectClose(codec.CloseGoingAway, "server is shutting down")
	if err := next(t, ran); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "left 1 workers behind") {
		t.Errorf("Run gives %v", err)
	}
	close(g.release) // the loops have ended; what is left comes to its end all the same
	if info := next(t, g.closed); info.Code != codec.CloseGoingAway {
		t.Errorf("it ended with %+v", info)
	}
	waitFor(t, "the end of the workers", func() bool { return idle(srv, "/x") })
}

// Connections that a shutdown cuts have their OnClose before Run returns, if their
// handlers let them.
func TestRunWaitsForTheCallbacksOfTheCut(t *testing.T) {
	r := newRecorder()
	r.Close = func(_ *Conn, info CloseInfo) {
		time.Sleep(time.Millisecond) // as a handler does that stores something
		r.closed <- info
	}
	srv := startServer(t, quiet(), func(s *Server) { s.Handle("/x", Endpoint{Handler: r, Workers: 10}) })
	const clients = 50
	for range clients {
		connect(t, srv, "/x")
		next(t, r.opened)
	}
	over, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := srv.Shutdown(over); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown gives %v", err)
	}
	next(t, srv.done)
	if n := len(r.closed); n != clients {
		t.Errorf("%d of %d connections had their OnClose when Run returned", n, clients)
	}
}

func TestWorkersOutOfRange(t *testing.T) {
	for _, n := range []int{-1, maxWorkers + 1} {
		if _, err := newEndpoint("/x", Endpoint{Handler: echoHandler, Workers: n}); err == nil {
			t.Errorf("%d workers are taken", n)
		}
	}
}

// A message costs no allocation on its way to a worker. Its answer costs the two
// of gnet that waking a sleeping loop takes, as every Send does.
func TestWorkersAllocateNothing(t *testing.T) {
	heard := make(chan struct{})
	srv := startServer(t, Config{Loops: 1}, func(s *Server) {
		s.poison = false // with it buffers have no pool
		s.Handle("/x", Endpoint{Handler: HandlerFuncs{Message: func(*Conn, Op, []byte) { heard <- struct{}{} }}, Workers: 2})
	})
	c := connect(t, srv, "/x")
	frame := codec.AppendMaskedFrame(nil, codec.OpBinary, [4]byte{9, 8, 7, 6}, make([]byte, 100))
	turn := func() {
		if _, err := c.Write(frame); err != nil {
			t.Fatal(err)
		}
		<-heard
	}
	if per, _ := allocations(t, 5000, turn); per > 0.05 {
		t.Errorf("%.3f allocations per message, want 0", per)
	}
}

// Connections come, talk, and end in every way, while handlers do everything that
// they may. Each has its callbacks in order and alone, and its OnClose.
func TestWorkersStress(t *testing.T) {
	h := &stressHandler{t: t}
	srv := startServer(t, Config{CloseTimeout: time.Second, Logger: slog.New(slog.DiscardHandler)}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: h, Workers: 5, MaxQueue: 64 << 10, MaxMessage: 16 << 10, Compression: &Compression{}})
	})
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 16 {
		rng := rand.New(rand.NewPCG(uint64(i), 7))
		wg.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				if err := stressLife(srv, rng); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	time.Sleep(3 * time.Second)
	close(quit)
	wg.Wait()
	waitFor(t, "the end of all", func() bool { return idle(srv, "/x") })
	t.Logf("%d connections, %d messages", h.opened.Load(), h.messages.Load())
	if h.opened.Load() != h.closed.Load() || h.opened.Load() == 0 {
		t.Errorf("%d connections were opened, %d closed", h.opened.Load(), h.closed.Load())
	}
}

// stressLife is the client's side of one connection.
func stressLife(srv *Server, rng *rand.Rand) error {
	c, err := dial(srv.Addr().String(), "/x")
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	defer c.Conn.Close() //nolint:errcheck // it ends one way or another
	p := make([]byte, 16<<10)
	for i := range rng.IntN(300) {
		binary.BigEndian.PutUint32(p, uint32(i))
		size := 4 + rng.IntN(60)
		if rng.IntN(20) == 0 {
			size = 4 + rng.IntN(len(p)-4)
		}
		if rng.IntN(10) == 0 {
			_ = c.send(codec.OpPing, nil)
		}
		if c.send(codec.OpBinary, p[:size]) != nil {
			return nil
		}
		if rng.IntN(4) == 0 {
			_ = c.SetReadDeadline(time.Now().Add(rand.N(time.Millisecond)))
			if _, err := c.r.WriteTo(io.Discard); !errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
		}
	}
	switch rng.IntN(5) {
	case 0:
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
	case 1:
		_, _ = c.Write([]byte{0xFF, 0x80, 1, 2, 3, 4})
	case 2, 3:
		_ = c.send(codec.OpClose, []byte{3, 232})
		_ = c.SetReadDeadline(time.Now().Add(patience))
		_, _ = io.Copy(io.Discard, c.r)
	}
	return nil
}

type stressHandler struct {
	t                        *testing.T
	opened, closed, messages atomic.Int64
}

// OnOpen implements Handler.
func (h *stressHandler) OnOpen(c *Conn) {
	h.opened.Add(1)
	c.SetUser(new(alone))
}

// OnMessage implements Handler.
func (h *stressHandler) OnMessage(c *Conn, op Op, p []byte) {
	h.messages.Add(1)
	a := c.User().(*alone)
	a.enter(h.t)
	defer a.leave()
	if got := binary.BigEndian.Uint32(p); got != a.due {
		h.t.Errorf("message %d came where %d was due", got, a.due)
	}
	a.due++
	switch rand.IntN(600) {
	case 0:
		panic("a bug in a handler")
	case 1:
		_ = c.Close(codec.CloseNormal, "enough")
	case 2, 3, 4:
		c.PauseRead()
		time.AfterFunc(rand.N(5*time.Millisecond), c.ResumeRead)
	case 5:
		runtime.Goexit()
	case 6, 7, 8:
		time.Sleep(rand.N(3 * time.Millisecond))
	}
	for range rand.IntN(3) {
		_ = c.Reply(op, p)
	}
}

// OnPing implements PingHandler.
func (h *stressHandler) OnPing(c *Conn, _ []byte) {
	a := c.User().(*alone)
	a.enter(h.t)
	a.leave()
}

// OnDrain implements DrainHandler.
func (h *stressHandler) OnDrain(c *Conn) { h.OnPing(c, nil) }

// OnClose implements Handler.
func (h *stressHandler) OnClose(c *Conn, _ CloseInfo) {
	a := c.User().(*alone)
	a.enter(h.t) // and never leaves: nothing comes after
	h.closed.Add(1)
}
