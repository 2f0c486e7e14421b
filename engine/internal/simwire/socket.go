package simwire

import (
	"io"
	"os"
	"syscall"

	"github.com/headrace/headrace/engine/internal/wire"
)

// Socket is the server's end of a connection: gnet's connection and the
// kernel's socket in one.
type Socket struct {
	loop     *loop
	peer     *Peer
	owner    wire.Owner
	fd       int32
	state    state
	in       []byte // what has come and was not read
	eof      bool   // the peer has ended its half behind in
	broken   error  // the connection was reset
	written  int    // bytes that the kernel has taken, in all
	finSent  bool
	paused   bool
	resets   bool // its close resets the stream
	reading  bool // a read waits for its turn
	watching bool
	firing   bool // a Writable call is on its way
}

// state is where a socket is in its life.
type state uint8

const (
	waiting state = iota // in the accept queue
	opening              // inside Opened
	open
	closed
)

func (s *Socket) sim() *Sim { return s.loop.sim }

// Unsent is how many bytes the server has written and the peer has not read.
func (s *Socket) Unsent() int { return len(s.peer.out) }

// accept gives the socket to the engine.
func (s *Socket) accept() {
	sim, l := s.sim(), s.loop
	s.fd = sim.newFD(s)
	sim.note("accept", s.fd, l.index)
	if l.handler == nil {
		l.handler = sim.newHandler(l)
	}
	if s.peer.profile.Accepted != nil {
		s.peer.profile.Accepted()
	}
	s.state = opening
	l.turn(func() {
		owner := l.handler.Opened(wire.Socket{Ref: s, FD: s.fd}, s.peer.profile.Listener, addr("peer"))
		if (owner == nil) != (s.state == closed) {
			sim.misuse("fd %d: Opened gave an owner: %t, and has closed the socket: %t", s.fd, owner != nil, s.state == closed)
		}
		s.owner = owner
		if s.state == opening {
			s.state = open
		}
	})
	s.planRead()
}

// newFD gives the lowest free descriptor, as the kernel does.
func (s *Sim) newFD(sock *Socket) int32 {
	for fd, used := range s.fds {
		if used == nil {
			s.fds[fd] = sock
			return int32(fd)
		}
	}
	s.fds = append(s.fds, sock)
	return int32(len(s.fds) - 1)
}

// planRead plans a read, if there is something to read and none is planned.
func (s *Socket) planRead() {
	if s.reading || s.state != open || !s.readable() {
		return
	}
	s.reading = true
	s.sim().at(s.sim().upTo(s.peer.profile.ServerLag), s.loop, s.read)
}

func (s *Socket) readable() bool {
	if s.paused {
		return s.broken != nil
	}
	return len(s.in) > 0 || s.eof || s.broken != nil
}

// read is one read(2), and what gnet makes of it. At the end of the stream gnet
// closes at once.
func (s *Socket) read() {
	s.reading = false
	switch {
	case s.state != open || !s.readable():
		return
	case len(s.in) > 0 && !s.paused:
		n := s.cut()
		p := s.loop.buf[:n]
		copy(p, s.in)
		s.in = s.in[n:]
		s.sim().note("read", s.fd, n)
		s.loop.turn(func() { s.owner.Arrived(p) })
		for i := range p { // the next read would overwrite it
			p[i] = poison
		}
		s.planRead()
	case s.broken != nil && s.sim().rng.IntN(4) > 0:
		s.end(os.NewSyscallError("read", syscall.ECONNRESET))
	default: // also when a write has taken the error from the socket
		s.end(io.EOF)
	}
}

func (s *Socket) end(err error) {
	s.sim().note("end", s.fd, len(s.peer.out))
	s.loop.turn(func() { s.closed(err) })
}

// cut decides how much one read brings.
func (s *Socket) cut() int {
	all := min(len(s.in), len(s.loop.buf))
	if m := s.peer.profile.MaxRead; m > 0 {
		all = min(all, m)
	}
	least := 1
	if all > 4<<10 {
		least = all / 4 // a large message in tiny pieces would take too long
	}
	switch s.sim().rng.IntN(4) {
	case 0:
		return least + s.sim().rng.IntN(all-least+1)
	case 1:
		return min(all, least+s.sim().rng.IntN(8))
	default:
		return all
	}
}

// write is one write(2).
func (s *Socket) write(p []byte) (int, error) {
	sim, prof := s.sim(), &s.peer.profile
	switch {
	case prof.WriteError != nil && s.written >= prof.ErrorAfter:
		s.broken = prof.WriteError
		s.peer.note(s.broken)
		s.planRead()
		return 0, prof.WriteError
	case s.broken != nil:
		return 0, syscall.EPIPE
	}
	n := max(0, min(len(p), prof.SendBuffer-len(s.peer.out)))
	if n > 0 && s.state == open && sim.rng.IntN(20) == 0 {
		n = sim.rng.IntN(n + 1)
	}
	sim.note("write", s.fd, n)
	s.written += n
	s.peer.out = append(s.peer.out, p[:n]...)
	s.peer.planRead()
	return n, nil
}

// checkWatch plans the Writable call of an armed watch: when the socket has room
// again or is broken, and now and then for no reason.
func (s *Socket) checkWatch() {
	ready := len(s.peer.out) < s.peer.profile.SendBuffer || s.broken != nil || s.sim().rng.IntN(10) == 0
	if !s.watching || s.firing || !ready {
		return
	}
	s.firing = true
	s.sim().at(s.sim().taskLag(), nil, s.fire)
}

// fire is the watcher's goroutine: it takes the watch, and leaves a task for the
// loop. By the time that this runs, the connection may have ended; gnetwire
// calls Writable all the same.
func (s *Socket) fire() {
	if !s.watching || s.state != open {
		s.firing = false
		return
	}
	s.watching = false
	s.sim().at(s.sim().taskLag(), s.loop, s.writable)
}

func (s *Socket) writable() {
	s.firing = false
	if s.sim().stopped {
		return
	}
	s.sim().note("writable", s.fd, len(s.peer.out))
	s.loop.turn(s.owner.Writable)
	if s.state == open && !s.watching && !s.firing && s.sim().rng.IntN(20) == 0 {
		s.firing = true // once more, without need
		s.sim().at(s.sim().taskLag(), s.loop, func() {
			s.firing = false
			if s.state == open && !s.watching {
				s.loop.turn(s.owner.Writable)
			}
			s.checkWatch()
		})
	}
}

// closed ends the socket, inside a turn.
func (s *Socket) closed(err error) {
	s.state = closed
	s.watching = false
	if s.owner != nil {
		s.owner.Closed(err)
	}
	s.sim().fds[s.fd] = nil
	if len(s.in) > 0 || s.resets {
		s.peer.reset() // the kernel's answer to a close with unread input
		return
	}
	s.peer.planRead()
}
