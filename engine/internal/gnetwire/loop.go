package gnetwire

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/engine/internal/wire"
)

// loop implements wire.Loop on one gnet event loop.
type loop struct {
	backend   *Backend
	gnet      gnet.EventLoop
	handler   wire.Handler
	listeners map[net.Addr]int // loop-only; see listenerOf
	iov       []unix.Iovec     // loop-only; scratch of Writev
	ticks     bool             // loop-only; what NeedTicks said last
	bell      bell

	woken       gnet.Runnable // calls handler.Woken; made once
	ticked      gnet.Runnable // calls handler.Tick; made once
	tickPending atomic.Bool   // a tick waits to be run, so that a slow loop is not flooded
	tickedAt    atomic.Int64  // when it was posted

	mu      sync.RWMutex // held (shared) while waking, so that stop excludes it; guards bell.fd
	stopped bool
}

func newLoop(b *Backend, g gnet.EventLoop) *loop {
	l := &loop{backend: b, gnet: g, listeners: make(map[net.Addr]int)}
	l.bell = bell{loop: l, fd: -1}
	l.woken = gnet.RunnableFunc(func(context.Context) error {
		l.handler.Woken()
		return nil
	})
	l.ticked = gnet.RunnableFunc(func(context.Context) error {
		late := l.Now() - time.Duration(l.tickedAt.Load())
		l.tickPending.Store(false)
		if l.ticks {
			l.handler.Tick(late)
		}
		return nil
	})
	l.handler = b.newHandler(l)
	return l
}

// Now implements wire.Loop.
func (l *loop) Now() time.Duration { return time.Since(l.backend.epoch) }

// NeedTicks implements wire.Loop.
func (l *loop) NeedTicks(on bool) {
	if on == l.ticks {
		return
	}
	l.ticks = on
	l.backend.ticker.need(l, on)
}

// Wake implements wire.Loop.
func (l *loop) Wake() {
	if !l.ring() {
		l.post(l.woken)
	}
}

// WakeLater implements wire.Loop. gnet runs every waiting task, those included that a
// task has added, before it looks at its sockets again; the bell is one of those.
func (l *loop) WakeLater() {
	if !l.ring() {
		time.AfterFunc(wakeLater, l.Wake)
	}
}

// wakeLater is long enough for a task to return, where there is no bell.
const wakeLater = 50 * time.Microsecond

// ring has the bell ring. After the end of the loop there is none.
func (l *loop) ring() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.bell.ring()
}

func (l *loop) postTick() {
	if l.tickPending.CompareAndSwap(false, true) {
		l.tickedAt.Store(int64(l.Now()))
		l.post(l.ticked)
	}
}

// post runs r on the loop soon. After the end of the loop it does nothing, and says
// so: the connections that r would have served are closed by then.
func (l *loop) post(r gnet.Runnable) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return !l.stopped && l.gnet.Execute(context.Background(), r) == nil
}

func (l *loop) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	l.bell.takeDown()
}

// WatchWritable implements wire.Loop.
func (l *loop) WatchWritable(s wire.Socket) error {
	owner, ok := s.Ref.(gnet.Conn).Context().(wire.Owner)
	if !ok {
		return net.ErrClosed
	}
	return l.backend.watcher.watch(s.FD, l, owner)
}

// CloseWrite implements wire.Loop.
func (l *loop) CloseWrite(s wire.Socket) error {
	return os.NewSyscallError("shutdown", unix.Shutdown(int(s.FD), unix.SHUT_WR))
}

// Close implements wire.Loop. gnet calls OnClose before it returns.
func (l *loop) Close(s wire.Socket) { _ = l.gnet.Close(s.Ref.(gnet.Conn)) }

// Detach implements wire.Loop. The stream is a duplicate of the descriptor.
func (l *loop) Detach(s wire.Socket) (net.Conn, error) { return duplicate(uintptr(s.FD)) }
