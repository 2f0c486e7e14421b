package tlswire

import (
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/wire"
)

// loop is a wire.Loop for the engine and a wire.Handler for the transport. What
// it does not define is the inner loop's own: Now, NeedTicks and the wakeups.
type loop struct {
	// immutable
	wire.Loop
	backend *Backend
	handler wire.Handler
	mem     codec.Memory

	one [1][]byte // loop-only; scratch of Write

	mu       sync.Mutex
	reported []*session // those with news for the loop
}

func newLoop(b *Backend, inner wire.Loop, newHandler func(wire.Loop) wire.Handler) *loop {
	l := &loop{Loop: inner, backend: b, mem: heap{}}
	l.handler = newHandler(l)
	if h, ok := l.handler.(interface{ Memory() codec.Memory }); ok {
		l.mem = h.Memory()
	}
	return l
}

// heap is the memory of a handler that has none to lend.
type heap struct{}

func (heap) Get(n int) []byte { return make([]byte, 0, n) }
func (heap) Put([]byte)       {}

// Opened implements wire.Handler.
func (l *loop) Opened(s wire.Socket, listener int, remote net.Addr) wire.Owner {
	config := l.backend.configs[listener]
	if config == nil {
		return l.handler.Opened(s, listener, remote)
	}
	t := &session{
		loop: l, socket: s, config: config,
		stream: &stream{local: l.backend.bound[listener], remote: remote},
	}
	t.owner = l.handler.Opened(wire.Socket{Ref: t, FD: s.FD}, listener, remote)
	if t.owner == nil {
		t.state = ended
		return nil
	}
	return t
}

// Woken implements wire.Handler.
func (l *loop) Woken() {
	l.mu.Lock()
	reported := l.reported
	l.reported = nil
	l.mu.Unlock()
	for _, t := range reported {
		t.news()
	}
	l.handler.Woken()
}

// Tick implements wire.Handler.
func (l *loop) Tick(late time.Duration) { l.handler.Tick(late) }

// report has the loop call t.news. It is safe from any goroutine.
func (l *loop) report(t *session) {
	l.mu.Lock()
	l.reported = append(l.reported, t)
	first := len(l.reported) == 1
	l.mu.Unlock()
	if first {
		l.Wake()
	}
}

// Write implements wire.Loop.
func (l *loop) Write(s wire.Socket, p []byte) (int, error) {
	t, ok := s.Ref.(*session)
	if !ok {
		return l.Loop.Write(s, p)
	}
	l.one[0] = p
	n, err := t.write(l.one[:])
	l.one[0] = nil
	return n, err
}

// Writev implements wire.Loop.
func (l *loop) Writev(s wire.Socket, bufs [][]byte) (int, error) {
	if t, ok := s.Ref.(*session); ok {
		return t.write(bufs)
	}
	return l.Loop.Writev(s, bufs)
}

// Waiting implements wire.Loop.
func (l *loop) Waiting(s wire.Socket) int {
	if _, ok := s.Ref.(*session); ok {
		return 0
	}
	return l.Loop.Waiting(s)
}

// WatchWritable implements wire.Loop.
func (l *loop) WatchWritable(s wire.Socket) error {
	if t, ok := s.Ref.(*session); ok {
		t.wanted = true
		return t.watch()
	}
	return l.Loop.WatchWritable(s)
}

// PauseRead implements wire.Loop.
func (l *loop) PauseRead(s wire.Socket) error {
	if t, ok := s.Ref.(*session); ok {
		return t.pause()
	}
	return l.Loop.PauseRead(s)
}

// ResumeRead implements wire.Loop.
func (l *loop) ResumeRead(s wire.Socket) error {
	if t, ok := s.Ref.(*session); ok {
		return t.resume()
	}
	return l.Loop.ResumeRead(s)
}

// Unsent implements wire.Loop. Ciphertext that waits here is not counted: the owner
// has not been told that its text has left.
func (l *loop) Unsent(s wire.Socket) int {
	if t, ok := s.Ref.(*session); ok {
		return l.Loop.Unsent(t.socket)
	}
	return l.Loop.Unsent(s)
}

// CloseWrite implements wire.Loop.
func (l *loop) CloseWrite(s wire.Socket) error {
	if t, ok := s.Ref.(*session); ok {
		return t.closeWrite()
	}
	return l.Loop.CloseWrite(s)
}

// Close implements wire.Loop.
func (l *loop) Close(s wire.Socket) {
	if t, ok := s.Ref.(*session); ok {
		l.Loop.Close(t.socket)
		return
	}
	l.Loop.Close(s)
}

// Detach implements wire.Loop.
func (l *loop) Detach(s wire.Socket) (net.Conn, error) {
	if t, ok := s.Ref.(*session); ok {
		return t.detach()
	}
	return l.Loop.Detach(s)
}

// TLS tells how a connection is secured, nil for a plain one.
func (l *loop) TLS(s wire.Socket) *tls.ConnectionState {
	t, ok := s.Ref.(*session)
	if !ok || t.conn == nil {
		return nil
	}
	state := t.conn.ConnectionState()
	return &state
}
