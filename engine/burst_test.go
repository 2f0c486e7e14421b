package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// onLoop runs f on a loop and waits for it.
func onLoop(l *Loop, f func()) {
	done := make(chan struct{})
	l.NewWork(func() bool { f(); close(done); return false }).Ask()
	<-done
}

// numbered gives a message that begins with n and compresses.
func numbered(n, size int) []byte {
	return fmt.Appendf(nil, "%08d %s", n, strings.Repeat("tick of a market ", size/17+1)[:size])
}

// Bursts go over connections of every kind, among ordinary messages, and every peer
// gets every message, in order and whole.
func TestBurstsReachEveryKindOfConnection(t *testing.T) {
	type kind struct {
		name string
		z    *Compression
	}
	kinds := []kind{{"plain", nil}}
	for _, m := range deflateModes {
		kinds = append(kinds, kind{m.name, &m.z})
	}
	var mu sync.Mutex
	var members []*Conn
	srv := startServer(t, Config{Loops: 1}, func(s *Server) {
		for i, k := range kinds {
			s.Handle(fmt.Sprintf("/%d", i), Endpoint{Compression: k.z, Handler: HandlerFuncs{Open: func(c *Conn) {
				mu.Lock()
				defer mu.Unlock()
				members = append(members, c)
			}}})
		}
	})
	client := startClient(t, ClientConfig{})
	const messages = 600
	var done sync.WaitGroup
	for i, k := range kinds {
		done.Add(1)
		next := 0
		mustDial(t, client, fmt.Sprintf("ws://%s/%d", srv.Addr(), i), DialOptions{Endpoint: Endpoint{Compression: k.z, Handler: HandlerFuncs{
			Message: func(_ *Conn, _ Op, p []byte) {
				if want := fmt.Appendf(nil, "%08d ", next); !bytes.HasPrefix(p, want) {
					t.Errorf("%s: got %.20q, want message %d", k.name, p, next)
				}
				if next++; next == messages {
					done.Done()
				}
			},
			Close: func(_ *Conn, info CloseInfo) {
				if next < messages {
					t.Errorf("%s: closed after %d messages: %+v", k.name, next, info)
					done.Done()
				}
			},
		}}})
	}
	eventually(t, "everyone is there", func() bool { mu.Lock(); defer mu.Unlock(); return len(members) == len(kinds) })
	rng := rand.New(rand.NewPCG(1, 2))
	loop := members[0].Loop()
	for n := 0; n < messages; {
		burst := make([]*Message, min(1+rng.IntN(5), messages-n))
		for i := range burst {
			burst[i] = NewMessage(Text, numbered(n+i, rng.IntN(3000)))
		}
		n += len(burst)
		onLoop(loop, func() {
			b := loop.NewBurst(burst...)
			defer b.Release()
			for _, c := range members {
				if got, err := c.SendBurst(b); got != len(burst) || err != nil {
					t.Errorf("SendBurst: %d, %v", got, err)
				}
			}
		})
		for _, m := range burst {
			m.Release()
		}
		if n < messages && rng.IntN(2) == 0 {
			p := numbered(n, rng.IntN(500))
			for _, c := range members {
				if err := c.Send(Text, p); err != nil {
					t.Error(err)
				}
			}
			n++
		}
	}
	done.Wait()
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited too long until", what)
		}
	}
}

// stalledMember gives a connection whose socket takes no more, the test's end of it,
// and the companion that was attached to it.
func stalledMember(t *testing.T, ep Endpoint) (*Conn, *testClient, *countingCompanion) {
	t.Helper()
	opened := make(chan *Conn, 1)
	a := new(countingCompanion)
	ep.Handler = HandlerFuncs{Open: func(c *Conn) {
		if err := c.Attach(a); err != nil {
			t.Error(err)
		}
		opened <- c
	}}
	srv := startServer(t, Config{Loops: 1, ShutdownTimeout: 200 * time.Millisecond}, func(s *Server) { s.Handle("/", ep) })
	client := connect(t, srv, "/")
	c := <-opened
	p := bytes.Repeat([]byte("x"), 60<<10)
	for stalled := false; !stalled; {
		if err := c.Send(Binary, p); err != nil {
			t.Fatal(err)
		}
		a.sent++
		onLoop(c.Loop(), func() {})
		onLoop(c.Loop(), func() { stalled = c.Stalled() })
	}
	return c, client, a
}

type countingCompanion struct {
	sent            int
	writable, ended atomic.Int32
}

func (a *countingCompanion) OnWritable(c *Conn) {
	if c.Stalled() || c.Buffered() > 0 {
		panic("OnWritable while something waits")
	}
	a.writable.Add(1)
}
func (a *countingCompanion) OnEnd(*Conn) { a.ended.Add(1) }

func TestCompanionHearsThatTheSocketIsWritable(t *testing.T) {
	c, client, a := stalledMember(t, Endpoint{MaxQueue: 64 << 20})
	if n := a.writable.Load(); n != 0 {
		t.Fatalf("OnWritable was called %d times while the socket was full", n)
	}
	for range a.sent {
		if _, _, err := client.recv(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "OnWritable", func() bool { return a.writable.Load() == 1 })
	client.Close()
	eventually(t, "OnEnd", func() bool { return a.ended.Load() == 1 })
	onLoop(c.Loop(), func() {
		if err := c.Attach(a); err != ErrClosed {
			t.Errorf("Attach after the end gives %v", err)
		}
		b := c.Loop().NewBurst(NewMessage(Text, []byte("late")))
		if _, err := c.SendBurst(b); err != ErrClosed {
			t.Errorf("SendBurst after the end gives %v", err)
		}
		b.Release()
	})
	if n := a.ended.Load(); n != 1 {
		t.Errorf("OnEnd was called %d times", n)
	}
}

// A burst that waits for a slow reader keeps its bytes, whatever is made of the
// memory of what was released.
func TestBurstThatWaitsStaysWhole(t *testing.T) {
	c, client, a := stalledMember(t, Endpoint{MaxQueue: 64 << 20})
	const bursts = 300
	for n := range bursts {
		m, o := NewMessage(Text, numbered(2*n, n*30)), NewMessage(Text, numbered(2*n+1, n*10))
		onLoop(c.Loop(), func() {
			b := c.Loop().NewBurst(m, o)
			if _, err := c.SendBurst(b); err != nil {
				t.Error(err)
			}
			b.Release()
		})
		m.Release()
		o.Release()
	}
	for range a.sent {
		if _, _, err := client.recv(); err != nil {
			t.Fatal(err)
		}
	}
	for n := range bursts {
		for i, size := range []int{n * 30, n * 10} {
			if err := client.expect(codec.OpText, string(numbered(2*n+i, size))); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What doesn't fit is refused as the endpoint's policy says, message by message.
func TestBurstForAFullQueue(t *testing.T) {
	for _, policy := range []FullPolicy{CloseSlow, DropNewest, DropOldest} {
		c, _, _ := stalledMember(t, Endpoint{MaxQueue: 2 << 20, MaxMessage: 64 << 10, WhenFull: policy})
		m := NewMessage(Binary, make([]byte, 60<<10))
		accepted, refused := 0, error(nil)
		onLoop(c.Loop(), func() {
			b := c.Loop().NewBurst(m, m, m, m)
			defer b.Release()
			for range 100 {
				n, err := c.SendBurst(b)
				accepted += n
				if refused == nil {
					refused = err
				}
			}
		})
		switch policy {
		case CloseSlow:
			if refused != ErrSlowPeer || accepted == 0 || accepted > 40 {
				t.Errorf("CloseSlow: %d accepted, then %v", accepted, refused)
			}
		case DropNewest:
			if refused != ErrDropped || accepted == 0 || accepted+c.Dropped() != 400 {
				t.Errorf("DropNewest: %d accepted and %d dropped of 400, %v", accepted, c.Dropped(), refused)
			}
		default:
			if refused != nil || accepted != 400 || c.Dropped() < 350 {
				t.Errorf("DropOldest: %d accepted and %d dropped, %v", accepted, c.Dropped(), refused)
			}
		}
		if n := c.Buffered(); n > 3<<20 {
			t.Errorf("%d bytes wait", n)
		}
	}
}

func TestBurstIsOfOneLoop(t *testing.T) {
	conns := make(chan *Conn, 16)
	srv := startServer(t, Config{Loops: 2}, func(s *Server) {
		s.Handle("/", Endpoint{Handler: HandlerFuncs{Open: func(c *Conn) { conns <- c }}})
	})
	connect(t, srv, "/")
	c := <-conns
	other := c
	for other.loop == c.loop {
		connect(t, srv, "/")
		other = <-conns
	}
	onLoop(c.Loop(), func() {
		b := c.Loop().NewBurst(NewMessage(Text, nil))
		defer b.Release()
		if _, err := other.SendBurst(b); err != ErrOtherLoop {
			t.Errorf("got %v", err)
		}
	})
}

func TestMessageIsCounted(t *testing.T) {
	m := NewMessage(Text, []byte("once"))
	m.Retain().Release()
	if got := string(m.Payload()); got != "once" || m.Op() != Text || m.Size() != 6 {
		t.Errorf("%q, %v, %d bytes", got, m.Op(), m.Size())
	}
	m.Release()
	defer func() {
		if recover() == nil {
			t.Error("one Release too many is not noticed")
		}
	}()
	m.Release()
}

func TestWorkComesInPieces(t *testing.T) {
	conns := make(chan *Conn, 1)
	srv := startServer(t, Config{Loops: 1}, func(s *Server) {
		serveEcho(s)
		s.Handle("/", Endpoint{Handler: HandlerFuncs{Open: func(c *Conn) { conns <- c }}})
	})
	connect(t, srv, "/")
	echoer := connect(t, srv, "/echo")
	var turns, after atomic.Int64
	var stop atomic.Bool
	w := (<-conns).Loop().NewWork(func() bool { turns.Add(1); return !stop.Load() })
	w.Ask()
	for i := range 100 { // others are served while it goes on
		if err := echoer.echo(codec.OpText, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	eventually(t, "the work ends", func() bool { n := turns.Load(); return n > 1 && n == after.Swap(n) })
	before := turns.Load()
	w.Ask()
	eventually(t, "it is done again", func() bool { return turns.Load() == before+1 })

	bad := w.loop
	var runs atomic.Int32
	p := (*Loop)(bad).NewWork(func() bool { runs.Add(1); panic("in work") })
	p.Ask()
	eventually(t, "the panic", func() bool { return runs.Load() == 1 })
	p.Ask()
	eventually(t, "the next Ask", func() bool { return runs.Load() == 2 })
	if err := echoer.echo(codec.OpText, "alive"); err != nil {
		t.Error("after a panic:", err)
	}
}

// Work for a loop of a server that has ended is never done, and asking for it does no
// harm.
func TestWorkAfterTheEnd(t *testing.T) {
	conns := make(chan *Conn, 1)
	var w *Work
	t.Run("life", func(t *testing.T) {
		srv := startServer(t, Config{}, func(s *Server) {
			s.Handle("/", Endpoint{Handler: HandlerFuncs{Open: func(c *Conn) { conns <- c }}})
		})
		connect(t, srv, "/")
		w = (<-conns).Loop().NewWork(func() bool { t.Error("done after the end"); return true })
	})
	w.Ask()
	w.Ask()
}

func TestLoopTellsItsEnd(t *testing.T) {
	conns := make(chan *Conn, 1)
	var told atomic.Int32
	var loop *Loop
	t.Run("life", func(t *testing.T) {
		srv := startServer(t, Config{}, func(s *Server) {
			s.Handle("/", Endpoint{Handler: HandlerFuncs{Open: func(c *Conn) { conns <- c }}})
		})
		connect(t, srv, "/")
		loop = (<-conns).Loop()
		loop.OnEnd(func() { told.Add(1) })
		if told.Load() != 0 {
			t.Error("told before the end")
		}
	})
	eventually(t, "the end", func() bool { return told.Load() == 1 })
	loop.OnEnd(func() { told.Add(1) })
	if told.Load() != 2 {
		t.Error("not told after the end")
	}
}

// OnWritable comes also when the connection's own callbacks send while the socket is
// drained: here a handler that echoes what was kept back meanwhile.
func TestCompanionHearsBehindAnEcho(t *testing.T) {
	c, client, a := stalledMember(t, Endpoint{MaxQueue: 8 << 20, HighWater: 1 << 20, LowWater: 512 << 10})
	for c.Buffered() < 2<<20 { // so much that the peer is not read from
		if err := c.Send(Binary, make([]byte, 60<<10)); err != nil {
			t.Fatal(err)
		}
		a.sent++
	}
	if err := client.send(codec.OpPing, []byte("kept back")); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < a.sent; {
		op, _, err := client.recv()
		if err != nil {
			t.Fatal(err)
		}
		if op == codec.OpBinary {
			i++
		}
	}
	eventually(t, "OnWritable", func() bool { return a.writable.Load() > 0 })
}

func TestDetach(t *testing.T) {
	c, client, a := stalledMember(t, Endpoint{MaxQueue: 8 << 20})
	other := new(countingCompanion)
	onLoop(c.Loop(), func() {
		_ = c.Attach(other)
		c.Detach(a)
		c.Detach(a)
	})
	client.Close()
	eventually(t, "the end", func() bool { return other.ended.Load() == 1 })
	if a.ended.Load() != 0 {
		t.Error("a companion that was taken away hears of the end")
	}
}

func TestBurstAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	conns := make(chan *Conn, 1)
	srv := startServer(t, Config{Loops: 1}, func(s *Server) {
		s.Handle("/", Endpoint{Handler: HandlerFuncs{Open: func(c *Conn) { conns <- c }}})
	})
	srv.poison = false
	var members []*Conn
	for range 20 {
		client := connect(t, srv, "/")
		go func() { _, _ = client.r.WriteTo(discard{}) }()
		members = append(members, <-conns)
	}
	loop := members[0].Loop()
	m := NewMessage(Text, numbered(1, 100))
	ran := make(chan struct{}, 1)
	w := loop.NewWork(func() bool {
		b := loop.NewBurst(m, m, m)
		for _, c := range members {
			if _, err := c.SendBurst(b); err != nil {
				t.Error(err)
			}
		}
		b.Release()
		ran <- struct{}{}
		return false
	})
	turn := func() { w.Ask(); <-ran }
	for range 200 {
		turn()
	}
	const turns = 500
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range turns {
		turn()
	}
	runtime.ReadMemStats(&after)
	// gnet takes two for each wakeup of the loop.
	if per := float64(after.Mallocs-before.Mallocs) / turns; per > 2.5 {
		t.Errorf("%.2f allocations per burst to 20 connections", per)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
