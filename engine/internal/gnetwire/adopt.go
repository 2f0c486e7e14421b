package gnetwire

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/engine/internal/wire"
)

// serveClient carries adopted connections only.
func (b *Backend) serveClient() error {
	client, err := gnet.NewClient(b,
		gnet.WithNumEventLoop(b.opts.Loops),
		gnet.WithReadBufferCap(b.opts.ReadBuffer),
		gnet.WithTCPNoDelay(gnet.TCPNoDelay),
		gnet.WithLogger(gnetLogger{b.opts.Logger}),
	)
	if err != nil {
		return err
	}
	b.client = client
	if err := client.Start(); err != nil {
		return err
	}
	close(b.running)
	b.once.Do(func() { close(b.booted) })
	b.ready(nil)
	<-b.quit
	return client.Stop()
}

func (b *Backend) stopClient() {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.quit:
	default:
		close(b.quit)
	}
}

// Adopt implements wire.Backend.
func (b *Backend) Adopt(ctx context.Context, conn net.Conn, opened wire.Adopted) error {
	select {
	case <-b.running:
	case <-b.over:
		return net.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	a := &adoption{opened: opened, done: make(chan struct{})}
	enrolled, err := b.enroll(conn, a)
	if err != nil {
		return err
	}
	select {
	case err = <-enrolled:
	case <-b.over: // a loop that has broken
		err = net.ErrClosed
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if a.claim() {
		return cmp.Or(err, errNotOpened)
	}
	<-a.done
	_ = conn.Close()
	return nil
}

// enroll has gnet move conn onto a loop, and tells when gnet has done with it. gnet
// closes what it is given, and keeps a duplicate; so it is given a duplicate itself.
func (b *Backend) enroll(conn net.Conn, a *adoption) (<-chan error, error) {
	twin, err := twinOf(conn)
	if err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.stopped {
		_ = twin.Close()
		return nil, net.ErrClosed
	}
	enrolled := make(chan error, 1)
	b.enrolling.Go(func() { enrolled <- b.register(twin, a) })
	return enrolled, nil
}

// register returns when the connection is on a loop, or never will be. It takes
// ownership of twin.
func (b *Backend) register(twin net.Conn, a *adoption) error {
	if b.client != nil {
		_, err := b.client.EnrollContext(twin, a)
		return err
	}
	err := b.allErr
	if err == nil {
		loop := b.all[int(b.turn.Add(1))%len(b.all)]
		var registered <-chan gnet.RegisteredResult
		if registered, err = loop.Enroll(gnet.NewContext(context.Background(), a), twin); err == nil {
			return (<-registered).Err
		}
	}
	_ = twin.Close()
	return err
}

// adoption is a connection on its way to a loop. It is for who claims it first: the
// loop, or Adopt, which has given up.
type adoption struct {
	opened  wire.Adopted
	claimed atomic.Bool
	done    chan struct{} // closed when the loop has opened it
}

func (a *adoption) claim() bool { return a.claimed.CompareAndSwap(false, true) }

// open is called on the loop.
func (a *adoption) open(l *loop, c gnet.Conn, s wire.Socket) gnet.Action {
	c.SetContext(nil)
	c.SetSafeContext(nil) // where gnet keeps a, and with it the buffer of the handshake, too
	if !a.claim() {
		return gnet.Close
	}
	owner, begin := a.opened(l.handler, s, c.RemoteAddr())
	c.SetContext(owner)
	begin()
	close(a.done)
	return gnet.None
}

var (
	errForeign   = errors.New("gnetwire: this connection is no socket of the kernel's")
	errNotOpened = errors.New("gnetwire: the loop could not open the connection")
)

// twinOf gives a second net.Conn for the socket of conn.
func twinOf(conn net.Conn) (twin net.Conn, err error) {
	raw, ok := conn.(syscall.Conn)
	if !ok {
		return nil, errForeign
	}
	control, err := raw.SyscallConn()
	if err != nil {
		return nil, err
	}
	if failed := control.Control(func(fd uintptr) { twin, err = duplicate(fd) }); failed != nil || err != nil {
		return nil, cmp.Or(failed, err)
	}
	if twin.RemoteAddr() == nil { // gnet needs it
		_ = twin.Close()
		return nil, os.NewSyscallError("getpeername", unix.ENOTCONN) // the peer has reset it
	}
	if tcp, ok := twin.(*net.TCPConn); ok {
		_ = tcp.SetKeepAlive(false) // net.FileConn turns it on; on the loops there are heartbeats
	}
	return twin, nil
}

// duplicate gives a net.Conn for a duplicate of a descriptor.
func duplicate(fd uintptr) (net.Conn, error) {
	twin, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	f := os.NewFile(uintptr(twin), "connection")
	conn, err := net.FileConn(f) // duplicates once more
	return conn, errors.Join(err, f.Close())
}
