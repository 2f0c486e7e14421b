package pubsub

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// drain reads from sockets and throws away what it gets.
type drain struct {
	epoll int
	stop  [2]int
	done  chan struct{}
	kept  []*net.TCPConn
}

func newEpollDrain() (*drain, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	d := &drain{epoll: fd, done: make(chan struct{})}
	if err := unix.Pipe2(d.stop[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	d.watch(d.stop[0])
	go d.run()
	return d, nil
}

func (d *drain) watch(fd int) {
	_ = unix.EpollCtl(d.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (d *drain) addConn(c *net.TCPConn) {
	d.kept = append(d.kept, c)
	raw, err := c.SyscallConn()
	if err == nil {
		_ = raw.Control(func(fd uintptr) { d.watch(int(fd)) })
	}
}

func (d *drain) run() {
	defer close(d.done)
	events := make([]unix.EpollEvent, 512)
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.EpollWait(d.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return
		}
		for _, e := range events[:max(n, 0)] {
			if int(e.Fd) == d.stop[0] {
				return
			}
			if n, _ := unix.Read(int(e.Fd), buf); n <= 0 {
				_ = unix.EpollCtl(d.epoll, unix.EPOLL_CTL_DEL, int(e.Fd), nil)
			}
		}
	}
}

func (d *drain) close() {
	_ = unix.Close(d.stop[1]) // the other end becomes readable
	<-d.done
	_ = unix.Close(d.epoll)
	_ = unix.Close(d.stop[0])
}
