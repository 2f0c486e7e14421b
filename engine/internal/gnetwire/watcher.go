package gnetwire

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/engine/internal/wire"
)

// watcher tells when a socket takes bytes again. It is a second epoll set of
// one-shot EPOLLOUT watches, with one goroutine that waits on it. A set of its own is
// needed because gnet acts on EPOLLOUT itself and has no callback for it. It is made
// before anybody connects: when the first socket is full there may be no descriptors
// left.
type watcher struct {
	logger *slog.Logger

	mu      sync.Mutex
	watches map[int32]watch
	epfd    int
	wakefd  int // an eventfd in the set; a write to it ends the goroutine
	running bool
	done    chan struct{}
}

// watch is one socket that waits for room.
type watch struct {
	loop  *loop
	owner wire.Owner
	known bool // the set holds the descriptor already, disarmed
	armed bool
}

// watch arms one Writable call. Loop-only.
func (w *watcher) watch(fd int32, l *loop, owner wire.Owner) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.running {
		return net.ErrClosed
	}
	op := unix.EPOLL_CTL_ADD
	if w.watches[fd].known {
		op = unix.EPOLL_CTL_MOD
	}
	ev := unix.EpollEvent{Fd: fd, Events: unix.EPOLLOUT | unix.EPOLLONESHOT}
	if err := unix.EpollCtl(w.epfd, op, int(fd), &ev); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	w.watches[fd] = watch{loop: l, owner: owner, known: true, armed: true}
	return nil
}

// forget removes a descriptor that is about to be closed. Loop-only.
func (w *watcher) forget(fd int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watches[fd].known {
		_ = unix.EpollCtl(w.epfd, unix.EPOLL_CTL_DEL, int(fd), nil)
		delete(w.watches, fd)
	}
}

// start makes the set and its goroutine.
func (w *watcher) start() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	wakefd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epfd)
		return os.NewSyscallError("eventfd", err)
	}
	ev := unix.EpollEvent{Fd: int32(wakefd), Events: unix.EPOLLIN}
	if err := unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, wakefd, &ev); err != nil {
		_, _ = unix.Close(epfd), unix.Close(wakefd)
		return os.NewSyscallError("epoll_ctl", err)
	}
	w.epfd, w.wakefd, w.running = epfd, wakefd, true
	w.watches = make(map[int32]watch)
	w.done = make(chan struct{})
	go w.run()
	return nil
}

// stop ends the goroutine and closes the set.
func (w *watcher) stop() {
	w.mu.Lock()
	running := w.running
	w.running = false
	clear(w.watches)
	w.mu.Unlock()
	if !running {
		return
	}
	_, _ = unix.Write(w.wakefd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-w.done
	_, _ = unix.Close(w.epfd), unix.Close(w.wakefd)
}

func (w *watcher) run() {
	defer close(w.done)
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(w.epfd, events, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			w.logger.Error("waiting for writable sockets failed", "err", err)
			return
		}
		batches, stop := w.take(events[:n])
		for l, owners := range batches {
			l.post(gnet.RunnableFunc(func(context.Context) error {
				for _, o := range owners {
					o.Writable()
				}
				return nil
			}))
		}
		if stop {
			return
		}
	}
}

// take sorts the owners of writable sockets by loop, so that each loop is woken
// once.
func (w *watcher) take(events []unix.EpollEvent) (batches map[*loop][]wire.Owner, stop bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	batches = make(map[*loop][]wire.Owner)
	for _, ev := range events {
		if ev.Fd == int32(w.wakefd) {
			stop = true
			continue
		}
		if one := w.watches[ev.Fd]; one.armed {
			one.armed = false
			w.watches[ev.Fd] = one
			batches[one.loop] = append(batches[one.loop], one.owner)
		}
	}
	return batches, stop
}
