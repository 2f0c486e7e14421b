package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/codec"
)

// TestOutOfDescriptors runs a server whose process has no descriptors left, and
// looks whether it lives and serves those who waited once some are free again.
//
// With a shared port two servers of one process listen on it, and those who waited
// are spread over both.
func TestOutOfDescriptors(t *testing.T) {
	for _, port := range []string{"own", "shared"} {
		t.Run(port+" port", func(t *testing.T) {
			runStarving(t, port)
		})
	}
}

// TestFloodDoesNotMakeTheServerDeaf has more clients connect than the server has
// descriptors and the kernel has room for, and looks whether it serves again
// when they are gone.
func TestFloodDoesNotMakeTheServerDeaf(t *testing.T) {
	if n := descriptorLimit(); n < 6000 {
		t.Skipf("RLIMIT_NOFILE is %d: too few descriptors for a flood", n)
	}
	addr := startProcess(t, "starved", "flood").line(t)
	var flood []int
	for range 5000 { // more than the kernel's queue of connections, 4096
		fd, err := connectRaw(addr, unix.SOCK_NONBLOCK)
		if err != nil && !errors.Is(err, unix.EINPROGRESS) {
			t.Fatal(err)
		}
		flood = append(flood, fd)
	}
	time.Sleep(2 * time.Second)
	for _, fd := range flood {
		_ = unix.Close(fd)
	}
	for end := time.Now().Add(2 * patience); ; {
		c, err := dial(addr, "/echo")
		if err == nil {
			err = c.echo(codec.OpText, "after the flood")
			_ = c.Close()
		}
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the server is deaf after the flood:", err)
		}
	}
}

// serveFlooded is the server of that test. It ends when its input does.
func serveFlooded() error {
	lim := unix.Rlimit{Cur: 200, Max: 200}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return err
	}
	srv, err := New(Config{Addr: "127.0.0.1:0", Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	serveEcho(srv)
	return srv.Run(sayAndWait(srv))
}

// runStarving has another process, with few descriptors, go through a scenario.
func runStarving(t *testing.T, scenario string) {
	t.Helper()
	if said, err := io.ReadAll(startProcess(t, "starved", scenario).out); err != nil || string(said) != "survived\n" {
		t.Errorf("%v\n%s", err, said)
	}
}

// runStarved is the other process.
func runStarved(scenario string) error {
	var err error
	switch role, addr, _ := strings.Cut(scenario, " "); role {
	case "flood":
		return serveFlooded()
	case "client":
		err = starveClient(addr)
	default:
		err = starve(role == "shared")
	}
	if err == nil {
		fmt.Println("survived")
	}
	return err
}

// starve runs the scenario in a process of its own. Client and server share the
// descriptors: the clients that are refused one by the kernel stay connecting.
func starve(shared bool) error {
	cfg := Config{
		Addr: "127.0.0.1:0", Loops: 1, MaxConns: 1 << 20, ReusePort: shared,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	served := make(chan error, 2)
	srv, err := serveStarved(ctx, cfg, served)
	if err != nil {
		return err
	}
	servers := []*Server{srv}
	if shared {
		cfg.Loops = 2 // loops that would accept for themselves
		cfg.Addr = srv.Addr().String()
		other, err := serveStarved(ctx, cfg, served)
		if err != nil {
			return err
		}
		servers = append(servers, other)
	}
	if err := starveWhileRunning(servers); err != nil {
		return err
	}
	cancel()
	if shared {
		err = <-served
	}
	return errors.Join(err, <-served)
}

// serveStarved runs a server until ctx ends.
func serveStarved(ctx context.Context, cfg Config, served chan<- error) (*Server, error) {
	srv, err := New(cfg)
	if err != nil {
		return nil, err
	}
	serveEcho(srv)
	go func() { served <- srv.Run(ctx) }()
	select {
	case <-srv.Ready():
		return srv, nil
	case <-time.After(patience):
		return nil, errors.New("the server does not listen")
	}
}

func starveWhileRunning(servers []*Server) error {
	addr := servers[0].Addr().String()
	first, err := dial(addr, "/echo")
	if err != nil {
		return err
	}
	defer first.Close() //nolint:errcheck // the server waits for it at its end
	// Dial first, take every descriptor that is left, and only then speak.
	files, waiting, err := exhaust(addr)
	if err != nil {
		return err
	}
	if err := first.echo(codec.OpText, "during"); err != nil {
		return fmt.Errorf("an open connection while descriptors lack: %w", err)
	}
	if err := fillQueue(servers, first); err != nil {
		return fmt.Errorf("an open connection that reads slowly while descriptors lack: %w", err)
	}
	time.Sleep(3 * time.Second / 2) // let accept fail for a while: the server must not end, nor spin
	if err := first.echo(codec.OpText, "still"); err != nil {
		return fmt.Errorf("an open connection after a while: %w", err)
	}
	for _, f := range files {
		_ = f.Close()
	}
	for i, fd := range waiting {
		if err := upgradeOn(fd, addr); err != nil {
			return fmt.Errorf("connection %d that had to wait: %w", i, err)
		}
	}
	last, err := dial(addr, "/echo")
	if err != nil {
		return fmt.Errorf("a new connection afterwards: %w", err)
	}
	defer last.Close() //nolint:errcheck // as above
	return last.echo(codec.OpText, "after")
}

// fillQueue sends messages and reads nothing until answers wait in the server that has
// got them, and then reads them.
func fillQueue(servers []*Server, c *testClient) error {
	const messages, size = 40, 1 << 20 // more than the buffers of two sockets hold
	sent := make(chan error, 1)
	go func() {
		for range messages {
			if err := c.send(codec.OpBinary, make([]byte, size)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	waits := func(s *Server) bool { return s.Stats().QueueBytes > 0 }
	for !slices.ContainsFunc(servers, waits) {
		select {
		case err := <-sent:
			return fmt.Errorf("nothing waits, though all was sent: %w", err)
		case <-time.After(time.Millisecond):
		}
	}
	for i := range messages {
		if _, p, err := c.recv(); err != nil || len(p) != size {
			return fmt.Errorf("answer %d has %d bytes, %w", i, len(p), err)
		}
	}
	return <-sent
}

// exhaust takes all descriptors of the process, with some connections among
// them that the server had none left to accept.
func exhaust(addr string) (files []*os.File, waiting []int, err error) {
	lim := unix.Rlimit{Cur: 200, Max: 200}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return nil, nil, err
	}
	sockets := make([]int, 5)
	for i := range sockets {
		if sockets[i], err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return nil, nil, err
		}
	}
	for {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, unix.EMFILE) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		files = append(files, f)
	}
	for _, fd := range sockets {
		if err := connectTo(fd, addr); err != nil {
			return nil, nil, fmt.Errorf("connect: %w", err)
		}
	}
	return files, sockets, nil
}

// connectRaw connects a new socket, with these flags.
func connectRaw(addr string, flags int) (fd int, err error) {
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|flags, 0); err != nil {
		return 0, err
	}
	return fd, connectTo(fd, addr)
}

func connectTo(fd int, addr string) error {
	tcp, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return err
	}
	return unix.Connect(fd, &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(tcp.IP.To4())})
}

// upgradeOn does the opening handshake and an echo on a socket that is
// connected already.
func upgradeOn(fd int, addr string) error {
	f := os.NewFile(uintptr(fd), "waiting")
	conn, err := net.FileConn(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // a test's end
	_ = conn.SetDeadline(time.Now().Add(patience))
	br, _, err := ws.Dialer{}.Upgrade(conn, &url.URL{Scheme: "ws", Host: addr, Path: "/echo"})
	if err != nil {
		return err
	}
	if br == nil {
		br = bufio.NewReader(conn)
	}
	return (&testClient{Conn: conn, r: br}).echo(codec.OpText, "waited")
}
