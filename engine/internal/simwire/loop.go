package simwire

import (
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/headrace/headrace/engine/internal/wire"
)

// loop is one simulated event loop. It implements wire.Loop.
type loop struct {
	sim      *Sim
	index    int
	handler  wire.Handler // made for the first connection, as with gnet
	buf      []byte       // what all reads go to
	busy     bool         // in a turn
	calls    int          // of the seam, in this turn
	ticks    bool
	ticked   bool          // a Tick waits
	tickedAt time.Duration // since when
	woken    int           // how many Woken calls wait
	wakes    atomic.Int32  // calls of Wake since the last look
}

// turn runs one call into the engine.
func (l *loop) turn(f func()) {
	s := l.sim
	l.busy, l.calls = true, 0
	s.turns = append(s.turns, l)
	f()
	s.turns = s.turns[:len(s.turns)-1]
	l.busy = false
	if s.opts.AfterTurn != nil {
		s.opts.AfterTurn(l.handler)
	}
}

// Now implements wire.Loop. Time passes while a loop works, and a loop may lose
// its processor between two instructions. Outside of the loop's turn it is
// another goroutine that asks.
func (l *loop) Now() time.Duration {
	if n := len(l.sim.turns); n == 0 || l.sim.turns[n-1] != l {
		return l.sim.clock.now
	}
	l.check("Now")
	l.sim.Interleave()
	c := &l.sim.clock
	c.now += l.sim.upTo(20 * time.Microsecond)
	if l.sim.rng.IntN(500) == 0 {
		c.stall(l.sim.upTo(120 * time.Millisecond))
	}
	return c.now
}

// Wake implements wire.Loop.
func (l *loop) Wake() {
	l.wakes.Add(1)
	l.sim.wakes.Add(1)
}

// WakeLater implements wire.Loop.
func (l *loop) WakeLater() {
	l.check("WakeLater")
	l.woken++
	l.sim.at(50*time.Microsecond+l.sim.taskLag(), l, l.wokenNow)
}

func (l *loop) wokenNow() {
	l.woken--
	if l.handler != nil && !l.sim.stopped {
		l.sim.note("woken", -1, l.index)
		l.turn(l.handler.Woken)
	}
}

// NeedTicks implements wire.Loop.
func (l *loop) NeedTicks(on bool) {
	l.check("NeedTicks")
	l.ticks = on
	if on && !l.sim.ticker {
		l.sim.ticker = true
		l.sim.at(l.sim.upTo(wire.TickInterval), nil, l.sim.tick)
	}
}

// tick is the one ticker of all loops.
func (s *Sim) tick() {
	s.ticker = s.Ticking()
	if !s.ticker {
		return
	}
	for _, l := range s.loops {
		if l.handler != nil && !l.ticked {
			l.ticked, l.tickedAt = true, s.clock.now
			s.at(s.taskLag(), l, l.tickNow)
		}
	}
	if s.opts.Stalls && s.rng.IntN(200) == 0 {
		s.Stall(s.upTo(20 * time.Second))
	}
	s.at(wire.TickInterval+s.upTo(time.Millisecond), nil, s.tick)
}

func (l *loop) tickNow() {
	l.ticked = false
	if l.ticks {
		l.sim.note("tick", -1, l.index)
		late := l.sim.clock.now - l.tickedAt
		l.turn(func() { l.handler.Tick(late) })
	}
}

// Write implements wire.Loop.
func (l *loop) Write(s wire.Socket, p []byte) (int, error) {
	sock := l.use("Write", s)
	if sock == nil {
		return 0, syscall.EBADF
	}
	sock.checkWrite(p)
	l.sim.Interleave()
	n, err := sock.write(p)
	return n, os.NewSyscallError("write", err)
}

// Writev implements wire.Loop.
func (l *loop) Writev(s wire.Socket, bufs [][]byte) (int, error) {
	sock := l.use("Writev", s)
	if sock == nil {
		return 0, syscall.EBADF
	}
	for _, p := range bufs {
		sock.checkWrite(p)
	}
	l.sim.Interleave()
	total := 0
	for _, p := range bufs {
		n, err := sock.write(p)
		total += n
		if err != nil && total == 0 {
			return 0, os.NewSyscallError("writev", err)
		}
		if n < len(p) {
			break
		}
	}
	return total, nil
}

// Waiting implements wire.Loop.
func (l *loop) Waiting(s wire.Socket) int {
	if sock := l.use("Waiting", s); sock != nil && sock.broken == nil {
		return len(sock.in)
	}
	return 0
}

// Read implements wire.Loop.
func (l *loop) Read(s wire.Socket, p []byte) (int, error) {
	sock := l.use("Read", s)
	switch {
	case sock == nil:
		return 0, syscall.EBADF
	case sock.paused:
		l.sim.misuse("fd %d: Read while reading is paused", s.FD)
	case sock.broken != nil:
		return 0, os.NewSyscallError("read", syscall.ECONNRESET)
	}
	n := copy(p, sock.in)
	if n > 0 && l.sim.rng.IntN(4) == 0 { // what Waiting says is only a hint
		n = l.sim.rng.IntN(n + 1)
	}
	sock.in = sock.in[n:]
	l.sim.note("read on", s.FD, n)
	return n, nil
}

// WatchWritable implements wire.Loop.
func (l *loop) WatchWritable(s wire.Socket) error {
	sock := l.use("WatchWritable", s)
	switch {
	case sock == nil:
		return syscall.EBADF
	case sock.state == opening:
		return net.ErrClosed // gnetwire does not know the owner yet
	case sock.watching:
		l.sim.misuse("fd %d: WatchWritable while one is armed", s.FD)
	}
	l.sim.note("watch", s.FD, 0)
	sock.watching = true
	sock.checkWatch()
	return nil
}

// LimitUnsent implements wire.Loop. A simulated buffer takes what it takes.
func (l *loop) LimitUnsent(s wire.Socket, _ int) { l.use("LimitUnsent", s) }

// ResetOnClose implements wire.Loop.
func (l *loop) ResetOnClose(s wire.Socket) {
	if sock := l.use("ResetOnClose", s); sock != nil {
		sock.resets = true
	}
}

// PauseRead implements wire.Loop.
func (l *loop) PauseRead(s wire.Socket) error {
	if sock := l.use("PauseRead", s); sock != nil {
		l.sim.note("pause", s.FD, 0)
		sock.paused = true
	}
	return nil
}

// ResumeRead implements wire.Loop.
func (l *loop) ResumeRead(s wire.Socket) error {
	if sock := l.use("ResumeRead", s); sock != nil {
		l.sim.note("resume", s.FD, 0)
		sock.paused = false
		sock.planRead()
	}
	return nil
}

// Unsent implements wire.Loop.
func (l *loop) Unsent(s wire.Socket) int {
	if sock := l.use("Unsent", s); sock != nil {
		return sock.Unsent()
	}
	return 0
}

// CloseWrite implements wire.Loop.
func (l *loop) CloseWrite(s wire.Socket) error {
	sock := l.use("CloseWrite", s)
	if sock == nil {
		return syscall.EBADF
	}
	if sock.finSent {
		l.sim.misuse("fd %d: CloseWrite twice", s.FD)
	}
	l.sim.note("shutdown", s.FD, 0)
	if sock.broken != nil && l.sim.rng.IntN(2) == 0 {
		return os.NewSyscallError("shutdown", syscall.ENOTCONN)
	}
	sock.finSent = true
	sock.peer.planRead()
	return nil
}

// Close implements wire.Loop.
func (l *loop) Close(s wire.Socket) {
	if sock := l.use("Close", s); sock != nil {
		l.sim.note("close", s.FD, 0)
		sock.closed(nil)
	}
}

// Detach implements wire.Loop. A simulated socket has no descriptor to give.
func (l *loop) Detach(s wire.Socket) (net.Conn, error) {
	l.use("Detach", s)
	return nil, os.NewSyscallError("dup", syscall.EMFILE)
}
