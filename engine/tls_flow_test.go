package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// A peer that asks without reading is not read from; then it gets all, in order.
func TestTLSFloodByAPeerThatDoesNotRead(t *testing.T) {
	const messages, size = 64, 256 << 10
	srv, config := startTLS(t, Config{}, func(s *Server) {
		s.Handle("/echo", Endpoint{Handler: echoHandler, MaxMessage: size + 100, MaxQueue: 1 << 20})
	})
	c := connectTLS(t, srv, "/echo", config)
	sent := make(chan error, 1)
	go func() {
		for i := range messages {
			p := fmt.Appendf(nil, "%08d%s", i, strings.Repeat("x", size))
			if err := c.send(codec.OpBinary, p); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	time.Sleep(200 * time.Millisecond) // the sockets are full by then, whatever their size
	for i := range messages {
		op, p, err := c.recv()
		if err != nil || op != codec.OpBinary || len(p) != size+8 || !strings.HasPrefix(string(p), fmt.Sprintf("%08d", i)) {
			t.Fatalf("message %d: got %v with %d bytes %.10q, %v", i, op, len(p), p, err)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// What a slow peer is sent is counted until the kernel has it, and has a limit.
func TestTLSSlowPeer(t *testing.T) {
	conns := make(chan *Conn, 1)
	ends := make(chan CloseInfo, 1)
	const limit = 1 << 20
	srv, config := startTLS(t, Config{Loops: 1, CloseTimeout: time.Second}, func(s *Server) {
		s.Handle("/feed", Endpoint{MaxQueue: limit, Handler: HandlerFuncs{
			Open:  func(c *Conn) { conns <- c },
			Close: func(_ *Conn, info CloseInfo) { ends <- info },
		}})
	})
	slow := connectTLS(t, srv, "/feed", config)
	c := <-conns
	p := make([]byte, 64<<10)
	accepted, most := 0, 0
	var err error
	for err == nil {
		if err = c.Send(Binary, p); err == nil {
			accepted++
		}
		most = max(most, c.Buffered())
		runtime.Gosched()
	}
	if !errors.Is(err, ErrSlowPeer) {
		t.Fatalf("Send gives %v", err)
	}
	if most < limit/2 || most > limit {
		t.Errorf("at most %d bytes were queued, the limit is %d", most, limit)
	}
	// All that was accepted comes, and then the reason for the end.
	for i := range accepted {
		if op, got, err := slow.recv(); err != nil || op != codec.OpBinary || len(got) != len(p) {
			t.Fatalf("message %d of %d: %v, %d bytes, %v", i, accepted, op, len(got), err)
		}
	}
	if err := slow.expectClose(codec.CloseTryAgainLater, "reading too slowly"); err != nil {
		t.Error(err)
	}
	if info := <-ends; !info.Clean || !errors.Is(info.Err, ErrSlowPeer) {
		t.Errorf("it ended with %+v", info)
	}
	if n := c.Buffered(); n != 0 {
		t.Errorf("%d bytes are buffered after the end", n)
	}
}

func TestTLSShutdown(t *testing.T) {
	srv, config := startTLS(t, Config{}, serveEcho)
	var all []*testClient
	for range 20 {
		all = append(all, connectTLS(t, srv, "/echo", config))
	}
	half, err := net.Dial("tcp", srv.Addr().String()) // in its TLS handshake
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close() //nolint:errcheck // a test's end
	_, _ = half.Write(hello(t))
	waitFor(t, "the half connection", func() bool { return srv.Connections() == len(all)+1 })
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ended <- srv.Shutdown(ctx)
	}()
	for _, c := range all {
		if err := c.expectClose(codec.CloseGoingAway, "server is shutting down"); err != nil {
			t.Error(err)
		}
	}
	_ = half.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestTLSNoGoroutinePerConnection(t *testing.T) {
	const connections, few = 50, 15 // few: the loops start behind Ready, and the ticker when it is needed
	srv, config := startTLS(t, Config{}, serveEcho)
	before := runtime.NumGoroutine()
	for i := range connections {
		c := connectTLS(t, srv, "/echo", config)
		if err := c.echo(codec.OpText, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the end of the workers", func() bool { return runtime.NumGoroutine() <= before+few })
	var waiting []net.Conn
	for range connections { // handshakes under way are coroutines, and those end with their connections
		c, err := net.Dial("tcp", srv.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(hello(t))
		waiting = append(waiting, c)
	}
	waitFor(t, "the handshakes", func() bool { return runtime.NumGoroutine() >= before+connections })
	for _, c := range waiting {
		_ = c.Close()
	}
	waitFor(t, "the end of the handshakes", func() bool { return runtime.NumGoroutine() <= before+few })
}

func TestTLSAndPlainListeners(t *testing.T) {
	a := newAuthority(t)
	config := a.client()
	srv := startServer(t, Config{
		Network: "tcp4",
		Listeners: []Listener{
			{Network: "tcp4", Addr: "127.0.0.1:0", TLS: a.server(t)},
			{Addr: "127.0.0.1:0"},
			{Addr: "localhost:0", TLS: a.server(t)},
		},
	}, serveEcho)
	if len(srv.Addrs()) != 4 || srv.Addr().String() != srv.Addrs()[0].String() {
		t.Fatalf("the addresses are %v", srv.Addrs())
	}
	for i, addr := range srv.Addrs() {
		for range 3 {
			c, err := dial(addr.String(), "/echo")
			if i%2 == 1 {
				c, err = dialTLS(addr.String(), "/echo", config)
			}
			if err != nil {
				t.Fatalf("listener %d: %v", i, err)
			}
			if err := c.echo(codec.OpText, addr.String()); err != nil {
				t.Errorf("listener %d: %v", i, err)
			}
			_ = c.Close()
		}
	}
}

func TestListenerIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // a test's end
	srv, err := New(Config{Addr: "127.0.0.1:0", Listeners: []Listener{{Addr: taken.Addr().String()}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Run(t.Context()); err == nil || !strings.Contains(err.Error(), taken.Addr().String()+": bind: address already in use") {
		t.Errorf("Run gives %v", err)
	}
}

func TestTLSConfigIsChecked(t *testing.T) {
	for _, row := range []struct {
		config Config
		says   string
	}{
		{Config{TLS: &tls.Config{}}, "TLS has no certificate: set Certificates, GetCertificate or GetConfigForClient"},
		{Config{Listeners: []Listener{{Addr: ":1", TLS: &tls.Config{}}}}, "Listeners[0].TLS has no certificate"},
		{Config{Listeners: []Listener{{Addr: ":1"}, {}}}, `Listeners[1].Addr is ""`},
		{Config{Listeners: []Listener{{Addr: "a/b:1"}}}, `Listeners[0].Addr is "a/b:1"`},
		{Config{Listeners: []Listener{{Network: "udp", Addr: ":1"}}}, `Listeners[0].Network is "udp"`},
		{Config{TLS: &tls.Config{}, Listeners: []Listener{{Addr: ":1"}}}, "TLS is for Addr, which is empty"},
		{Config{MaxTLSHandshakes: -1}, "MaxTLSHandshakes is negative"},
	} {
		if _, err := New(row.config); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("New(%+v) gives %v, want %q", row.config, err, row.says)
		}
	}
}
