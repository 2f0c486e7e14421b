package tlswire

import "net"

// detach implements wire.Loop's Detach: the tls.Conn goes on above a descriptor of
// its own, with what has come and what has not left.
func (t *session) detach() (net.Conn, error) {
	moved, err := t.loop.Loop.Detach(t.socket)
	if err != nil {
		return nil, err
	}
	s := t.stream
	s.in = append([]byte(nil), t.held...)
	if t.unsent != nil {
		s.out = append([]byte(nil), t.unsent.p[t.unsent.sent:]...)
	}
	s.moved = moved
	t.drop()
	t.state = detached
	return t.conn, nil
}

// fetch waits for more bytes of a real stream.
func (s *stream) fetch() error {
	if len(s.in) == cap(s.in) {
		s.in = append(make([]byte, 0, max(2*len(s.in), minFetch)), s.in...)
	}
	n, err := s.moved.Read(s.in[len(s.in):cap(s.in)])
	s.in = s.in[:len(s.in)+n]
	if n > 0 {
		return nil
	}
	return err
}

const minFetch = 4 << 10

// writeMoved is Write to a real stream. What the loop could not send goes first.
func (s *stream) writeMoved(p []byte) (int, error) {
	if len(s.out) > 0 {
		if _, err := s.moved.Write(s.out); err != nil {
			return 0, err
		}
		s.out = nil
	}
	return s.moved.Write(p)
}
