// Package simwire carries connections in memory, with a seed and a virtual
// clock. It plays gnet, the kernel and the network against the engine: reads cut
// anywhere, writes cut short, full sockets, resets, hang-ups, late and reordered
// tasks, a clock that jumps. Everything happens on one goroutine, and every
// choice comes from the seed, so that a failure can be replayed.
//
// It also watches how the seam is used, see check.go.
package simwire

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/engine/internal/wire"
)

// Options are the settings of a Sim.
type Options struct {
	Seed       uint64
	Loops      int     // at least 1
	ReadBuffer int     // the most that one Arrived brings, in bytes
	Interleave float64 // how likely something else happens inside a call of the seam
	Stalls     bool    // the clock jumps now and then, by up to seconds
	// Script is the run: it dials and steps. Serve ends when it returns.
	Script func(*Sim)
	// Misuse is told of each wrong use of the seam. Nil panics.
	Misuse func(what string)
	// AfterTurn is called when a loop has ended a turn. May be nil.
	AfterTurn func(wire.Handler)
	Log       io.Writer // each event, in words; may be nil
}

// Sim is a simulated transport. It implements wire.Backend. Only its loops' Wake
// is safe from any goroutine.
type Sim struct {
	opts    Options
	rng     *rand.Rand
	clock   clock
	loops   []*loop
	turns   []*loop // those in a turn; the last one runs
	fds     []*Socket
	ticker  bool // an event for it waits
	stopped bool
	trace   uint64
	steps   int

	newHandler func(wire.Loop) wire.Handler
	wakes      atomic.Int32 // calls of Wake since the last look
}

// New makes a Sim.
func New(opts Options) *Sim {
	s := &Sim{opts: opts, rng: rand.New(rand.NewPCG(opts.Seed, 0x5eed))}
	for i := range opts.Loops {
		s.loops = append(s.loops, &loop{sim: s, index: i, buf: make([]byte, opts.ReadBuffer)})
	}
	return s
}

// Serve implements wire.Backend.
func (s *Sim) Serve(newHandler func(wire.Loop) wire.Handler, ready func([]net.Addr)) error {
	s.newHandler = newHandler
	ready([]net.Addr{addr("server")})
	s.opts.Script(s)
	s.end()
	return nil
}

// Adopt implements wire.Backend. There are no sockets but the simulation's own.
func (s *Sim) Adopt(context.Context, net.Conn, wire.Adopted) error { return errors.ErrUnsupported }

// Stop implements wire.Backend. Serve ends with its script.
func (s *Sim) Stop() {}

// end closes what is open, as gnet does when it stops.
func (s *Sim) end() {
	s.stopped = true
	for _, sock := range s.fds {
		if sock != nil && sock.state == open {
			sock.loop.turn(func() { sock.closed(nil) })
		}
	}
}

// Rand is the source of every choice of this run.
func (s *Sim) Rand() *rand.Rand { return s.rng }

// Now is the virtual time.
func (s *Sim) Now() time.Duration { return s.clock.now }

// Stalled is the time so far in which no loop could run.
func (s *Sim) Stalled() time.Duration { return s.clock.stalled }

// Steps is how many events have happened.
func (s *Sim) Steps() int { return s.steps }

// Trace is a digest of everything that has happened.
func (s *Sim) Trace() uint64 { return s.trace }

// Ticking says whether any loop needs ticks.
func (s *Sim) Ticking() bool {
	for _, l := range s.loops {
		if l.ticks {
			return true
		}
	}
	return false
}

// OpenSockets is how many descriptors are in use.
func (s *Sim) OpenSockets() int {
	n := 0
	for _, sock := range s.fds {
		if sock != nil {
			n++
		}
	}
	return n
}

// After has f called in d, outside of the loops, as another goroutine or the
// network would do it.
func (s *Sim) After(d time.Duration, f func()) { s.at(d, nil, f) }

// Step makes the next event happen. It says whether there was one.
func (s *Sim) Step() bool {
	s.collectWakes()
	e, ok := s.clock.next()
	if !ok {
		return false
	}
	s.steps++
	e.run()
	return true
}

// Run steps until nothing is left to happen, or until the time limit; it says
// whether it came to the end.
func (s *Sim) Run(limit time.Duration) bool {
	for s.clock.now < limit {
		if !s.Step() {
			return true
		}
	}
	return false
}

// Interleave lets other goroutines go on: now and then something happens outside
// of the loops that are in a turn.
func (s *Sim) Interleave() {
	if s.stopped || s.opts.Interleave == 0 || len(s.turns) > len(s.loops)+1 || s.rng.Float64() >= s.opts.Interleave {
		return
	}
	for range 1 + s.rng.IntN(3) {
		s.collectWakes()
		e, ok := s.clock.next()
		if !ok {
			return
		}
		s.steps++
		e.run()
	}
}

// Stall stops the loops for a while.
func (s *Sim) Stall(d time.Duration) {
	s.note("stall", -1, int(d))
	s.clock.stall(d)
}

// collectWakes turns the calls of Wake into Woken calls to come.
func (s *Sim) collectWakes() {
	if s.wakes.Load() == 0 {
		return
	}
	s.wakes.Store(0)
	for _, l := range s.loops {
		n := l.wakes.Swap(0)
		for n > 0 {
			n--
			if l.woken == 0 || s.rng.IntN(2) == 0 { // else it is merged with one that waits
				l.woken++
				s.at(s.taskLag(), l, l.wokenNow)
			}
		}
	}
}

// at plans an event on a loop, or outside of all with nil.
func (s *Sim) at(d time.Duration, l *loop, f func()) {
	s.clock.plan(event{at: s.clock.now + d, loop: l, run: f})
}

// taskLag is how long a task waits for its loop: mostly not at all, and
// sometimes long enough for other tasks and for reads to overtake it.
func (s *Sim) taskLag() time.Duration {
	switch n := s.rng.IntN(100); {
	case n < 40:
		return 0
	case n < 95:
		return s.upTo(300 * time.Microsecond)
	default:
		return s.upTo(8 * time.Millisecond)
	}
}

func (s *Sim) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(s.rng.Int64N(int64(d) + 1))
}

// note adds to the trace.
func (s *Sim) note(what string, fd int32, n int) {
	h := fnv.New64a()
	var b [8]byte
	for _, v := range []uint64{s.trace, uint64(s.clock.now), uint64(fd), uint64(n)} {
		for i := range b {
			b[i] = byte(v >> (8 * i))
		}
		_, _ = h.Write(b[:])
	}
	_, _ = io.WriteString(h, what)
	s.trace = h.Sum64()
	if s.opts.Log != nil {
		fmt.Fprintf(s.opts.Log, "%12v fd %3d %s %d\n", s.clock.now, fd, what, n)
	}
}

// Note adds the script's own events to the trace.
func (s *Sim) Note(what string, n int) { s.note(what, -1, n) }

// addr is an address of the simulated network.
type addr string

func (addr) Network() string  { return "sim" }
func (a addr) String() string { return string(a) }
