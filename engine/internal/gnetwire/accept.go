package gnetwire

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
)

// acceptFailed takes the place of gnet's ErrAcceptSocket. gnet ends the whole
// engine when errors.Is finds that error after an accept(2) that failed, be it
// only for a lack of descriptors. This one is never found, because a type that
// cannot be compared is equal to nothing; and because errors.Is asks an error's
// own Is method, it hears of each failure.
type acceptFailed []func()

func (acceptFailed) Error() string { return "accept failed" }

// Is is called by gnet's errors.Is(err, ErrAcceptSocket), once per failure.
func (acceptFailed) Is(target error) bool {
	if _, ok := target.(acceptFailed); ok {
		acceptFailures.Add(1)
	}
	return false
}

// acceptFailures counts the failed accepts of all engines of the process: gnet
// does not say whose it was, and a lack of descriptors is everybody's.
var acceptFailures atomic.Uint64

func init() { gneterrors.ErrAcceptSocket = acceptFailed{} }

// rescueInterval is how soon after a failed accept the waiting connections are
// tried again, and the least time between two log lines about it.
const (
	rescueInterval = 100 * time.Millisecond
	rescueLogEvery = 10 * time.Second
)

// acceptRescue makes an engine accept again after accept(2) has failed. gnet
// watches its listener edge-triggered, so the connections that wait in the
// kernel's queue stay there until another one arrives. The rescue is that other
// one: a connection to our own listener, made once a descriptor is free again.
type acceptRescue struct {
	bound  net.Addr
	logger *slog.Logger
	quit   chan struct{}
	once   sync.Once
	done   chan struct{}
}

func newAcceptRescue(bound net.Addr, logger *slog.Logger) *acceptRescue {
	r := &acceptRescue{bound: bound, logger: logger, quit: make(chan struct{}), done: make(chan struct{})}
	go r.run()
	return r
}

func (r *acceptRescue) stop() {
	if r == nil {
		return
	}
	r.once.Do(func() { close(r.quit) })
	<-r.done
}

func (r *acceptRescue) run() {
	defer close(r.done)
	tick := time.NewTicker(rescueInterval)
	defer tick.Stop()
	seen := acceptFailures.Load()
	var logged time.Time
	for {
		select {
		case <-r.quit:
			return
		case <-tick.C:
		}
		failures := acceptFailures.Load()
		if failures == seen {
			continue
		}
		if time.Since(logged) >= rescueLogEvery {
			logged = time.Now()
			r.logger.Error("accepting connections failed; they wait until descriptors are free (raise RLIMIT_NOFILE, or lower MaxConns)",
				"failures", failures)
		}
		if r.nudge() {
			seen = failures
		}
	}
}

// nudge connects to our own listener and hangs up.
func (r *acceptRescue) nudge() bool {
	c, err := net.DialTimeout(r.bound.Network(), reachable(r.bound), time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// reachable turns the address of a listener into one to connect to.
func reachable(bound net.Addr) string {
	tcp, ok := bound.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return bound.String()
	}
	return net.JoinHostPort("localhost", fmt.Sprint(tcp.Port))
}

// boundAddr reads the address that the engine's listener got, which is the only
// way to learn the port behind ":0".
func boundAddr(e gnet.Engine) (net.Addr, error) {
	fd, err := e.Dup()
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close() //nolint:errcheck // a duplicate that nothing was written to
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	defer ln.Close() //nolint:errcheck // a duplicate too
	return ln.Addr(), nil
}
