package main

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/bench/peers/clock"
	"github.com/headrace/headrace/bench/peers/process"
)

// audience is all subscribers of a server, and one epoll for them.
type audience struct {
	epoll  int
	fds    []int
	frames []frames
	buf    []byte
	events []unix.EpollEvent
	sleeps bool // wait in epoll_wait, so that a write that brings something has to wake this core

	messages uint64 // received, of all
	reads    uint64 // that have brought something

	// heard, if not nil, is told of each message and when it was read.
	heard func(number uint64, due, at int64)
}

func newAudience(addr string, n int) (*audience, error) {
	a := &audience{epoll: -1, frames: make([]frames, n), buf: make([]byte, 256<<10), events: make([]unix.EpollEvent, 512)}
	err := a.open(addr, n)
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

func (a *audience) open(addr string, n int) (err error) {
	if a.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if a.fds, err = process.Dial(addr, n); err != nil {
		return err
	}
	for i, fd := range a.fds {
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)} // Fd is what comes back
		if err := unix.EpollCtl(a.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			return err
		}
	}
	return nil
}

func (a *audience) close() {
	for _, fd := range a.fds {
		_ = unix.Close(fd)
	}
	if a.epoll >= 0 {
		_ = unix.Close(a.epoll)
	}
}

// receive reads until so many messages have come in all, or until a time. all says
// which; an error is of a connection.
func (a *audience) receive(messages uint64, until int64) (all bool, err error) {
	for a.messages < messages {
		left := until - clock.Now()
		if left <= 0 {
			return false, nil
		}
		n, errno := a.wait(left)
		if errno != 0 && errno != unix.EINTR {
			return false, fmt.Errorf("epoll_wait: %w", errno)
		}
		for i := range n {
			if err := a.read(int(a.events[i].Fd)); err != nil {
				return false, fmt.Errorf("subscriber %d: %w", a.events[i].Fd, err)
			}
		}
	}
	return true, nil
}

// wait gives how many connections have something: of those that have it now, unless the
// audience sleeps.
func (a *audience) wait(left int64) (n int, errno unix.Errno) {
	if a.sleeps {
		n, err := unix.EpollWait(a.epoll, a.events, int(left/int64(time.Millisecond))+1)
		errno, _ = err.(unix.Errno) //nolint:errorlint // nothing else comes from there
		return max(n, 0), errno
	}
	got, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_WAIT, uintptr(a.epoll), uintptr(unsafe.Pointer(&a.events[0])), uintptr(len(a.events)), 0, 0, 0)
	if errno != 0 {
		got = 0
	}
	return int(got), errno
}

// say sends a text message from the first subscriber. The mask is of zeros: what counts
// is that the server has to unmask.
func (a *audience) say(text string) error {
	frame := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...) // RFC 6455 section 5.2; less than 126 bytes
	n, err := unix.Write(a.fds[0], frame)
	if err == nil && n < len(frame) {
		err = unix.EAGAIN
	}
	if err != nil {
		return fmt.Errorf("order %q: %w", text, err)
	}
	return nil
}

func (a *audience) read(i int) error {
	n, errno := readNow(a.fds[i], a.buf)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return nil
	case errno != 0:
		return errno
	case n == 0:
		return fmt.Errorf("the server has closed the connection after %d messages", a.frames[i].next)
	}
	var heard func(number uint64, due int64)
	if a.heard != nil {
		at := clock.Now()
		heard = func(number uint64, due int64) { a.heard(number, due, at) }
	}
	messages, err := a.frames[i].read(a.buf[:n], heard)
	a.reads++
	a.messages += uint64(messages)
	return err
}

// readNow reads a socket that does not block, without telling Go's scheduler.
func readNow(fd int, p []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	return int(n), errno
}
