package gnetwire

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/engine/internal/wire"
)

const patience = 10 * time.Second

// harness is a wire.Handler, and the owner of each of its connections, that
// passes events on to a test. What a test does on the loop it does in on.
type harness struct {
	backend *Backend
	loop    wire.Loop
	socket  wire.Socket
	opened  chan struct{}
	events  chan event
	work    chan func() // run by Woken
}

type event struct {
	name string
	text string
	err  error
}

func (h *harness) Opened(s wire.Socket, _ int, _ net.Addr) wire.Owner {
	h.socket = s
	close(h.opened)
	return h
}

func (h *harness) Woken() {
	select {
	case f := <-h.work:
		f()
	default:
		h.events <- event{name: "woken"}
	}
}

func (h *harness) Tick(time.Duration) { h.events <- event{name: "tick"} }
func (h *harness) Arrived(p []byte)   { h.events <- event{name: "arrived", text: string(p)} }
func (h *harness) Writable()          { h.events <- event{name: "writable"} }
func (h *harness) Broken(err error)   { h.events <- event{name: "broken", err: err} }
func (h *harness) Closed(err error)   { h.events <- event{name: "closed", err: err} }
func (h *harness) Moved(bool)         { h.events <- event{name: "moved"} }

// on runs f on the loop and waits for its end.
func (h *harness) on(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	h.work <- func() { f(); close(done) }
	h.loop.Wake()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the loop does not run what it is woken for")
	}
}

// want waits for one event.
func (h *harness) want(t *testing.T, name string) event {
	t.Helper()
	select {
	case e := <-h.events:
		if e.name != name {
			t.Fatalf("got %+v, want %s", e, name)
		}
		return e
	case <-time.After(patience):
		t.Fatalf("no event %s", name)
		return event{}
	}
}

// none expects no event for a moment.
func (h *harness) none(t *testing.T) {
	t.Helper()
	select {
	case e := <-h.events:
		t.Fatalf("got %+v, want nothing", e)
	case <-time.After(200 * time.Millisecond):
	}
}

// start serves on a free port and connects once.
func start(t *testing.T) (*harness, *net.TCPConn) {
	t.Helper()
	h := &harness{opened: make(chan struct{}), events: make(chan event, 1000), work: make(chan func(), 1)}
	b := New(Options{Listeners: []Listener{{Network: "tcp4", Addr: "127.0.0.1:0"}}, Loops: 1, ReadBuffer: 64 << 10, Logger: slog.New(slog.DiscardHandler)})
	h.backend = b
	ready := make(chan net.Addr, 1)
	served := make(chan error, 1)
	go func() {
		served <- b.Serve(func(l wire.Loop) wire.Handler { h.loop = l; return h }, func(a []net.Addr) { ready <- a[0] })
	}()
	var addr net.Addr
	select {
	case addr = <-ready:
	case err := <-served:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Stop()
		if err := <-served; err != nil {
			t.Error("Serve:", err)
		}
	})
	c, err := net.Dial("tcp4", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	select {
	case <-h.opened:
	case <-time.After(patience):
		t.Fatal("no connection was opened")
	}
	b.enrolling.Wait() // the loop has its bell
	return h, c.(*net.TCPConn)
}

func TestReadAndWrite(t *testing.T) {
	h, c := start(t)
	_, _ = io.WriteString(c, "question")
	if e := h.want(t, "arrived"); e.text != "question" {
		t.Errorf("arrived %q", e.text)
	}
	h.on(t, func() {
		if n, err := h.loop.Write(h.socket, []byte("an ")); n != 3 || err != nil {
			t.Errorf("Write gives %d, %v", n, err)
		}
		bufs := [][]byte{[]byte("ans"), nil, []byte("wer")}
		if n, err := h.loop.Writev(h.socket, bufs); n != 6 || err != nil {
			t.Errorf("Writev gives %d, %v", n, err)
		}
		if string(bufs[0]) != "ans" {
			t.Errorf("Writev changed its argument to %q", bufs)
		}
		if err := h.loop.CloseWrite(h.socket); err != nil {
			t.Error(err)
		}
	})
	if got, err := io.ReadAll(c); err != nil || string(got) != "an answer" {
		t.Errorf("the peer got %q, %v", got, err)
	}
	_ = c.Close()
	if e := h.want(t, "closed"); !errors.Is(e.err, io.EOF) {
		t.Errorf("closed with %v, want EOF", e.err)
	}
}

func TestPauseRead(t *testing.T) {
	h, c := start(t)
	h.on(t, func() {
		if err := h.loop.PauseRead(h.socket); err != nil {
			t.Fatal(err)
		}
	})
	_, _ = io.WriteString(c, "waits")
	h.none(t)
	h.on(t, func() {
		if err := h.loop.ResumeRead(h.socket); err != nil {
			t.Fatal(err)
		}
	})
	if e := h.want(t, "arrived"); e.text != "waits" {
		t.Errorf("arrived %q", e.text)
	}
}

func TestResetIsNoticedWhilePaused(t *testing.T) {
	h, c := start(t)
	h.on(t, func() { _ = h.loop.PauseRead(h.socket) })
	_ = c.SetLinger(0)
	_ = c.Close()
	if e := h.want(t, "closed"); !errors.Is(e.err, unix.ECONNRESET) {
		t.Errorf("closed with %v, want a reset", e.err)
	}
}

func TestWatchWritable(t *testing.T) {
	h, c := start(t)
	full := 0
	h.on(t, func() {
		p := make([]byte, 1<<20)
		for {
			n, err := h.loop.Write(h.socket, p)
			if err != nil {
				t.Fatal(err)
			}
			full += n
			if n < len(p) {
				break
			}
		}
		if err := h.loop.WatchWritable(h.socket); err != nil {
			t.Fatal(err)
		}
	})
	h.none(t)
	if _, err := io.CopyN(io.Discard, c, int64(full)); err != nil {
		t.Fatal(err)
	}
	h.want(t, "writable")
	h.none(t) // once only
	h.on(t, func() {
		if err := h.loop.WatchWritable(h.socket); err != nil {
			t.Fatal(err)
		}
	})
	h.want(t, "writable")
}

func TestUnsent(t *testing.T) {
	h, c := start(t)
	unsent := func() (n int) {
		h.on(t, func() { n = h.loop.Unsent(h.socket) })
		return n
	}
	written := 0
	h.on(t, func() { written, _ = h.loop.Write(h.socket, make([]byte, 8<<20)) })
	full := unsent()
	if full < 1 || full > written {
		t.Errorf("%d bytes were written, %d are unsent", written, full)
	}
	if _, err := io.CopyN(io.Discard, c, int64(written)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); unsent() > 0; {
		if time.Now().After(end) {
			t.Fatalf("%d bytes are unsent, and the peer has read everything", unsent())
		}
	}
}

func TestCloseCallsClosedBeforeItReturns(t *testing.T) {
	h, c := start(t)
	h.on(t, func() {
		h.loop.Close(h.socket)
		select {
		case e := <-h.events:
			if e.name != "closed" || e.err != nil {
				t.Errorf("got %+v, want closed without an error", e)
			}
		default:
			t.Error("Close returned before Closed was called")
		}
	})
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the peer sees %v, want EOF", err)
	}
}

func TestDetach(t *testing.T) {
	h, c := start(t)
	var moved net.Conn
	h.on(t, func() {
		var err error
		if moved, err = h.loop.Detach(h.socket); err != nil {
			t.Fatal(err)
		}
		h.loop.Close(h.socket)
	})
	h.want(t, "closed")
	_, _ = io.WriteString(c, "for the new owner")
	p := make([]byte, 100)
	n, err := moved.Read(p)
	if err != nil || string(p[:n]) != "for the new owner" {
		t.Errorf("the new owner reads %q, %v", p[:n], err)
	}
	_, _ = io.WriteString(moved, "from it")
	_ = moved.Close()
	if got, err := io.ReadAll(c); err != nil || string(got) != "from it" {
		t.Errorf("the peer gets %q, %v", got, err)
	}
}

func TestTicksComeOnlyWhenNeeded(t *testing.T) {
	h, _ := start(t)
	h.none(t)
	h.on(t, func() { h.loop.NeedTicks(true) })
	h.want(t, "tick")
	h.want(t, "tick")
	h.on(t, func() { h.loop.NeedTicks(false) })
	for len(h.events) > 0 {
		<-h.events
	}
	h.none(t)
}

// A handler that wants to go on again and again doesn't keep the loop from its sockets.
func TestWakeLaterLetsReadsGoBetween(t *testing.T) {
	h, c := start(t)
	turns, heard := 0, make(chan int, 1)
	var again func()
	again = func() {
		select {
		case <-h.events: // the loop has read
			heard <- turns
			return
		default:
		}
		turns++
		h.work <- again
		h.loop.WakeLater()
	}
	h.on(t, func() {
		_, _ = io.WriteString(c, "arrived while the task ran")
		h.work <- again
		h.loop.WakeLater()
	})
	select {
	case n := <-heard:
		t.Logf("it was read behind %d turns", n)
	case <-time.After(patience):
		t.Fatal("the loop doesn't read")
	}
}

func TestTakenAddress(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // a test's end
	b := New(Options{Listeners: []Listener{{Network: "tcp4", Addr: ln.Addr().String()}}, Loops: 1, ReadBuffer: 1 << 10, Logger: slog.New(slog.DiscardHandler)})
	err = b.Serve(nil, nil)
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("Serve gives %v", err)
	}
	b.Stop() // must not wait for a start that never was
}

func TestStopEndsOpenConnections(t *testing.T) {
	h, c := start(t)
	_, _ = io.WriteString(c, "x")
	h.want(t, "arrived")
	h.backend.Stop()
	h.want(t, "closed")
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the peer sees %v, want EOF", err)
	}
	h.loop.Wake() // does nothing, and reaches nobody
}

// A second Stop must leave the listener's descriptor alone: it is somebody else's by
// then.
func TestStopTwiceShutsDownNobodyElse(t *testing.T) {
	h, _ := start(t)
	listener := h.backend.bound[0].rescue.listener
	release := make(chan struct{})
	defer close(release)
	h.work <- func() { <-release } // so that the end lasts beyond both calls
	h.loop.Wake()
	h.backend.Stop()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0]) //nolint:errcheck // a test's end
	defer unix.Close(pair[1]) //nolint:errcheck // a test's end
	stranger := pair[0]
	if stranger != listener && pair[1] != listener {
		stranger, err = unix.FcntlInt(uintptr(pair[0]), unix.F_DUPFD_CLOEXEC, listener)
		if err != nil || stranger != listener {
			t.Fatalf("the stranger's descriptor is %d, %v; want %d", stranger, err, listener)
		}
		defer unix.Close(stranger) //nolint:errcheck // a test's end
	}
	h.backend.Stop()
	for _, fd := range pair {
		if n, _, err := unix.Recvfrom(fd, make([]byte, 1), unix.MSG_DONTWAIT); !errors.Is(err, unix.EAGAIN) {
			t.Errorf("a socket of somebody else has been shut down: read gives %d, %v", n, err)
		}
	}
}
