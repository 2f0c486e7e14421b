package bench

import (
	"net"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// rawServer is a server whose connections are looked after one by one, and which can die.
type rawServer struct {
	url      string
	listener net.Listener

	mu     sync.Mutex
	conns  []net.Conn
	opened int
	dead   bool
}

// serveRaw starts one. each runs on a goroutine of its own, with the number of the
// connection; the connection is closed when it returns.
func serveRaw(t *testing.T, each func(n int, conn net.Conn)) *rawServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{url: "ws://" + l.Addr().String() + "/", listener: l}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n, ok := s.keep(conn)
			if !ok {
				continue
			}
			all.Go(func() {
				defer conn.Close()
				if _, err := ws.Upgrade(conn); err == nil {
					s.mu.Lock()
					s.opened++
					s.mu.Unlock()
					each(n, conn)
				}
			})
		}
	})
	t.Cleanup(func() { s.die(); all.Wait() })
	return s
}

// keep takes a new connection in, unless the server is dead.
func (s *rawServer) keep(conn net.Conn) (n int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		_ = conn.Close()
		return 0, false
	}
	s.conns = append(s.conns, conn)
	return len(s.conns) - 1, true
}

// die is what a crash looks like from outside: nobody listens, and all connections are
// reset.
func (s *rawServer) die() {
	_ = s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = true
	for _, c := range s.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
}

// polite answers control frames, and says nothing else.
func polite(conn net.Conn) {
	for {
		if _, _, err := wsutil.ReadClientData(conn); err != nil {
			return
		}
	}
}

// sink reads and says nothing at all, until the other side ends.
func sink(conn net.Conn) {
	var p [512]byte
	for {
		if _, err := conn.Read(p[:]); err != nil {
			return
		}
	}
}
