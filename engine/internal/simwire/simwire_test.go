package simwire

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headrace/headrace/engine/internal/wire"
)

// engine is a stand-in for what lives above the seam: functions.
type engine struct {
	loop     wire.Loop
	sock     wire.Socket
	opened   func(*engine)
	arrived  func(*engine, []byte)
	writable func(*engine)
	closed   func(*engine, error)
	nobody   bool // Opened gives no owner
	ticks    int
	wokens   int
}

func (e *engine) Opened(s wire.Socket, _ int, _ net.Addr) wire.Owner {
	e.sock = s
	if e.opened != nil {
		e.opened(e)
	}
	if e.nobody {
		return nil
	}
	return e
}
func (e *engine) Woken()             { e.wokens++ }
func (e *engine) Tick(time.Duration) { e.ticks++ }
func (e *engine) Broken(error)       {}
func (e *engine) Moved(bool)         {}

func (e *engine) Arrived(p []byte) {
	if e.arrived != nil {
		e.arrived(e, p)
	}
}

func (e *engine) Writable() {
	if e.writable != nil {
		e.writable(e)
	}
}

func (e *engine) Closed(err error) {
	if e.closed != nil {
		e.closed(e, err)
	}
}

// simulate runs e under a script and gives what the simulation found wrong.
func simulate(t *testing.T, e *engine, script func(*Sim)) (misuse []string) {
	t.Helper()
	s := New(Options{
		Seed: 1, Loops: 1, ReadBuffer: 1 << 10, Script: script,
		Misuse: func(what string) { misuse = append(misuse, what) },
	})
	newHandler := func(l wire.Loop) wire.Handler { e.loop = l; return e }
	if err := s.Serve(newHandler, func([]net.Addr) {}); err != nil {
		t.Fatal(err)
	}
	return misuse
}

// dial begins a connection whose peer keeps what it reads.
func dial(s *Sim, sendBuffer int) (p *Peer, got *strings.Builder) {
	got = new(strings.Builder)
	p = s.Dial(Profile{SendBuffer: sendBuffer, Data: func(b []byte) { got.Write(b) }, End: func(error) {}})
	return p, got
}

func TestMisuseIsSeen(t *testing.T) {
	for _, c := range []struct {
		name, want string
		use        func(*engine)
	}{
		{"none", "", func(e *engine) { _, _ = e.loop.Write(e.sock, []byte("x")) }},
		{"write after close", "was closed", func(e *engine) { e.loop.Close(e.sock); _, _ = e.loop.Write(e.sock, []byte("x")) }},
		{"close twice", "was closed", func(e *engine) { e.loop.Close(e.sock); e.loop.Close(e.sock) }},
		{"write behind CloseWrite", "behind CloseWrite", func(e *engine) { _ = e.loop.CloseWrite(e.sock); _, _ = e.loop.Write(e.sock, []byte("x")) }},
		{"CloseWrite twice", "twice", func(e *engine) { _ = e.loop.CloseWrite(e.sock); _ = e.loop.CloseWrite(e.sock) }},
		{"two watches", "while one is armed", func(e *engine) { _ = e.loop.WatchWritable(e.sock); _ = e.loop.WatchWritable(e.sock) }},
		{"released memory", "released memory", func(e *engine) { _, _ = e.loop.Writev(e.sock, [][]byte{[]byte("ok"), poisoned}) }},
		{"a foreign socket", "something else", func(e *engine) { e.loop.Close(wire.Socket{Ref: e.sock.Ref, FD: e.sock.FD + 1}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &engine{arrived: func(e *engine, _ []byte) { c.use(e) }}
			misuse := simulate(t, e, func(s *Sim) {
				p, _ := dial(s, 100)
				p.Write([]byte("go"))
				s.Run(time.Second)
			})
			if all := strings.Join(misuse, "; "); c.want == "" && all != "" || !strings.Contains(all, c.want) {
				t.Errorf("found %q, want %q", all, c.want)
			}
		})
	}
	t.Run("outside of a turn", func(t *testing.T) {
		e := &engine{}
		misuse := simulate(t, e, func(s *Sim) {
			dial(s, 100)
			s.Run(time.Second)
			e.loop.NeedTicks(true)
		})
		if len(misuse) == 0 {
			t.Error("it was not found")
		}
	})
	t.Run("Opened without an owner", func(t *testing.T) {
		e := &engine{nobody: true}
		misuse := simulate(t, e, func(s *Sim) {
			dial(s, 100)
			s.Run(time.Second)
		})
		if len(misuse) == 0 {
			t.Error("it was not found")
		}
	})
}

func TestCloseInsideOpened(t *testing.T) {
	e := &engine{nobody: true}
	e.opened = func(e *engine) {
		if err := e.loop.WatchWritable(e.sock); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WatchWritable without an owner gives %v", err)
		}
		e.loop.Close(e.sock)
	}
	e.closed = func(*engine, error) { t.Error("Closed was called without an owner") }
	misuse := simulate(t, e, func(s *Sim) {
		dial(s, 100)
		s.Run(time.Second)
		if n := s.OpenSockets(); n != 0 {
			t.Errorf("%d sockets are open", n)
		}
	})
	if len(misuse) > 0 {
		t.Error(misuse)
	}
}

func TestShortWritesAndWatches(t *testing.T) {
	rest := strings.Repeat("0123456789", 100)
	want := rest
	flush := func(e *engine) {
		n, err := e.loop.Write(e.sock, []byte(rest))
		if rest = rest[n:]; err == nil && rest != "" {
			err = e.loop.WatchWritable(e.sock)
		}
		if err != nil {
			t.Error(err)
		}
	}
	e := &engine{arrived: func(e *engine, _ []byte) { flush(e) }, writable: flush}
	misuse := simulate(t, e, func(s *Sim) {
		p, got := dial(s, 7)
		p.Write([]byte("go"))
		s.Run(time.Minute)
		if got.String() != want {
			t.Errorf("%d bytes of %d came", got.Len(), len(want))
		}
	})
	if len(misuse) > 0 {
		t.Error(misuse)
	}
}

func TestPauseRead(t *testing.T) {
	var got strings.Builder
	var ends []error
	e := &engine{
		opened: func(e *engine) { _ = e.loop.PauseRead(e.sock) },
		closed: func(_ *engine, err error) { ends = append(ends, err) },
	}
	e.arrived = func(_ *engine, p []byte) { got.Write(p) }
	simulate(t, e, func(s *Sim) {
		p, _ := dial(s, 100)
		p.Write([]byte("hello"))
		p.CloseWrite()
		s.Run(time.Second)
		if got.Len() > 0 || len(ends) > 0 {
			t.Errorf("while paused %q came, and ends %v", got.String(), ends)
		}
		p.socket.loop.turn(func() { _ = e.loop.ResumeRead(e.sock) })
		s.Run(time.Minute)
	})
	if got.String() != "hello" || len(ends) != 1 || !errors.Is(ends[0], io.EOF) {
		t.Errorf("got %q, ends %v", got.String(), ends)
	}
}

func TestResetEndsAPausedRead(t *testing.T) {
	var ends []error
	e := &engine{
		opened: func(e *engine) { _ = e.loop.PauseRead(e.sock) },
		closed: func(_ *engine, err error) { ends = append(ends, err) },
	}
	simulate(t, e, func(s *Sim) {
		p, _ := dial(s, 100)
		s.Run(time.Second)
		p.Reset()
		s.Run(time.Minute)
	})
	if len(ends) != 1 || !errors.Is(ends[0], syscall.ECONNRESET) && !errors.Is(ends[0], io.EOF) {
		t.Errorf("it ended with %v", ends)
	}
}

func TestTicksAndWakes(t *testing.T) {
	e := &engine{}
	simulate(t, e, func(s *Sim) {
		dial(s, 100)
		s.Run(time.Second)
		e.loop.Wake()
		p := s.fds[0]
		p.loop.turn(func() { e.loop.NeedTicks(true) })
		s.Run(s.Now() + time.Second)
		if e.ticks < 15 || e.ticks > 21 || e.wokens == 0 {
			t.Errorf("%d ticks in a second, %d wakeups", e.ticks, e.wokens)
		}
		p.loop.turn(func() { e.loop.NeedTicks(false) })
		had := e.ticks
		s.Run(s.Now() + time.Second)
		if e.ticks != had {
			t.Error("it ticks on")
		}
	})
}
