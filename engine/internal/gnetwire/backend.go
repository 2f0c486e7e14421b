// Package gnetwire carries connections on gnet's epoll loops. It is the only
// place of the project that knows gnet, and the only one that makes system
// calls on a connection's descriptor.
//
// gnet accepts and reads. Writing is ours: gnet's own outbound buffer has no
// limit and no "writable again" callback, so it is never used, and gnet never
// watches a connection for anything but reading.
package gnetwire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/engine/internal/wire"
)

// Options are the settings of a Backend.
type Options struct {
	Listeners  []Listener
	ReusePort  bool // others may listen on the same ports; there is no unix socket then
	Loops      int  // number of event loops, at least 1
	ReadBuffer int  // bytes that one read may bring; one buffer per loop
	Logger     *slog.Logger
}

// Backend implements wire.Backend on one gnet engine.
type Backend struct {
	gnet.BuiltinEventEngine

	opts       Options
	epoch      time.Time
	newHandler func(wire.Loop) wire.Handler
	ready      func([]net.Addr)
	watcher    watcher
	ticker     ticker
	names      []string  // of the listeners, for gnet
	bound      []bound   // valid once booted is closed
	deaf       sync.Once // guards stopListening

	client  *gnet.Client  // instead of engine, without listeners
	quit    chan struct{} // ends it
	engine  gnet.Engine
	options *gnet.Options // gnet's own, with ReusePort until OnBoot
	once    sync.Once     // guards the closing of booted
	booted  chan struct{}
	bootErr error // valid once booted is closed

	running chan struct{}    // closed when the loops run
	all     []gnet.EventLoop // of engine; valid once running is closed, as allErr
	allErr  error
	over    chan struct{} // closed when the loops have ended, or will never run

	turn      atomic.Uint32  // of the loops, in adopting
	enrolling sync.WaitGroup // the adoptions that gnet is at

	mu      sync.RWMutex
	loops   map[gnet.EventLoop]*loop // those that have had a connection
	stopped bool
}

// New prepares a Backend; Serve starts it.
func New(opts Options) *Backend {
	b := &Backend{
		opts:    opts,
		epoch:   time.Now(),
		booted:  make(chan struct{}),
		quit:    make(chan struct{}),
		running: make(chan struct{}),
		over:    make(chan struct{}),
		loops:   make(map[gnet.EventLoop]*loop),
	}
	b.watcher.logger = opts.Logger
	b.ticker.init()
	return b
}

// Serve implements wire.Backend. It is called once.
func (b *Backend) Serve(newHandler func(wire.Loop) wire.Handler, ready func([]net.Addr)) error {
	defer close(b.over)
	defer b.once.Do(func() { close(b.booted) }) // also when nothing could be bound
	b.newHandler, b.ready = newHandler, ready
	if err := b.watcher.start(); err != nil {
		return err
	}
	defer b.watcher.stop()
	defer b.ticker.stop()
	if len(b.opts.Listeners) == 0 {
		return b.serveClient()
	}
	if err := tryAll(b.opts.Listeners, b.opts.ReusePort); err != nil {
		return err
	}
	b.names = distinct(b.opts.Listeners)
	err := gnet.Rotate(b, b.names,
		gnet.WithNumEventLoop(b.opts.Loops),
		gnet.WithReadBufferCap(b.opts.ReadBuffer),
		gnet.WithReuseAddr(true),
		b.sharePort,
		gnet.WithTicker(true), // see OnTick
		gnet.WithTCPNoDelay(gnet.TCPNoDelay),
		gnet.WithLogger(gnetLogger{b.opts.Logger}),
	)
	b.stopListening()
	if err != nil {
		return err
	}
	return b.bootErr
}

// Stop implements wire.Backend. Before Serve has bound its listeners it waits
// for that.
func (b *Backend) Stop() {
	<-b.booted
	if b.client != nil {
		b.stopClient()
		return
	}
	if len(b.bound) > 0 && b.engine.Validate() == nil {
		b.stopListening()
		b.settleAccepted()
		// With a canceled context it only starts the end: its own way of waiting
		// polls twice a second, where Serve returns at once.
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = b.engine.Stop(ctx)
	}
}

// stopListening ends the listeners. Several ends of a server may come to it at once,
// and only one may: behind it their descriptors are somebody else's.
func (b *Backend) stopListening() {
	b.deaf.Do(func() {
		for _, at := range b.bound {
			at.withdraw()
			at.rescue.stop()
		}
	})
}

// settleAccepted lets the loops open the connections that were accepted before
// the listener was shut: gnet drops those that it finds in a loop's queue at the
// end, descriptor and all.
func (b *Backend) settleAccepted() {
	time.Sleep(acceptSettle) // the acceptor has passed on what it had
	b.mu.RLock()
	loops := slices.Collect(maps.Values(b.loops))
	b.mu.RUnlock()
	passed, posted := make(chan struct{}, len(loops)), 0
	for _, l := range loops {
		if l.post(gnet.RunnableFunc(func(context.Context) error { passed <- struct{}{}; return nil })) {
			posted++
		}
	}
	enough := time.After(acceptSettleMost) // a loop that has ended meanwhile runs nothing
	for range posted {
		select {
		case <-passed:
		case <-enough:
			return
		}
	}
}

const (
	acceptSettle     = 10 * time.Millisecond
	acceptSettleMost = time.Second
)

// OnBoot is gnet's callback after the listeners are bound and before the loops
// run.
func (b *Backend) OnBoot(e gnet.Engine) gnet.Action {
	if len(b.opts.Listeners) == 0 { // a client calls this before it has loops
		return gnet.None
	}
	defer b.once.Do(func() { close(b.booted) })
	b.engine = e
	b.acceptAlone()
	var addrs []net.Addr
	for i, asked := range b.opts.Listeners {
		at, err := readBack(e, b.names[i], asked, b.opts.Logger)
		if err != nil {
			b.bootErr = fmt.Errorf("read back the address of listener %s: %w", asked.Addr, err)
			return gnet.Shutdown
		}
		b.bound = append(b.bound, at)
		addrs = append(addrs, at.addr)
	}
	b.ready(addrs)
	return gnet.None
}

// OnTick is gnet's callback as soon as all its loops run. Nothing else says that. It
// asks for no second one: the ticks above the seam are the ticker's.
func (b *Backend) OnTick() (time.Duration, gnet.Action) {
	b.all, b.allErr = loopsOf(b.engine)
	close(b.running)
	return math.MaxInt64, gnet.None
}

// settleEnrolled waits for the adoptions that gnet is at. If a loop is stuck in a
// callback it gives up: that loop's end will come later.
func (b *Backend) settleEnrolled() {
	done := make(chan struct{})
	go func() { b.enrolling.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(acceptSettleMost):
	}
}

// OnShutdown is gnet's callback before it ends the loops: from here on nobody
// may wake one, because gnet closes the descriptor that a wakeup writes to. The
// adoptions that gnet is at come first: it waits for ever for a loop that has ended,
// with a descriptor in its hands.
func (b *Backend) OnShutdown(gnet.Engine) {
	b.mu.Lock()
	b.stopped = true
	b.mu.Unlock()
	b.settleEnrolled()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.loops {
		l.stop()
	}
}

// OnOpen is gnet's callback for a new connection, on its loop.
func (b *Backend) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	l := b.loopOf(c.EventLoop())
	s := wire.Socket{Ref: c, FD: int32(c.Fd())}
	switch own := c.Context().(type) {
	case *adoption:
		return nil, own.open(l, c, s)
	case *bell:
		return nil, gnet.None
	}
	if owner := l.handler.Opened(s, l.listenerOf(c), c.RemoteAddr()); owner != nil {
		c.SetContext(owner)
	}
	return nil, gnet.None
}

// OnTraffic is gnet's callback after a read. Everything is taken at once, so
// that gnet never allocates a buffer for what is left.
func (b *Backend) OnTraffic(c gnet.Conn) gnet.Action {
	p, err := c.Next(-1)
	if owner, ok := c.Context().(wire.Owner); ok && err == nil {
		owner.Arrived(p)
	}
	return gnet.None
}

// OnClose is gnet's callback before it closes the descriptor.
func (b *Backend) OnClose(c gnet.Conn, err error) gnet.Action {
	if owner, ok := c.Context().(wire.Owner); ok {
		b.watcher.forget(int32(c.Fd()))
		owner.Closed(whyClosed(int32(c.Fd()), err))
	}
	return gnet.None
}

// whyClosed gives the error of a connection that gnet closes. Where epoll tells of an
// error and of nothing to read, as it does of a reset while reading is paused, or in
// the moment in which the kernel is about to note one, gnet doesn't read: it says
// io.EOF, and the error is still at the socket.
func whyClosed(fd int32, err error) error {
	switch {
	case err == io.EOF: //nolint:errorlint // gnet's own word; that of a read is wrapped
		if errno, failed := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); failed == nil && errno != 0 {
			return unix.Errno(errno)
		}
		return err
	case errors.Is(err, io.EOF):
		return io.EOF // without gnet's wrapping, so that it compares
	default:
		return err
	}
}

// loopOf finds the loop of a gnet event loop, and makes it at its first
// connection.
func (b *Backend) loopOf(g gnet.EventLoop) *loop {
	b.mu.RLock()
	l := b.loops[g]
	b.mu.RUnlock()
	if l != nil {
		return l
	}
	l = newLoop(b, g)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.loops[g] = l
	if b.stopped {
		l.stop()
	} else {
		b.enrolling.Go(l.bell.hang)
	}
	return l
}
