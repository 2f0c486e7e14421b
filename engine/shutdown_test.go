package engine

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/wire"
)

// clients connect to a server again and again, in several goroutines, until
// stop is called or the server listens no more.
func clients(srv *Server, n int, visit func(net.Conn)) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				c, err := net.Dial("tcp", srv.Addr().String())
				if err != nil {
					return
				}
				visit(c)
			}
		})
	}
	return func() { close(quit); wg.Wait() }
}

// quiet is a Config for servers that live for a moment.
func quiet() Config { return Config{Loops: 1, Logger: slog.New(slog.DiscardHandler)} }

// Clients that redial as soon as they are refused must not hold up a shutdown.
func TestShutdownDuringAStormOfReconnects(t *testing.T) {
	srv := startServer(t, quiet(), serveEcho)
	stop := clients(srv, 10, func(c net.Conn) {
		_, _ = io.WriteString(c, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.Copy(io.Discard, c)
		time.Sleep(50 * time.Millisecond) // slow to hang up
		_ = c.Close()
	})
	defer stop()
	time.Sleep(100 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// A connection that moves to net/http while that stops must not be forgotten.
func TestShutdownWhileConnectionsMoveToHTTP(t *testing.T) {
	for range 10 {
		srv := startServer(t, quiet(), func(s *Server) {
			s.HandleHTTP(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }))
		})
		stop := clients(srv, 6, func(c net.Conn) {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		})
		time.Sleep(10 * time.Millisecond)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		stop()
		if n := srv.Connections(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	}
}

// A connection that was accepted, but not opened, when the loops end must not
// keep its descriptor.
func TestShutdownLeaksNoDescriptors(t *testing.T) {
	before := -1
	for range 10 {
		srv := startServer(t, quiet(), serveEcho)
		stop := clients(srv, 4, func(c net.Conn) { _ = c.Close() })
		time.Sleep(10 * time.Millisecond)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_ = srv.Shutdown(ctx)
		cancel()
		stop()
		<-srv.done
		if before < 0 { // the first life opens what later ones share
			before = openFiles(t)
		}
	}
	for range 100 {
		if openFiles(t) <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d descriptors are open, %d were after the first life", openFiles(t), before)
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

func TestShutdownCutsHijackedConnections(t *testing.T) {
	hijacked := make(chan struct{})
	srv := startServer(t, quiet(), func(s *Server) {
		s.HandleHTTP(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _, _ = http.NewResponseController(w).Hijack()
			close(hijacked)
		}))
	})
	c, err := net.Dial("tcp", srv.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // a test's end
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	next(t, hijacked)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown gives %v", err)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the hijacked connection sees %v, want EOF", err)
	}
	if err := srv.Shutdown(context.Background()); err != nil {
		t.Errorf("a second Shutdown gives %v", err)
	}
}

func TestShutdownInACallbackEndsWithItsContext(t *testing.T) {
	got := make(chan error, 1)
	srv := startServer(t, quiet(), func(s *Server) {
		s.Handle("/x", Endpoint{Handler: HandlerFuncs{Message: func(*Conn, Op, []byte) {
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			got <- s.Shutdown(ctx)
		}}})
	})
	if err := connect(t, srv, "/x").send(codec.OpText, nil); err != nil {
		t.Fatal(err)
	}
	if err := next(t, got); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown in a callback gives %v", err)
	}
}

// A context that has ended makes a shutdown fast, not void.
func TestShutdownWithAnEndedContext(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for range 20 { // it was a matter of chance
		srv := startServer(t, quiet(), serveEcho)
		if err := srv.Shutdown(ended); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown gives %v", err)
		}
		next(t, srv.done)
	}
}

// lateBackend listens when it is told to.
type lateBackend struct {
	wire.Backend
	listen, stop chan struct{}
}

func (b *lateBackend) Serve(_ func(wire.Loop) wire.Handler, ready func([]net.Addr)) error {
	<-b.listen
	ready([]net.Addr{nil})
	<-b.stop
	return nil
}

func (b *lateBackend) Stop() { close(b.stop) }

// A shutdown that has given up waiting for a server to listen ends it when it does.
func TestShutdownBeforeItListens(t *testing.T) {
	b := &lateBackend{listen: make(chan struct{}), stop: make(chan struct{})}
	cfg, err := quiet().withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	srv := newServer(cfg, b)
	ran := make(chan error, 1)
	go func() { ran <- srv.Run(context.Background()) }()
	waitFor(t, "Run", srv.started.Load)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown gives %v", err)
	}
	close(b.listen)
	if err := next(t, ran); err != nil {
		t.Errorf("Run gives %v", err)
	}
}
