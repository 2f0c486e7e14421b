package engine

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/gnetwire"
)

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a socket 100%")
	var all <-chan seen
	srv := startServer(t, Config{Network: "unix", Addr: path, MaxConnsPerIP: 1, CloseTimeout: 100 * time.Millisecond}, func(s *Server) { all = serveSeen(s) })
	for range 3 { // the cap is for addresses, and here is none
		a := ask(t, dialNet(t, srv.Addr()), upgradeLines("Origin: http://example.com", "X-Forwarded-For: 6.6.6.6"))
		if a.status != 101 {
			t.Fatalf("answered with %d", a.status)
		}
		if one := <-all; one.client.IsValid() || one.later.IsValid() || one.remote != "@" {
			t.Errorf("seen %+v", one)
		}
		if err := a.echo(codec.OpText, "hello"); err != nil {
			t.Error(err)
		}
	}
	a := ask(t, dialNet(t, srv.Addr()), upgradeLines("Origin: http://other.example"))
	if a.status != 403 {
		t.Errorf("another origin is answered with %d", a.status)
	}
	shutDown(t, srv)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there after the end: %v", err)
	}
}

// A peer on a unix socket is a proxy once any are trusted.
func TestUnixSocketBehindAProxy(t *testing.T) {
	var all <-chan seen
	srv := startServer(t, Config{
		Listeners:      []Listener{{Network: "unix", Addr: filepath.Join(t.TempDir(), "s")}},
		TrustedProxies: loopbackProxies,
		MaxConnsPerIP:  1,
	}, func(s *Server) {
		all = serveSeen(s)
		s.HandleHTTP(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") }))
	})
	local := srv.Addrs()[1]
	first := ask(t, dialNet(t, local), upgradeLines("X-Forwarded-For: 192.0.2.1"))
	if one := <-all; first.status != 101 || one.client != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("answered with %d, seen %+v", first.status, one)
	}
	if a := ask(t, dialNet(t, local), upgradeLines("X-Forwarded-For: 192.0.2.1")); a.status != 429 {
		t.Errorf("a second one of the same client is answered with %d", a.status)
	}
	if a := ask(t, dialNet(t, local), "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n"); a.body != "page" {
		t.Errorf("net/http answers %d %q", a.status, a.body)
	}
}

func TestUnixSocketMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	startServer(t, Config{Listeners: []Listener{{Network: "unix", Addr: path, Mode: 0o600}}}, serveEcho)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// A socket that is left over is replaced; one where somebody listens, or a file of
// another kind, is left alone.
func TestUnixSocketPathIsTaken(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	_ = ln.Close()
	srv := startServer(t, Config{Network: "unix", Addr: stale}, serveEcho)
	if a := ask(t, dialNet(t, srv.Addr()), upgradeLines()); a.status != 101 {
		t.Errorf("in place of a stale socket: answered with %d", a.status)
	}

	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{stale: unix.EADDRINUSE.Error(), file: "no socket", dir: "no socket"} {
		other, err := New(Config{Network: "unix", Addr: path, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Run(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Run gives %v, want %q", path, err, want)
		}
	}
	if b, err := os.ReadFile(file); string(b) != "precious" {
		t.Errorf("the file has %q, %v", b, err)
	}
	if a := ask(t, dialNet(t, srv.Addr()), upgradeLines()); a.status != 101 {
		t.Errorf("the first server doesn't listen any more: answered with %d", a.status)
	}
}

// A server that ends leaves the socket alone that its successor has made meanwhile at
// the same path, and one that somebody has put there before.
func TestUnixSocketOfASuccessor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	busy, release := make(chan struct{}), make(chan struct{})
	first := startServer(t, Config{Network: "unix", Addr: path, Loops: 1, Logger: slog.New(slog.DiscardHandler)}, func(s *Server) {
		s.Handle("/echo", Endpoint{Handler: HandlerFuncs{Message: func(*Conn, Op, []byte) { close(busy); <-release }}})
	})
	a := ask(t, dialNet(t, first.Addr()), upgradeLines())
	if err := a.send(codec.OpText, nil); err != nil {
		t.Fatal(err)
	}
	next(t, busy)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_ = first.Shutdown(ctx) // it has begun to end, and the callback holds it up
	second := startServer(t, Config{Network: "unix", Addr: path}, serveEcho)
	close(release)
	next(t, first.done)
	if a := ask(t, dialNet(t, second.Addr()), upgradeLines()); a.status != 101 {
		t.Errorf("the successor answers with %d", a.status)
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	third := startServer(t, Config{Network: "unix", Addr: path}, serveEcho)
	shutDown(t, second)
	if a := ask(t, dialNet(t, third.Addr()), upgradeLines()); a.status != 101 {
		t.Errorf("the third answers with %d", a.status)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("the directory has %v, %v", left, err)
	}
}

// The longest path that Config accepts can be bound.
func TestUnixSocketLongestPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	path += strings.Repeat("s", gnetwire.MaxUnixPath-len(path))
	srv := startServer(t, Config{Network: "unix", Addr: path}, serveEcho)
	if a := ask(t, dialNet(t, srv.Addr()), upgradeLines()); a.status != 101 {
		t.Errorf("answered with %d", a.status)
	}
}
