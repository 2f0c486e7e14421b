package engine

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/simwire"
)

// flowHandler is a handler with every callback that flow control knows.
type flowHandler struct {
	HandlerFuncs
	drain func(*Conn)
	full  func(*Conn) FullPolicy
}

// OnDrain implements DrainHandler.
func (h *flowHandler) OnDrain(c *Conn) {
	if h.drain != nil {
		h.drain(c)
	}
}

// OnFull implements FullHandler.
func (h *flowHandler) OnFull(c *Conn) FullPolicy { return h.full(c) }

// flowServer is simServer with other events in the middle of the loop's calls, and
// a look at what is left at the end.
func flowServer(t *testing.T, seed uint64, interleave float64, cfg Config, ep Endpoint, script func(*Server, *simwire.Sim)) {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg, err := cfg.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	var srv *Server
	sim := simwire.New(simwire.Options{
		Seed: seed, Loops: 1, ReadBuffer: 64 << 10, Interleave: interleave,
		Script: func(sim *simwire.Sim) { script(srv, sim) },
		Misuse: func(what string) { t.Error(what) },
	})
	srv = newServer(cfg, sim)
	srv.poison = true
	if ep.PingInterval == 0 {
		ep.PingInterval = -1
	}
	srv.Handle("/a", ep)
	srv.started.Store(true)
	_ = srv.serve()
	for _, l := range srv.loops {
		if l.mem.lent != 0 {
			t.Errorf("seed %d: %d buffers of the loop were not given back", seed, l.mem.lent)
		}
	}
}

// simDeflateRequest is simRequest with an offer of compression.
var simDeflateRequest = strings.Replace(simRequest, "\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n", 1)

// serverFrames takes apart what a server sends: the answer to the handshake, then
// frames. first is a frame's first byte; payload is valid until frame returns.
type serverFrames struct {
	buf    []byte
	head   string // the answer
	frame  func(first byte, payload []byte)
	closed bool // a Close frame has come
}

func (f *serverFrames) feed(p []byte) {
	f.buf = append(f.buf, p...)
	if f.head == "" {
		head, rest, ok := bytes.Cut(f.buf, []byte("\r\n\r\n"))
		if !ok {
			return
		}
		f.head, f.buf = string(head), rest
	}
	for {
		h, n, err := codec.ParseHeader(f.buf)
		if err != nil {
			panic(err)
		}
		if n == 0 || int64(len(f.buf)-n) < h.Length {
			return
		}
		f.closed = f.closed || h.Op == codec.OpClose
		if f.frame != nil {
			f.frame(f.buf[0], f.buf[n:n+int(h.Length)])
		}
		f.buf = f.buf[n+int(h.Length):]
	}
}

// profile gives a peer whose frames f takes apart, of a network where this much is
// between the server's write and the peer's read.
func (f *serverFrames) profile(sendBuffer int) simwire.Profile {
	return simwire.Profile{SendBuffer: sendBuffer, Data: f.feed, End: func(error) {}}
}

// simProducer sends while no more than HighWater waits, and goes on at OnDrain: what
// the documentation of DrainHandler says a producer may do.
type simProducer struct {
	conn    *Conn
	left    int
	got     int
	stopped bool // until OnDrain
	frames  serverFrames
}

func (p *simProducer) produce(t *testing.T, sim *simwire.Sim, message func() []byte) {
	for p.left > 0 {
		if p.conn.Buffered() > p.conn.id.HighWater {
			p.stopped = true
			return
		}
		if err := p.conn.Send(Binary, message()); err != nil {
			t.Errorf("a producer that stops at the high water mark gets %v", err)
			p.left = 0
			return
		}
		p.left--
		if sim.Rand().IntN(3) == 0 {
			sim.After(time.Duration(sim.Rand().Int64N(int64(200*time.Microsecond))), func() { p.produce(t, sim, message) })
			return
		}
	}
}

// A producer that stops above the high water mark always hears of the drain, be it
// that it has sent in the middle of a write, or that its messages have shrunk.
func TestProducersNeverMissADrain(t *testing.T) {
	const producers, each = 30, 200
	seeds := uint64(12)
	if raceDetector { // there is one goroutine: it has nothing to find
		seeds = 1
	}
	for name, compression := range map[string]*Compression{"plain": nil, "compressed": {}} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= seeds && !t.Failed(); seed++ {
				byConn := make(map[*Conn]*simProducer)
				all := make([]*simProducer, producers)
				h := &flowHandler{}
				ep := Endpoint{Handler: h, MaxQueue: 64 << 10, HighWater: 16 << 10, LowWater: 4 << 10, Compression: compression}
				opened := 0
				flowServer(t, seed, 0.3, Config{}, ep, func(_ *Server, sim *simwire.Sim) {
					text := bytes.Repeat([]byte("all work and no play "), 300)
					message := func() []byte { return text[:1+sim.Rand().IntN(len(text))] }
					h.Open = func(c *Conn) {
						p := all[opened]
						opened++
						p.conn, byConn[c] = c, p
						sim.After(0, func() { p.produce(t, sim, message) })
					}
					h.drain = func(c *Conn) {
						if n := c.Buffered(); n > 4<<10 {
							t.Errorf("OnDrain while %d bytes wait", n)
						}
						if p := byConn[c]; p.stopped {
							p.stopped = false
							sim.After(0, func() { p.produce(t, sim, message) })
						}
					}
					for i := range all {
						p := &simProducer{left: each}
						p.frames.frame = func(byte, []byte) { p.got++ }
						all[i] = p
						profile := p.frames.profile([]int{1 << 10, 20 << 10, 1 << 20}[i%3])
						profile.PeerLag = []time.Duration{0, time.Millisecond, 20 * time.Millisecond}[i/3%3]
						sim.Dial(profile).Write([]byte(simDeflateRequest))
					}
					sim.Run(10 * time.Minute)
				})
				for i, p := range all {
					if p.stopped || p.left > 0 || p.got != each {
						t.Errorf("seed %d, producer %d: %d messages are left, %d came, it waits for OnDrain: %t", seed, i, p.left, p.got, p.stopped)
					}
				}
			}
		})
	}
}

// The same on real sockets and goroutines, with readers that are fast and slow.
func TestProducersOnGoroutinesNeverMissADrain(t *testing.T) {
	const each = 1500
	conns := 40
	if raceDetector {
		conns = 10
	}
	for name, compression := range map[string]*Compression{"plain": nil, "compressed": {}} {
		t.Run(name, func(t *testing.T) {
			var drains sync.Map // *Conn to chan struct{}
			opened := make(chan *Conn, conns)
			h := &flowHandler{}
			h.Open = func(c *Conn) {
				drains.Store(c, make(chan struct{}, 1))
				opened <- c
			}
			h.drain = func(c *Conn) {
				ch, _ := drains.Load(c)
				select {
				case ch.(chan struct{}) <- struct{}{}:
				default:
				}
			}
			ep := Endpoint{Handler: h, MaxQueue: 48 << 10, HighWater: 24 << 10, LowWater: 8 << 10, Compression: compression}
			srv := startServer(t, Config{}, func(s *Server) { s.Handle("/x", ep) })
			var wg sync.WaitGroup
			for i := range conns {
				c, _ := dialDeflate(t, srv, "/x", "permessage-deflate; client_max_window_bits")
				if err := c.Conn.(interface{ SetReadBuffer(int) error }).SetReadBuffer(64 << 10); err != nil {
					t.Fatal(err)
				}
				conn := next(t, opened)
				ch, _ := drains.Load(conn)
				drained := ch.(chan struct{})
				wg.Go(func() {
					if err := produceUntil(conn, drained, each); err != nil {
						t.Errorf("connection %d: %v", i, err)
					}
				})
				wg.Go(func() {
					for got := range each {
						if i%2 == 0 && got%64 == 0 {
							time.Sleep(2 * time.Millisecond)
						}
						if _, _, err := c.recv(); err != nil {
							t.Errorf("message %d of connection %d: %v", got, i, err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// produceUntil sends n messages, waiting for a drain whenever more than HighWater waits.
func produceUntil(c *Conn, drained <-chan struct{}, n int) error {
	text := bytes.Repeat([]byte("all work and no play "), 200)
	for i := range n {
		for c.Buffered() > c.id.HighWater {
			select {
			case <-drained:
			case <-time.After(patience):
				return fmt.Errorf("message %d: OnDrain did not come, %d bytes wait", i, c.Buffered())
			}
		}
		if err := c.Send(Binary, text[:1+i*7%len(text)]); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return nil
}

// OnDrain comes once for each time that the queue has been high, and not while more
// than LowWater waits.
func TestDrainComesOncePerCrossing(t *testing.T) {
	const rounds = 20
	drains := 0
	var conn *Conn
	h := &flowHandler{}
	h.Open = func(c *Conn) { conn = c }
	h.drain = func(*Conn) { drains++ }
	ep := Endpoint{Handler: h, MaxQueue: 100 << 10, HighWater: 50 << 10, LowWater: 10 << 10}
	flowServer(t, 1, 0, Config{}, ep, func(_ *Server, sim *simwire.Sim) {
		var f serverFrames
		p := sim.Dial(f.profile(1 << 10))
		p.Write([]byte(simRequest))
		sim.Run(sim.Now() + time.Second)
		settle := func() { sim.Run(sim.Now() + time.Second) }
		for round := range rounds {
			p.Halt()
			for range 30 { // 30 KB: below the mark
				_ = conn.Send(Binary, make([]byte, 1000))
			}
			settle()
			p.Resume()
			settle()
			if drains != round {
				t.Fatalf("round %d: %d drains after a queue that was never high", round, drains)
			}
			p.Halt()
			for range 80 {
				_ = conn.Send(Binary, make([]byte, 1000))
			}
			settle()
			if drains != round {
				t.Fatalf("round %d: OnDrain while %d bytes wait", round, conn.Buffered())
			}
			p.Resume()
			settle()
			if drains != round+1 {
				t.Fatalf("round %d: %d drains", round, drains)
			}
		}
	})
}

// What OnDrain sends is sent, also when it makes the queue high again.
func TestDrainThatFillsTheQueueAgain(t *testing.T) {
	const most = 50
	drains, got := 0, 0
	h := &flowHandler{}
	fill := func(c *Conn) {
		for c.Buffered() <= 8<<10 {
			if err := c.Reply(Binary, make([]byte, 1000)); err != nil {
				t.Error(err)
				return
			}
		}
	}
	h.Open = fill
	h.drain = func(c *Conn) {
		if drains++; drains < most {
			fill(c)
		}
	}
	ep := Endpoint{Handler: h, MaxQueue: 16 << 10, HighWater: 8 << 10, LowWater: 2 << 10}
	flowServer(t, 1, 0, Config{}, ep, func(_ *Server, sim *simwire.Sim) {
		f := serverFrames{frame: func(byte, []byte) { got++ }}
		sim.Dial(f.profile(512)).Write([]byte(simRequest))
		sim.Run(time.Minute)
	})
	if drains != most || got < most*6 {
		t.Errorf("%d drains, %d messages", drains, got)
	}
}

func TestPanicInOnDrainClosesWith1011(t *testing.T) {
	var info CloseInfo
	h := &flowHandler{drain: func(*Conn) { panic("in OnDrain") }}
	h.Open = func(c *Conn) { _ = c.Reply(Binary, make([]byte, 20<<10)) }
	h.Close = func(_ *Conn, i CloseInfo) { info = i }
	ep := Endpoint{Handler: h, MaxQueue: 32 << 10, HighWater: 16 << 10, LowWater: 8 << 10}
	flowServer(t, 1, 0, Config{}, ep, func(_ *Server, sim *simwire.Sim) {
		var f serverFrames
		sim.Dial(f.profile(1 << 10)).Write([]byte(simRequest))
		sim.Run(time.Minute)
		if !f.closed {
			t.Error("no Close frame came")
		}
	})
	var panicked *PanicError
	if info.Code != codec.CloseInternalError || !errors.As(info.Err, &panicked) {
		t.Errorf("it ended with %+v", info)
	}
}

func TestMarksAreChecked(t *testing.T) {
	for _, c := range []struct {
		queue, high, low int
		maxMessage       int64
		wantHigh         int // 0: refused
		wantLow          int
	}{
		{queue: 1 << 20, maxMessage: 1 << 10, wantHigh: 512 << 10, wantLow: 256 << 10},
		{queue: 1 << 20, high: 1 << 20, low: 1 << 20, wantHigh: 1 << 20, wantLow: 1 << 20},
		{queue: 1 << 20, high: 1, wantHigh: 1, wantLow: 0},
		{queue: 1 << 20, high: 1<<20 + 1},
		{queue: 1 << 20, high: 100, low: 101},
		{queue: 1 << 20, high: -1},
		{queue: 1 << 20, high: 100, low: -1},
	} {
		ep, err := newEndpoint("/x", Endpoint{
			Handler: echoHandler, MaxQueue: c.queue, HighWater: c.high, LowWater: c.low, MaxMessage: c.maxMessage,
		})
		switch {
		case c.wantHigh == 0 && err == nil:
			t.Errorf("%+v is taken", c)
		case c.wantHigh != 0 && err != nil:
			t.Errorf("%+v: %v", c, err)
		case err == nil && (ep.HighWater != c.wantHigh || ep.LowWater != c.wantLow):
			t.Errorf("%+v gives %d and %d", c, ep.HighWater, ep.LowWater)
		}
	}
}
