package tlswire

import (
	"net"
	"time"
)

// stream is the net.Conn under a tls.Conn, in memory. It belongs to one at a
// time: to the handshake's coroutine, then to the loop, and after Detach, or before
// Adopt, to whoever has the connection.
//
// It gives one record at a time, so that crypto/tls never holds a part of the
// next one.
type stream struct {
	local, remote net.Addr
	shaking       *handshake // while it is under way: who to ask for more
	in            []byte     // has come, and was not read
	left          int        // bytes of in that belong to the record being read
	out           []byte     // was written
	moved         net.Conn   // the real stream: after Detach, and before Adopt
}

// wouldBlock says that there is nothing to read now. crypto/tls takes a temporary
// error for what it is once the handshake is done.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "nothing has come" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

// Read implements net.Conn.
func (s *stream) Read(p []byte) (int, error) {
	for s.left == 0 {
		if s.left = recordSize(s.in); s.left > 0 {
			break
		}
		switch h := s.shaking; {
		case s.moved != nil:
			if err := s.fetch(); err != nil {
				return 0, err
			}
		case h == nil:
			return 0, wouldBlock{}
		default:
			if err := h.more(s); err != nil {
				return 0, err
			}
		}
	}
	n := copy(p, s.in[:s.left])
	s.in, s.left = s.in[n:], s.left-n
	if h := s.shaking; h != nil {
		if h.taken += n; h.taken > h.most {
			return 0, errTooMuch
		}
	}
	return n, nil
}

// Write implements net.Conn. It takes everything: an error would be final.
func (s *stream) Write(p []byte) (int, error) {
	if s.moved != nil {
		return s.writeMoved(p)
	}
	s.out = append(s.out, p...)
	return len(p), nil
}

// Close implements net.Conn. The end of the socket is the loop's.
func (s *stream) Close() error {
	if s.moved != nil {
		return s.moved.Close()
	}
	return nil
}

// LocalAddr implements net.Conn. Before Detach it is the listener's.
func (s *stream) LocalAddr() net.Addr {
	if s.moved != nil {
		return s.moved.LocalAddr()
	}
	return s.local
}

// RemoteAddr implements net.Conn.
func (s *stream) RemoteAddr() net.Addr { return s.remote }

// SetDeadline implements net.Conn. On the loop nothing blocks.
func (s *stream) SetDeadline(t time.Time) error {
	if s.moved != nil {
		return s.moved.SetDeadline(t)
	}
	return nil
}

// SetReadDeadline implements net.Conn.
func (s *stream) SetReadDeadline(t time.Time) error {
	if s.moved != nil {
		return s.moved.SetReadDeadline(t)
	}
	return nil
}

// SetWriteDeadline implements net.Conn.
func (s *stream) SetWriteDeadline(t time.Time) error {
	if s.moved != nil {
		return s.moved.SetWriteDeadline(t)
	}
	return nil
}
