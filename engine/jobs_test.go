package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/headrace/headrace/codec"
)

// gate is a recorder whose first message waits until release is closed. It hands
// on what it hears.
type gate struct {
	*recorder
	entered chan *Conn // the first message has come
	release chan struct{}
	heard   chan string
	then    func(c *Conn) // after the wait
}

func newGate() *gate {
	g := &gate{
		recorder: newRecorder(), entered: make(chan *Conn, 1), release: make(chan struct{}),
		heard: make(chan string, 10_000), then: func(*Conn) {},
	}
	first := true
	g.Message = func(c *Conn, _ Op, p []byte) {
		g.heard <- string(p)
		if first {
			first = false
			g.entered <- c
			<-g.release
			g.then(c)
		}
	}
	g.Close = func(_ *Conn, info CloseInfo) { g.heard <- "closed"; g.closed <- info }
	return g
}

// queued gives what waits for the workers.
func queued(c *Conn) (count, bytes int) {
	j := c.jobs()
	j.mu.Lock()
	defer j.mu.Unlock()
	return int(j.count), j.bytes
}

func TestJobsSize(t *testing.T) {
	if size := unsafe.Sizeof(jobs{}); size > 64 {
		t.Errorf("a jobs takes %d bytes; its comment promises 64", size)
	}
}

// A flood while its handler blocks waits with the peer and in the kernel. When the
// handler goes on nothing is missing.
func TestFloodWhileItsHandlerBlocks(t *testing.T) {
	for _, tt := range []struct{ size, messages int }{{64, 150_000}, {4 << 10, 16 << 10}, {300 << 10, 200}} {
		t.Run(strconv.Itoa(tt.size), func(t *testing.T) {
			entered, release, done := make(chan *Conn, 1), make(chan struct{}), make(chan struct{})
			var due, mostCount, mostBytes int // of the connection's callbacks, then of the test
			h := HandlerFuncs{Message: func(c *Conn, _ Op, p []byte) {
				if i := int(binary.BigEndian.Uint32(p)); i != due || len(p) != tt.size {
					t.Errorf("message %d of %d bytes came where %d was due", i, len(p), due)
				}
				if due++; due == 1 {
					entered <- c
					<-release
				}
				count, bytes := queued(c)
				mostCount, mostBytes = max(mostCount, count), max(mostBytes, bytes)
				if due == tt.messages {
					close(done)
				}
			}}
			srv := startServer(t, Config{Loops: 1, StallTimeout: patience}, func(s *Server) {
				s.Handle("/x", Endpoint{Handler: h, Workers: 2})
			})
			flood := connect(t, srv, "/x")
			var written atomic.Int64
			sent := make(chan error, 1)
			go func() { sent <- writeNumbered(flood, tt.size, tt.messages, &written) }()
			c := next(t, entered)
			before := int64(-1)
			waitFor(t, "back-pressure", func() bool {
				time.Sleep(200 * time.Millisecond)
				stands := written.Load() == before
				before = written.Load()
				return stands
			})
			if count, bytes := queued(c); count > maxJobs+1 || bytes > maxJobBytes+2*tt.size || count == 0 {
				t.Errorf("%d messages of %d bytes are queued", count, bytes)
			}
			if before >= int64(tt.size+6)*int64(tt.messages) {
				t.Errorf("the client could send everything: %d bytes", before)
			}
			close(release)
			next(t, done)
			if err := next(t, sent); err != nil {
				t.Error(err)
			}
			if mostCount > maxJobs+1 || mostBytes > maxJobBytes+2*tt.size { // a buffer may be larger than what is in it
				t.Errorf("up to %d messages and %d bytes were queued", mostCount, mostBytes)
			}
		})
	}
}

// writeNumbered sends messages that begin with their number, many in a write.
func writeNumbered(c *testClient, size, messages int, written *atomic.Int64) error {
	_ = c.SetWriteDeadline(time.Now().Add(2 * patience))
	var burst []byte
	p := make([]byte, size)
	for i := range messages {
		binary.BigEndian.PutUint32(p, uint32(i))
		burst = codec.AppendMaskedFrame(burst, codec.OpBinary, [4]byte{1, 2, 3, 4}, p)
		if len(burst) < 64<<10 && i < messages-1 {
			continue
		}
		n, err := c.Write(burst)
		written.Add(int64(n))
		if err != nil {
			return err
		}
		burst = burst[:0]
	}
	return nil
}

// OnClose comes after the last message, once, whatever ends the connection while a
// handler is busy. What was received before is delivered, unless this side wants
// no more.
func TestOnCloseComesLast(t *testing.T) {
	abort := func(_ *Server, c *testClient) { _ = c.Conn.(*net.TCPConn).SetLinger(0); _ = c.Conn.Close() }
	nothing := func(*Server, *testClient) {}
	for _, tt := range []struct {
		name string
		end  func(*Server, *testClient)
		then func(*Conn) // in the callback that was busy
		all  bool
	}{
		{"peer closes", func(_ *Server, c *testClient) { _ = c.send(codec.OpClose, []byte{3, 232}) }, nil, true},
		{"peer hangs up", func(_ *Server, c *testClient) { _ = c.Conn.Close() }, nil, true},
		{"reset", abort, nil, true},
		{"protocol error", func(_ *Server, c *testClient) { _, _ = c.Write([]byte{0xFF, 0x80, 1, 2, 3, 4}) }, nil, true},
		{"shutdown", func(s *Server, _ *testClient) { s.beginDrain() }, nil, true},
		{"loops end", func(s *Server, _ *testClient) { s.backend.Stop() }, nil, true},
		{"Close by the handler", nothing, func(c *Conn) { _ = c.Close(codec.CloseNormal, "") }, false},
		{"Close beside the handler", nothing, nil, false},
		{"panic", nothing, func(*Conn) { panic("a bug in a blocking handler") }, false},
		{"reset and Close by the handler", abort, func(c *Conn) { _ = c.Close(codec.CloseNormal, "") }, false},
		{"reset and panic", abort, func(*Conn) { panic("a bug in a blocking handler") }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGate()
			if tt.then != nil {
				g.then = tt.then
			}
			cfg := Config{Loops: 1, CloseTimeout: 200 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
			srv := startServer(t, cfg, func(s *Server) { s.Handle("/x", Endpoint{Handler: g, Workers: 4}) })
			client := connect(t, srv, "/x")
			const messages = 10
			for i := range messages {
				_ = client.send(codec.OpText, []byte{'0' + byte(i)})
			}
			c := next(t, g.entered)
			waitFor(t, "the queue", func() bool { n, _ := queued(c); return n == messages-1 })
			tt.end(srv, client)
			switch {
			case tt.name == "Close beside the handler":
				_ = c.Close(codec.CloseNormal, "")
			case tt.all:
				waitFor(t, "the end", func() bool { return errors.Is(c.Send(Text, nil), ErrClosed) })
			}
			close(g.release)
			go func() { _, _ = io.Copy(io.Discard, client.Conn); _ = client.Conn.Close() }()
			want := []string{"0"}
			for i := 1; tt.all && i < messages; i++ {
				want = append(want, strconv.Itoa(i))
			}
			for _, w := range append(want, "closed") {
				if got := next(t, g.heard); got != w {
					t.Fatalf("the handler heard %q where %q was due", got, w)
				}
			}
			waitFor(t, "the end of the workers", func() bool { return idle(srv, "/x") })
			if n := len(g.heard); n > 0 {
				t.Errorf("the handler heard %q after OnClose", <-g.heard)
			}
		})
	}
}

// All methods of a Conn may be called from a worker; the race detector judges.
func TestMethodsOnAWorker(t *testing.T) {
	r := newRecorder()
	r.Open = func(c *Conn) {
		if q := c.Request(); q == nil || q.Path() != "/x" {
			t.Error("the request is not readable in OnOpen")
		}
		c.SetUser(0)
		_ = c.Reply(Text, []byte("hello"))
	}
	r.Message = func(c *Conn, op Op, p []byte) {
		n := c.User().(int)
		c.SetUser(n + 1)
		if c.Request() != nil {
			t.Error("there is a request in OnMessage")
		}
		if c.Path() != "/x" || c.Remote() == nil || c.Subprotocol() != "" || c.Dropped() != 0 || c.Buffered() < 0 {
			t.Error("a method lies")
		}
		c.PauseRead()
		_ = c.Send(op, []byte("1"))
		_ = c.Reply(op, []byte("2"))
		_ = c.SendWithin(time.Minute, op, []byte("3"))
		_ = c.Reply(op, []byte(strconv.FormatBool(c.RTT() > 0)))
		c.ResumeRead()
		if string(p) == "end" {
			_ = c.Close(codec.CloseNormal, strconv.Itoa(n))
			if err := c.Reply(op, nil); !errors.Is(err, ErrClosed) {
				t.Errorf("Reply after Close gives %v", err)
			}
		}
	}
	srv := startServer(t, Config{}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: r, Workers: 3, PingInterval: 50 * time.Millisecond, PongTimeout: patience})
	})
	c := connect(t, srv, "/x")
	if err := c.expect(codec.OpText, "hello"); err != nil {
		t.Fatal(err)
	}
	const messages = 10
	asked := false
	for i := range messages {
		for last := i == messages-1; last && !asked; { // only a silent peer is asked for the round trip
			if _, err := c.recvAnswering(&asked); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.send(codec.OpText, []byte("go on")); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"1", "2", "3", "rtt"} {
			got, err := "", error(nil)
			for got == "" && err == nil {
				got, err = c.recvAnswering(&asked)
			}
			if err != nil || got != want && want != "rtt" || i == messages-1 && want == "rtt" && got != "true" {
				t.Fatalf("round %d: got %q, %v, want %q", i, got, err, want)
			}
		}
	}
	_ = c.send(codec.OpText, []byte("end"))
	if err := c.expectClose(codec.CloseNormal, strconv.Itoa(messages)); err != nil {
		t.Error(err)
	}
	if info := next(t, r.closed); !info.Clean || info.Initiator != Local {
		t.Errorf("it ended with %+v", info)
	}
}

// recvAnswering reads one frame, and answers it if it is a ping, which gives "".
func (c *testClient) recvAnswering(asked *bool) (string, error) {
	op, p, err := c.recv()
	if err != nil || op != codec.OpPing {
		return string(p), err
	}
	*asked = true
	return "", c.send(codec.OpPong, p)
}

// A payload is the handler's only until the callback returns.
func TestPayloadOnAWorkerIsTakenBack(t *testing.T) {
	var kept []byte
	checked := make(chan []byte, 1)
	h := HandlerFuncs{Message: func(_ *Conn, _ Op, p []byte) {
		if kept == nil {
			kept = p
			return
		}
		checked <- bytes.Clone(kept)
	}}
	srv := startServer(t, Config{}, func(s *Server) { s.Handle("/x", Endpoint{Handler: h, Workers: 1}) })
	c := connect(t, srv, "/x")
	_ = c.send(codec.OpText, []byte("keep me"))
	_ = c.send(codec.OpText, []byte("well?"))
	if got := next(t, checked); !bytes.Equal(got, bytes.Repeat([]byte{poisonByte}, len("keep me"))) {
		t.Errorf("what a handler has kept is %q", got)
	}
}

func TestPanicOnAWorkerClosesWith1011(t *testing.T) {
	var log strings.Builder
	r := newRecorder()
	r.Message = func(c *Conn, op Op, p []byte) {
		_ = c.Reply(op, p)
		if string(p) == "panic" {
			panic("a bug in a blocking handler")
		}
	}
	logger := slog.New(slog.NewTextHandler(&lockedWriter{w: &log}, nil))
	srv := startServer(t, Config{Logger: logger}, func(s *Server) { s.Handle("/x", Endpoint{Handler: r, Workers: 1}) })
	witness, victim := connect(t, srv, "/x"), connect(t, srv, "/x")
	if err := victim.echo(codec.OpText, "panic"); err != nil { // what was accepted before goes before
		t.Fatal(err)
	}
	if err := victim.expectClose(codec.CloseInternalError, "internal error"); err != nil {
		t.Error(err)
	}
	info := next(t, r.closed)
	var panicked *PanicError
	if !errors.As(info.Err, &panicked) || panicked.Value != "a bug in a blocking handler" || info.Initiator != Local {
		t.Errorf("it ended with %+v", info)
	}
	if err := witness.echo(codec.OpText, "alive"); err != nil {
		t.Error(err)
	}
	if s := log.String(); !strings.Contains(s, "callback=OnMessage") || !strings.Contains(s, "jobs_test.go") {
		t.Errorf("the log lacks the callback or its stack: %s", s)
	}
}

// What was read already waits too, until ResumeRead or the end.
func TestPauseReadOnAWorker(t *testing.T) {
	for _, tt := range []struct {
		name string
		then func(*Conn, *testClient)
	}{
		{"ResumeRead", func(c *Conn, client *testClient) { c.ResumeRead(); _ = client.send(codec.OpText, []byte("after")) }},
		{"the end", func(_ *Conn, client *testClient) {
			_ = client.Conn.(*net.TCPConn).SetLinger(0)
			_ = client.Conn.Close()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGate()
			g.then = (*Conn).PauseRead
			srv := startServer(t, Config{Loops: 1}, func(s *Server) { s.Handle("/x", Endpoint{Handler: g, Workers: 1}) })
			client, witness := connect(t, srv, "/x"), connect(t, srv, "/x")
			for range 10 {
				_ = client.send(codec.OpText, []byte("before"))
			}
			c := next(t, g.entered)
			waitFor(t, "the queue", func() bool { n, _ := queued(c); return n == 9 })
			_ = witness.send(codec.OpText, []byte("witness"))
			close(g.release)
			want := append([]string{"before", "witness"}, slices.Repeat([]string{"before"}, 9)...) // else all ten came first
			last := "closed"
			if tt.name == "ResumeRead" {
				last = "after"
			}
			for i, w := range append(want, last) {
				if got := next(t, g.heard); got != w {
					t.Fatalf("the handler heard %q where %q was due", got, w)
				}
				if i == 1 {
					tt.then(c, client)
				}
			}
		})
	}
}

// OnDrain overtakes what PauseRead holds: it may be what the handler waits for.
func TestDrainDuringPauseReadOnAWorker(t *testing.T) {
	var heard atomic.Int64
	drained := make(chan int64, 100)
	big := make([]byte, 4<<20)
	h := &flowHandler{drain: func(c *Conn) {
		drained <- heard.Load()
		c.ResumeRead()
	}}
	entered, release := make(chan *Conn, 1), make(chan struct{})
	h.Message = func(c *Conn, _ Op, _ []byte) {
		if heard.Add(1) > 1 {
			return
		}
		entered <- c
		<-release
		c.PauseRead()
		_ = c.Send(Binary, big)
	}
	srv := startServer(t, Config{Loops: 1}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: h, Workers: 2, MaxQueue: 8 << 20, HighWater: 1 << 20})
	})
	client := connect(t, srv, "/x")
	for range 10 {
		_ = client.send(codec.OpText, nil)
	}
	c := next(t, entered)
	waitFor(t, "the queue", func() bool { n, _ := queued(c); return n == 9 })
	close(release)
	if op, p, err := client.recv(); err != nil || op != codec.OpBinary || len(p) != len(big) {
		t.Fatalf("got %v, %d bytes, %v", op, len(p), err)
	}
	if n := next(t, drained); n != 1 {
		t.Errorf("%d messages were delivered before OnDrain, while PauseRead held", n)
	}
	waitFor(t, "the rest", func() bool { return heard.Load() == 10 })
}

// Answers to messages that wait for a worker don't overflow the queue: they are
// not worked at while too much waits for the peer.
func TestEchoFloodOnWorkers(t *testing.T) {
	const messages, size = 256, 64 << 10
	h := HandlerFuncs{Message: func(c *Conn, op Op, p []byte) {
		if err := c.Reply(op, p); err != nil {
			t.Errorf("message %d: %v", binary.BigEndian.Uint32(p), err)
		}
	}}
	srv := startServer(t, Config{Loops: 1}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: h, Workers: 2, MaxQueue: 128 << 10, MaxMessage: size})
	})
	c := connect(t, srv, "/x")
	var written atomic.Int64
	sent := make(chan error, 1)
	go func() { sent <- writeNumbered(c, size, messages, &written) }()
	before := int64(-1)
	waitFor(t, "back-pressure", func() bool {
		time.Sleep(100 * time.Millisecond)
		stands := written.Load() == before
		before = written.Load()
		return stands
	})
	for i := range messages {
		_, p, err := c.recv()
		if err != nil || len(p) != size || binary.BigEndian.Uint32(p) != uint32(i) {
			t.Fatalf("answer %d: %d bytes, %v", i, len(p), err)
		}
	}
	if err := next(t, sent); err != nil {
		t.Error(err)
	}
}

// Pings and pongs stand in line with the messages.
func TestControlFramesOnWorkers(t *testing.T) {
	h := &controlHandler{heard: make(chan string, 100)}
	h.Message = func(_ *Conn, _ Op, p []byte) { h.heard <- "message " + string(p) }
	h.Close = func(*Conn, CloseInfo) { h.heard <- "closed" }
	srv := startServer(t, Config{}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: h, Workers: 8, Compression: &Compression{}})
	})
	c := connect(t, srv, "/x")
	for i, op := range []codec.Opcode{codec.OpText, codec.OpPing, codec.OpPong, codec.OpBinary} {
		_ = c.send(op, []byte{'1' + byte(i)})
	}
	if err := c.expect(codec.OpPong, "2"); err != nil {
		t.Error(err)
	}
	_ = c.Conn.Close()
	for _, want := range []string{"message 1", "ping 2", "pong 3", "message 4", "closed"} {
		if got := next(t, h.heard); got != want {
			t.Errorf("the handler heard %q where %q was due", got, want)
		}
	}
}

// controlHandler hears of control frames.
type controlHandler struct {
	HandlerFuncs
	heard chan string
}

// OnPing implements PingHandler.
func (h *controlHandler) OnPing(_ *Conn, p []byte) { h.heard <- "ping " + string(p) }

// OnPong implements PongHandler.
func (h *controlHandler) OnPong(_ *Conn, p []byte) { h.heard <- "pong " + string(p) }
