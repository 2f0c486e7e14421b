package gnetwire

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/engine/internal/wire"
)

// However many loops there are, one socket listens: the loops must not accept for
// themselves (see reuseport.go). A new version of gnet needs a look at this test.
func TestSharedPortHasOneListener(t *testing.T) {
	addr := serveShared(t, "127.0.0.1:0")
	if n := listening(t, addr.Port); n != 1 {
		t.Errorf("%d sockets listen for one server with 3 loops, want 1", n)
	}
	serveShared(t, addr.String())
	if n := listening(t, addr.Port); n != 2 {
		t.Errorf("%d sockets listen for two servers, want 2", n)
	}
}

// serveShared serves nothing on a shared port until the test ends.
func serveShared(t *testing.T, at string) *net.TCPAddr {
	t.Helper()
	b := New(Options{
		Listeners: []Listener{{Network: "tcp4", Addr: at}}, ReusePort: true,
		Loops: 3, ReadBuffer: 1 << 10, Logger: slog.New(slog.DiscardHandler),
	})
	ready := make(chan net.Addr, 1)
	served := make(chan error, 1)
	go func() {
		served <- b.Serve(
			func(l wire.Loop) wire.Handler { return &harness{loop: l} },
			func(bound []net.Addr) { ready <- bound[0] })
	}()
	t.Cleanup(func() {
		b.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	select {
	case addr := <-ready:
		time.Sleep(50 * time.Millisecond) // the loops begin, and would listen, after it is ready
		return addr.(*net.TCPAddr)
	case err := <-served:
		t.Fatal(err)
		return nil
	}
}

// listening counts the sockets that listen on a port of 127.0.0.1.
func listening(t *testing.T, port int) (n int) {
	t.Helper()
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// sl local_address rem_address st
		fields := strings.Fields(lines.Text())
		if len(fields) > 3 && fields[3] == "0A" && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
			n++
		}
	}
	return n
}

// Somebody else's port is taken, shared or not.
func TestSharedPortOfSomebodyElse(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // a test's end
	for n := 1; n <= 2; n++ {
		listeners := []Listener{{Network: "tcp4", Addr: "127.0.0.1:0"}, {Network: "tcp4", Addr: ln.Addr().String()}}[2-n:]
		b := New(Options{Listeners: listeners, ReusePort: true, Loops: 1, ReadBuffer: 1 << 10, Logger: slog.New(slog.DiscardHandler)})
		if err := b.Serve(nil, nil); err == nil || !strings.Contains(err.Error(), unix.EADDRINUSE.Error()) {
			t.Errorf("%d listeners: Serve gives %v", n, err)
		}
	}
}
