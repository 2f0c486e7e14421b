package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/codec"
)

// starvedEnv makes this test binary a server with very few descriptors.
const starvedEnv = "HEADRACE_TEST_STARVED"

// TestOutOfDescriptors runs a server whose process has no descriptors left, and
// looks whether it lives and serves those who waited once some are free again.
func TestOutOfDescriptors(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), starvedEnv+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func runStarved() int {
	if err := starve(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// starve runs the scenario in a process of its own. Client and server share the
// descriptors: the clients that are refused one by the kernel stay connecting.
func starve() error {
	srv, err := New(Config{
		Addr: "127.0.0.1:0", Loops: 1, MaxConns: 1 << 20,
		Logger: slog.New(slog.NewTextHandler(os.Stdout, nil)),
	})
	if err != nil {
		return err
	}
	serveEcho(srv)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- srv.Run(ctx) }()
	<-srv.Ready()
	if err := starveWhileRunning(srv); err != nil {
		return err
	}
	cancel()
	return <-served
}

func starveWhileRunning(srv *Server) error {
	addr := srv.Addr().String()
	first, err := dial(addr, "/echo")
	if err != nil {
		return err
	}
	// Dial first, take every descriptor that is left, and only then speak.
	files, waiting, err := exhaust(addr)
	if err != nil {
		return err
	}
	if err := first.echo(codec.OpText, "during"); err != nil {
		return fmt.Errorf("an open connection while descriptors lack: %w", err)
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
	return last.echo(codec.OpText, "after")
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
	tcp, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, nil, err
	}
	for _, fd := range sockets {
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(tcp.IP.To4())}); err != nil {
			return nil, nil, fmt.Errorf("connect: %w", err)
		}
	}
	return files, sockets, nil
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
