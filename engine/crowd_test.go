package engine

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/codec"
)

// A crowd of ten thousand, of which some flood the server and read nothing. The
// memory of these stays within their limits, and the others notice nothing.
func TestStalledReadersInACrowd(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector changes the size of everything")
	}
	const (
		stalled    = 200
		maxQueue   = 64 << 10
		readBuffer = 64 << 10
		perStalled = 2*maxQueue + readBuffer + 16<<10 // the queue up to its limit, a read that waits, and rounding
	)
	n := min(10_000, descriptorLimit()-2000)
	if n < 1000 {
		t.Skipf("RLIMIT_NOFILE is %d: too few for a crowd", descriptorLimit())
	}
	var flooders atomic.Int64
	var most atomic.Int64
	h := HandlerFuncs{Message: func(c *Conn, op Op, p []byte) {
		if len(p) >= floodSize && c.User() == nil {
			c.SetUser(true)
			flooders.Add(1)
		}
		_ = c.Reply(op, p)
		most.Store(max(most.Load(), int64(c.Buffered())))
	}}
	srv := startServer(t, Config{Network: "tcp4", Loops: 1, MaxConns: 1 << 20, ReadBuffer: readBuffer}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: h, MaxMessage: 16 << 10, MaxQueue: maxQueue, WhenFull: DropOldest})
	})
	crowd := startCrowd(t, srv, n, stalled)
	before := heapInUse()
	crowd.say(t, "flood")
	crowd.expect(t, "flooding")
	deadline := time.Now().Add(patience)
	for flooders.Load() < stalled && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if got := flooders.Load(); got != stalled {
		t.Fatalf("%d of %d floods have begun", got, stalled)
	}
	stop := make(chan struct{})
	defer close(stop)
	go feedStalled(srv, stop)
	crowd.say(t, "echo") // everyone else, each checked
	crowd.expect(t, "echoed")
	used := heapInUse() - before
	t.Logf("%d connections, %d of them stalled: %d KiB of heap for each stalled one, at most %d KiB queued", n, stalled, used/stalled>>10, most.Load()>>10)
	if used > stalled*perStalled {
		t.Errorf("%d stalled readers take %d bytes of heap, more than %d each", stalled, used, perStalled)
	}
	if most.Load() > 2*maxQueue {
		t.Errorf("%d bytes were queued for a connection with a limit of %d", most.Load(), maxQueue)
	}
	if got := srv.Connections(); got != n {
		t.Errorf("%d connections are open, want all %d", got, n)
	}
}

// feedStalled sends to everyone who floods, whether or not they read.
func feedStalled(srv *Server, stop <-chan struct{}) {
	srv.mu.Lock()
	l := srv.loops[0]
	srv.mu.Unlock()
	p := make([]byte, 1<<10)
	for {
		select {
		case <-stop:
			return
		case <-time.After(5 * time.Millisecond):
		}
		l.push(item{run: func(l *loop) {
			for c := range l.conns.all {
				if c.user != nil {
					_ = c.Send(Binary, p)
				}
			}
		}})
	}
}

const floodSize = 4 << 10

// startCrowd has another process open n connections, of which some will stall.
func startCrowd(t *testing.T, srv *Server, n, stalled int) *process {
	t.Helper()
	p := startProcess(t, "crowd", fmt.Sprint(srv.Addr(), " ", n, " ", stalled))
	p.expect(t, "open")
	return p
}

// runCrowd is the other process. It ends when its standard input does.
func runCrowd(args string) error {
	var addr string
	var n, stalled int
	_, _ = fmt.Sscan(args, &addr, &n, &stalled)
	var conns []*testClient
	for i := range n {
		buffer := 0
		if i < stalled {
			buffer = 8 << 10
		}
		c, err := dialSmall(addr, "/x", buffer)
		if err != nil {
			return err
		}
		conns = append(conns, c)
	}
	fmt.Println("open")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch in.Text() {
		case "flood":
			for _, c := range conns[:stalled] {
				go flood(c)
			}
			fmt.Println("flooding")
		case "echo":
			for i := range n - stalled {
				c := conns[stalled+i]
				c.r = bufio.NewReader(c.Conn)
				if err := c.echo(codec.OpText, fmt.Sprint("from ", i)); err != nil {
					return fmt.Errorf("connection %d: %w", i, err)
				}
				c.r = nil
			}
			fmt.Println("echoed")
		}
	}
	runtime.KeepAlive(conns)
	return nil
}

// dialSmall connects, with small buffers in the kernel unless buffer is 0.
func dialSmall(addr, path string, buffer int) (*testClient, error) {
	d := net.Dialer{Timeout: patience}
	if buffer > 0 {
		d.Control = func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 32<<10)
			})
		}
	}
	conn, _, _, err := ws.Dialer{NetDial: d.DialContext}.Dial(context.Background(), "ws://"+addr+path)
	return &testClient{Conn: conn}, err
}

// flood sends for as long as the server takes something, and reads nothing.
func flood(c *testClient) {
	p := make([]byte, floodSize)
	for c.send(codec.OpBinary, p) == nil {
	}
}
