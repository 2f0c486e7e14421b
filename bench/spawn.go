package bench

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/bench/host"
	"github.com/headrace/headrace/engine"
)

// Command is a server to start: a program with its arguments, not for a shell.
type Command struct {
	Args []string
	CPUs host.CPUs // that it may use; none: any

	Start time.Duration // how long until it accepts a handshake; zero means 15 s
	Stop  time.Duration // how long from SIGTERM to SIGKILL; zero means 5 s
}

// spawned is a server that was started, with its process group. Safe from any goroutine.
type spawned struct {
	cmd   *exec.Cmd
	stop  time.Duration
	last  lastWords
	ended chan struct{} // closed when the process is gone, and its group with it

	mu     sync.Mutex
	reaped bool // its number may be another's
	err    error
}

// start starts the server of a target, and returns when it accepts a handshake. stop
// must be called if there is no error.
func (c Command) start(ctx context.Context, t *Target) (*spawned, error) {
	setIfZero(&c.Start, 15*time.Second)
	setIfZero(&c.Stop, 5*time.Second)
	if t.accepts(ctx) == nil {
		return nil, fmt.Errorf("%s is answered before %q is started: end what listens there", t.shown(), c.Args[0])
	}
	s := &spawned{stop: c.Stop, ended: make(chan struct{})}
	s.cmd = exec.Command(c.Args[0], c.Args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = &s.last, &s.last
	s.cmd.WaitDelay = time.Second // for a pipe that a stranger holds
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go s.live(c.CPUs, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%q cannot be started: %w", c.Args[0], err)
	}
	if err := s.await(ctx, t, c.Start); err != nil {
		s.end()
		return nil, fmt.Errorf("%q %w%s", c.Args[0], err, s.last.quote())
	}
	return s, nil
}

// live starts the process and sees to its end. It keeps its thread, and ends it: the
// process inherits the thread's processors, and is killed when the thread dies.
func (s *spawned) live(cpus host.CPUs, started chan<- error) {
	runtime.LockOSThread()
	err := cpus.Pin()
	if err == nil {
		err = s.cmd.Start()
	}
	started <- err
	if err != nil {
		return
	}
	// Until Wait the process is a zombie at least, and its number names its group.
	for unix.Waitid(unix.P_PID, s.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR { //nolint:revive // again
	}
	s.mu.Lock()
	_ = unix.Kill(-s.cmd.Process.Pid, unix.SIGKILL)
	s.reaped = true
	s.err = s.cmd.Wait()
	s.mu.Unlock()
	close(s.ended)
}

// signal sends a signal to the process and all of its group.
func (s *spawned) signal(sig unix.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.reaped {
		_ = unix.Kill(-s.cmd.Process.Pid, sig)
	}
}

// end ends the process and its group, with SIGTERM and if need be SIGKILL, and returns
// when it is gone.
func (s *spawned) end() {
	s.signal(unix.SIGTERM)
	select {
	case <-s.ended:
		return
	case <-time.After(s.stop):
	}
	s.signal(unix.SIGKILL)
	<-s.ended
}

// died says what became of a server that should be there; nil: it is.
func (s *spawned) died() error {
	select {
	case <-s.ended:
	default:
		return nil
	}
	how := "exit status 0"
	if s.err != nil {
		how = s.err.Error()
	}
	return fmt.Errorf("has ended (%s)%s", how, s.last.quote())
}

// await returns when the server accepts a handshake.
func (s *spawned) await(ctx context.Context, t *Target, limit time.Duration) error {
	var last error
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if last = t.accepts(ctx); last == nil {
			return nil
		}
		select {
		case <-s.ended:
			how := "exit status 0: it must stay in the foreground"
			if s.err != nil {
				how = s.err.Error()
			}
			return fmt.Errorf("ended before it accepted a connection at %s (%s)", t.shown(), how)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("did not accept a connection within %v: %w", limit, last)
}

// accepts tries one opening handshake.
func (t *Target) accepts(ctx context.Context) error {
	once := *t
	once.DialTimeout = time.Second
	f, err := newFleet(&once, 1, 1)
	if err != nil {
		return err
	}
	defer f.client.Close()
	_, err = f.try(ctx, 0, engine.HandlerFuncs{})
	return err
}

// lastWords keeps the end of what a process writes. Safe from any goroutine.
type lastWords struct {
	mu   sync.Mutex
	kept []byte
}

const mostWords = 4 << 10

// Write implements io.Writer.
func (w *lastWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = append(w.kept, p...)
	if n := len(w.kept); n > mostWords {
		w.kept = append(w.kept[:0], w.kept[n-mostWords:]...)
	}
	return len(p), nil
}

// quote gives it as the end of a message.
func (w *lastWords) quote() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := strings.TrimSpace(string(w.kept))
	if text == "" {
		return "; it wrote nothing"
	}
	return "; it wrote:\n  " + strings.ReplaceAll(text, "\n", "\n  ")
}
