package gnetwire

import (
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"golang.org/x/sys/unix"
)

// acceptFailed takes the place of gnet's ErrAcceptSocket. gnet ends the whole
// engine when errors.Is finds that error after an accept(2) that failed, be it
// only for a lack of descriptors. This one is never found, because a type that
// cannot be compared is equal to nothing; and because errors.Is asks an error's
// own Is method, it hears of each failure.
type acceptFailed []func()

func (acceptFailed) Error() string { return "accept failed" }

// Is is called by gnet's errors.Is(err, ErrAcceptSocket), once per failure. gnet
// does not say whose failure it was, and a lack of descriptors is everybody's:
// all rescues of the process hear of it.
func (acceptFailed) Is(target error) bool {
	if _, ok := target.(acceptFailed); ok {
		rescues.Range(func(r, _ any) bool {
			select {
			case r.(*acceptRescue).failed <- struct{}{}:
			default:
			}
			return true
		})
	}
	return false
}

// rescues has the acceptRescue of every listener of the process.
var rescues sync.Map

func init() { gneterrors.ErrAcceptSocket = acceptFailed{} }

// The time between two attempts to make accept work again, and the least time
// between two log lines about it.
const (
	rescueInterval = 100 * time.Millisecond
	rescueLogEvery = 10 * time.Second
)

// acceptRescue makes a listener accept again after accept(2) has failed. gnet
// watches its listener edge-triggered, so the connections that wait in the
// kernel's queue stay there until another one arrives. The rescue is that other
// one: a connection to our own listener, made once a descriptor is free again.
// When the queue is full, so that nobody can arrive, it first takes one that
// waits out of it.
type acceptRescue struct {
	bound    net.Addr
	listener int // a duplicate of gnet's descriptor
	logger   *slog.Logger
	failed   chan struct{} // accept has failed; capacity 1
	quit     chan struct{}
	done     chan struct{}
}

// newAcceptRescue takes ownership of listener.
func newAcceptRescue(listener int, bound net.Addr, logger *slog.Logger) *acceptRescue {
	r := &acceptRescue{
		bound: bound, listener: listener, logger: logger,
		failed: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	rescues.Store(r, nil)
	go r.run()
	return r
}

// stop ends the rescue, and the listener with it: what waits in the kernel's queue
// is reset, and nobody else gets in. It is called once.
func (r *acceptRescue) stop() {
	_ = unix.Shutdown(r.listener, unix.SHUT_RD)
	rescues.Delete(r)
	close(r.quit)
	<-r.done
	_ = unix.Close(r.listener)
}

func (r *acceptRescue) run() {
	defer close(r.done)
	var logged time.Time
	for {
		select {
		case <-r.quit:
			return
		case <-r.failed:
		}
		for nudged := false; !nudged; {
			// The pause comes first: a nudge needs a descriptor too, and takes it
			// from the connection that it is for.
			select {
			case <-r.quit:
				return
			case <-time.After(rescueInterval):
			}
			switch {
			case !r.nudge():
				r.turnAwayOne()
				logged = r.complain(logged)
			case r.waits(): // another process that shares the port has got the nudge, or accept has failed again
			default:
				nudged = true
			}
		}
	}
}

// complain logs that accept fails, unless it has done so shortly before.
func (r *acceptRescue) complain(last time.Time) time.Time {
	if time.Since(last) < rescueLogEvery {
		return last
	}
	r.logger.Error("accepting connections fails; they wait until descriptors are free (raise RLIMIT_NOFILE, or lower MaxConns)")
	return time.Now()
}

// nudge connects to our own listener and hangs up.
func (r *acceptRescue) nudge() bool {
	c, err := net.DialTimeout(r.bound.Network(), reachable(r.bound), rescueInterval)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// waits says whether there still are connections in the kernel's queue after a
// moment.
func (r *acceptRescue) waits() bool {
	for range 10 {
		queue := []unix.PollFd{{Fd: int32(r.listener), Events: unix.POLLIN}}
		if n, err := unix.Poll(queue, 0); n == 0 || err != nil {
			return false
		}
		time.Sleep(acceptSettle / 5)
	}
	return true
}

// turnAwayOne takes a waiting connection out of the kernel's queue, and hangs up.
func (r *acceptRescue) turnAwayOne() {
	if fd, _, err := unix.Accept4(r.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC); err == nil {
		_ = unix.Close(fd)
	}
}

// reachable turns the address of a listener into one to connect to.
func reachable(bound net.Addr) string {
	tcp, ok := bound.(*net.TCPAddr)
	switch {
	case !ok || !tcp.IP.IsUnspecified():
		return bound.String()
	case tcp.IP.To4() != nil:
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	default:
		return net.JoinHostPort("::1", strconv.Itoa(tcp.Port))
	}
}
