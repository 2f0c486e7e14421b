package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/headrace/headrace/engine"
)

// binary is the built program, for the tests that need a process.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", program)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, program)
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// startServer runs the whole server in this process until the test ends, and
// gives its address.
func startServer(t *testing.T, change func(*options)) (addr string) {
	t.Helper()
	opts := defaults()
	opts.addrs, opts.config.Loops, opts.logLevel = []string{"127.0.0.1:0"}, 2, slog.LevelDebug
	if change != nil {
		change(&opts)
	}
	return runServer(t, makeServer(t, &opts, engine.Observer{}).Server)
}

func makeServer(t *testing.T, opts *options, observer engine.Observer) *service {
	t.Helper()
	config, _, err := secure(opts, testLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	srv, err := newServer(opts, config, observer, testLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.topics.close)
	srv.topics.start()
	return srv
}

// startHandler is startServer for one handler at "/".
func startHandler(t *testing.T, e engine.Endpoint) (addr string) {
	t.Helper()
	srv, err := engine.New(engine.Config{
		Addr: "127.0.0.1:0", Loops: 2, Logger: testLogger(t),
		CloseTimeout: 200 * time.Millisecond, // some of these peers don't answer
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Handle("/", e)
	return runServer(t, srv)
}

func runServer(t *testing.T, srv *engine.Server) (addr string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error("Run:", err)
			}
		case <-time.After(patience):
			t.Error("Run has not returned")
		}
	})
	select {
	case <-srv.Ready():
	case err := <-ended:
		t.Fatal("Run:", err)
	}
	return srv.Addr().String()
}

func TestLocalhostIsBothAddresses(t *testing.T) {
	if !isHere("::1") {
		t.Skip("this machine has no ::1")
	}
	port := freePort(t)
	startServer(t, func(o *options) { o.addrs = []string{"localhost:" + port} })
	for _, ip := range []string{"127.0.0.1", "::1"} {
		c := dial(t, net.JoinHostPort(ip, port), "/echo")
		c.say(ip)
		c.hear(ip)
	}
}

// freePort gives a port of 127.0.0.1 that is free, and stays so: none of those that the
// system gives to whoever asks for any, as other tests do meanwhile.
func freePort(t *testing.T) (port string) {
	t.Helper()
	for range 1000 {
		port = fmt.Sprint(10_000 + rand.IntN(20_000))
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

// A server on a unix socket is there for who may write to it.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	opts := defaults()
	opts.addrs, opts.unixMode = []string{"unix:" + path, "127.0.0.1:0"}, 0o600
	srv := makeServer(t, &opts, engine.Observer{})
	runServer(t, srv.Server)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	d := ws.Dialer{NetDial: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
	if _, _, _, err := d.Dial(t.Context(), "ws://h/echo"); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := overConn(t, conn)
	c.say("hello")
	c.hear("hello")
	if asked, bound := shown(opts.addrs, srv.Addrs()); asked != "127.0.0.1:0" || bound.Network() != "tcp" {
		t.Errorf("the start shows %s, %v", asked, bound)
	}
	if got := banner("unix:"+path, srv.Addr(), "", "", nil); !strings.Contains(got, path) {
		t.Errorf("the start says\n%s", got)
	}
}

func testLogger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

func TestMakeRoom(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, loops := range []int{0, 1, before, before + 3} {
		runtime.GOMAXPROCS(before)
		makeRoom(loops)
		if got := runtime.GOMAXPROCS(0); got <= loops || got < before || got < 2 {
			t.Errorf("%d loops: GOMAXPROCS is %d, and was %d", loops, got, before)
		}
	}
}
