package simwire

import (
	"bytes"
	"fmt"

	"github.com/headrace/headrace/engine/internal/wire"
)

// What the seam demands of its user, as far as it can be seen from below:
//
//   - loop-only methods are called inside a turn of that loop;
//   - a Socket is not used after Owner.Closed was called for it;
//   - nothing is written behind CloseWrite, which is called once;
//   - one watch is armed at a time;
//   - Opened gives an owner, or has closed the socket, and not both;
//   - a turn ends;
//   - what is written was not given back to the memory before.

// poison is what released memory and used read buffers are filled with. The
// engine's tests fill theirs with the same byte.
const poison = 0xDB

// maxCalls is how often a turn may call the seam.
const maxCalls = 1 << 18

var poisoned = bytes.Repeat([]byte{poison}, 16)

func (s *Sim) misuse(format string, args ...any) {
	what := fmt.Sprintf("misuse of the seam: "+format, args...)
	if s.opts.Misuse == nil {
		panic(what)
	}
	s.opts.Misuse(what)
}

// check is for every loop-only method.
func (l *loop) check(method string) {
	if n := len(l.sim.turns); n == 0 || l.sim.turns[n-1] != l {
		l.sim.misuse("%s outside of a turn of loop %d", method, l.index)
	}
	if l.calls++; l.calls > maxCalls {
		panic("misuse of the seam: " + method + " again and again in a turn that does not end")
	}
}

// use is check for a method on a socket, and finds it; nil after misuse.
func (l *loop) use(method string, s wire.Socket) *Socket {
	l.check(method)
	sock, ok := s.Ref.(*Socket)
	switch {
	case !ok || sock.fd != s.FD:
		l.sim.misuse("%s of something else than a socket: %+v", method, s)
	case sock.loop != l:
		l.sim.misuse("%s: fd %d belongs to loop %d, not to %d", method, s.FD, sock.loop.index, l.index)
	case sock.state == closed:
		l.sim.misuse("%s: fd %d was closed", method, s.FD)
	default:
		return sock
	}
	return nil
}

// checkWrite is for what is about to be written.
func (s *Socket) checkWrite(p []byte) {
	if s.finSent {
		s.sim().misuse("fd %d: Write behind CloseWrite", s.fd)
	}
	if bytes.Contains(p, poisoned) {
		s.sim().misuse("fd %d: Write of released memory", s.fd)
	}
}
