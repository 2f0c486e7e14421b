package engine

import (
	"context"
	"log/slog"
	"testing"
	"time"
)

// startServer runs a server on a free port of 127.0.0.1 until the test ends. Its
// log goes to the test. register adds the endpoints.
func startServer(tb testing.TB, cfg Config, register func(*Server)) *Server {
	tb.Helper()
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.Loops == 0 {
		cfg.Loops = 2
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(testWriter{tb}, nil))
	}
	srv, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	_, bench := tb.(*testing.B)
	srv.poison = !bench
	register(srv)
	run(tb, srv)
	return srv
}

// run runs a server until the test ends.
func run(tb testing.TB, srv *Server) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Run(ctx) }()
	select {
	case <-srv.Ready():
	case err := <-served:
		tb.Fatal("the server ended before it was ready:", err)
	}
	tb.Cleanup(func() {
		cancel()
		select {
		case <-served:
		case <-time.After(30 * time.Second):
			tb.Error("Run did not return after its context had ended")
		}
	})
}

// testWriter gives log lines to a test.
type testWriter struct{ tb testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.tb.Logf("server log: %s", p)
	return len(p), nil
}

// beginDrain is Shutdown without the wait, with all the time that Run would give it.
func (s *Server) beginDrain() <-chan struct{} { return s.drain(s.cfg.ShutdownTimeout) }

// warmUp opens and ends connections until all loops of a server have all descriptors
// that they will ever have, and gives how many the process has then.
func warmUp(t *testing.T, srv *Server, path string) (descriptors int) {
	t.Helper()
	for range 2 * srv.cfg.Loops { // they go to the loops in turn
		_ = connect(t, srv, path).Close()
	}
	waitFor(t, "the end of the first connections", func() bool { return srv.Connections() == 0 })
	return settledDescriptors(t)
}

// settledDescriptors is openDescriptors when nothing is opened or closed any more.
func settledDescriptors(t *testing.T) (n int) {
	t.Helper()
	for same := 0; same < 10; same++ {
		time.Sleep(10 * time.Millisecond)
		if now := openDescriptors(); now != n {
			n, same = now, 0
		}
	}
	return n
}
