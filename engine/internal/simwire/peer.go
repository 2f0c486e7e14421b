package simwire

import (
	"io"
	"syscall"
	"time"
)

// Profile is how one connection's network and the kernels at its ends behave.
type Profile struct {
	Listener   int           // index of the address that the peer connects to
	AcceptLag  time.Duration // until the server accepts
	NoAccept   bool          // the server never does
	ServerLag  time.Duration // the most that it takes until the server reads
	PeerLag    time.Duration // the most that it takes until the peer reads
	MaxRead    int           // the most that one read of the server brings; 0: the read buffer
	MaxPeer    int           // the most that one read of the peer brings; 0: all
	SendBuffer int           // bytes that may be between the server's write and the peer's read
	WriteError error         // what the server's writes give from byte ErrorAfter on
	ErrorAfter int

	Accepted func()         // called before the server is told of the connection; may be nil
	Data     func(p []byte) // the peer has read p, valid until it returns
	End      func(err error)
}

// Peer is the other end of a connection. Its methods are called outside of the
// loops.
type Peer struct {
	profile Profile
	socket  *Socket
	out     []byte // written by the server, not read by the peer
	reading bool   // a read waits
	halted  bool   // reads no more
	ended   bool   // the peer's socket is closed, or End was called
	sentFin bool
	failed  error // what the next read gives, behind out
}

// Dial begins a connection.
func (s *Sim) Dial(profile Profile) *Peer {
	p := &Peer{profile: profile}
	p.socket = &Socket{loop: s.loops[s.rng.IntN(len(s.loops))], peer: p, fd: -1}
	if !profile.NoAccept {
		s.at(s.upTo(profile.AcceptLag), p.socket.loop, p.socket.accept)
	}
	return p
}

// Sent is how many bytes the server has written so far.
func (p *Peer) Sent() int { return p.socket.written }

// Unread is how many bytes of the peer the server has not read.
func (p *Peer) Unread() int { return len(p.socket.in) }

// Accepted says whether the server has got the connection.
func (p *Peer) Accepted() bool { return p.socket.state != waiting }

// Write sends bytes to the server.
func (p *Peer) Write(b []byte) {
	switch {
	case p.ended || p.sentFin:
	case p.socket.state == closed:
		p.reset()
	default:
		p.socket.in = append(p.socket.in, b...)
		p.socket.planRead()
	}
}

// CloseWrite ends the peer's half of the stream.
func (p *Peer) CloseWrite() {
	if !p.ended && !p.sentFin {
		p.sentFin = true
		p.socket.eof = true
		p.socket.planRead()
	}
}

// Close closes the peer's socket. What the server writes afterwards is answered
// with a reset.
func (p *Peer) Close() {
	if p.ended {
		return
	}
	unread := len(p.out) > 0
	p.CloseWrite()
	p.ended, p.out = true, nil
	if unread {
		p.breakOff()
	} else if p.socket.state != closed {
		// A later write finds the peer gone.
		p.profile.WriteError, p.profile.ErrorAfter = syscall.EPIPE, p.socket.written+1
	}
	p.socket.checkWatch()
}

// Reset breaks the connection off. What was on its way to the server may be
// lost.
func (p *Peer) Reset() {
	if p.ended {
		return
	}
	p.ended, p.out = true, nil
	p.breakOff()
}

func (p *Peer) breakOff() {
	s := p.socket
	if s.state == closed {
		return
	}
	s.broken = syscall.ECONNRESET
	if s.sim().rng.IntN(2) == 0 {
		s.in = nil
	}
	s.planRead()
	s.checkWatch()
}

// Halt makes the peer read no more.
func (p *Peer) Halt() { p.halted = true }

// Resume makes it read again.
func (p *Peer) Resume() {
	p.halted = false
	p.planRead()
}

// note tells the peer that the connection broke.
func (p *Peer) note(err error) {
	p.failed = err
	p.planRead()
}

// reset is the server's kernel breaking off: some of what is on its way to the
// peer may be lost.
func (p *Peer) reset() {
	if s := p.socket.sim(); len(p.out) > 0 && s.rng.IntN(2) == 0 {
		p.out = p.out[:s.rng.IntN(len(p.out))]
	}
	p.note(syscall.ECONNRESET)
}

// planRead plans a read of the peer, if there is something to read and none is
// planned.
func (p *Peer) planRead() {
	if p.reading || p.halted || p.ended || !p.readable() {
		return
	}
	p.reading = true
	s := p.socket.sim()
	s.at(s.upTo(p.profile.PeerLag), nil, p.read)
}

func (p *Peer) readable() bool {
	return len(p.out) > 0 || p.failed != nil || p.socket.finSent || p.socket.state == closed
}

func (p *Peer) read() {
	p.reading = false
	if p.halted || p.ended || !p.readable() {
		return
	}
	if len(p.out) == 0 {
		err := p.failed
		if err == nil {
			err = io.EOF
		}
		p.halted = true // there is nothing more to read; its own half it has still
		p.profile.End(err)
		return
	}
	n := len(p.out)
	if m := p.profile.MaxPeer; m > 0 && n > m {
		n = 1 + p.socket.sim().rng.IntN(m)
	}
	b := p.out[:n]
	p.out = p.out[n:]
	p.profile.Data(b)
	p.socket.checkWatch()
	p.planRead()
}

// FD is the server's descriptor of the connection, -1 before it has one. It is
// what the log calls the connection.
func (p *Peer) FD() int { return int(p.socket.fd) }
