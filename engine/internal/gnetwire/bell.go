package gnetwire

import (
	"context"
	"net"
	"os"
	"unsafe"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// bell wakes a loop. It is one end of a pair of sockets, and the other end is a
// connection of the loop, whose owner the bell is: whoever writes a byte has the loop
// call Woken, when it comes to that socket. A task of gnet's would do the same for
// three allocations, and could not let the loop look at its other sockets first.
//
// A byte that is written before gnet has the other end waits there.
type bell struct {
	loop *loop
	fd   int // guarded by loop.mu; -1: there is none
}

var stroke byte

// hang makes the bell. Until gnet has it, and for good if there are no descriptors for
// it, the loop is woken by tasks.
func (b *bell) hang() {
	if err := b.connect(); err != nil {
		b.loop.backend.opts.Logger.Debug("a loop is woken by tasks", "err", err)
	}
}

func (b *bell) connect() error {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	f := os.NewFile(uintptr(ends[1]), "bell")
	conn, err := net.FileConn(f) // duplicates it
	_ = f.Close()
	if err == nil {
		err = b.enroll(conn)
	}
	if err != nil {
		_ = unix.Close(ends[0])
		return err
	}
	b.loop.mu.Lock()
	defer b.loop.mu.Unlock()
	if b.loop.stopped {
		return unix.Close(ends[0])
	}
	b.fd = ends[0]
	return nil
}

// enroll takes ownership of conn.
func (b *bell) enroll(conn net.Conn) error {
	enrolled, err := b.loop.gnet.Enroll(gnet.NewContext(context.Background(), b), conn)
	if err != nil {
		_ = conn.Close()
		return err
	}
	select {
	case r := <-enrolled:
		return r.Err
	case <-b.loop.backend.over: // the loop has broken
		return net.ErrClosed
	}
}

// ring has the loop call Woken, and says whether there is a bell. It is called with
// loop.mu held, shared.
func (b *bell) ring() bool {
	if b.fd < 0 {
		return false
	}
	_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(b.fd), uintptr(unsafe.Pointer(&stroke)), 1)
	return errno == 0 || errno == unix.EAGAIN // it is full of strokes
}

// takeDown ends the bell. It is called with loop.mu held.
func (b *bell) takeDown() {
	if b.fd >= 0 {
		_ = unix.Close(b.fd)
		b.fd = -1
	}
}

// Arrived implements wire.Owner.
func (b *bell) Arrived([]byte) { b.loop.handler.Woken() }

// Closed implements wire.Owner.
func (b *bell) Closed(error) {
	b.loop.mu.Lock()
	defer b.loop.mu.Unlock()
	b.takeDown()
}

// Writable implements wire.Owner. Nothing asks for it.
func (*bell) Writable() {}

// Moved implements wire.Owner. Nothing calls it.
func (*bell) Moved(bool) {}

// Broken implements wire.Owner. Nothing calls it.
func (*bell) Broken(error) {}
