package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// During drain-delay the server says that it is not ready, and serves who comes.
func TestDrainDelayServesOn(t *testing.T) {
	opts := defaults()
	opts.addrs, opts.config.Loops = []string{"127.0.0.1:0"}, 2
	watch := newMetrics()
	srv := makeServer(t, &opts, watch.observer())
	watch.srv = srv
	addr := runServer(t, srv.Server)
	internal := httptest.NewServer(internalPages(srv, watch.handler()))
	defer internal.Close()
	sideAddr := internal.Listener.Addr().String()
	before := dial(t, addr, "/echo")

	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		srv.leave(ctx, time.Hour, testLogger(t))
	}()
	wantSample(t, sideAddr, "headrace_draining", "", 1)
	for _, at := range []string{addr, sideAddr} {
		for path, want := range map[string]int{"/readyz": http.StatusServiceUnavailable, "/healthz": http.StatusOK} {
			if res, body := get(t, at, "GET", path); res.StatusCode != want {
				t.Errorf("%s%s: %d, %q; want %d", at, path, res.StatusCode, body, want)
			}
		}
	}
	for _, c := range []*client{before, dial(t, addr, "/echo")} {
		c.say("still here?")
		c.hear("still here?")
	}
	select {
	case <-left:
		t.Error("the delay is over")
	default:
	}
	cancel()
	<-left
}

// The signal of the process is followed by the delay, then by the first Close frame.
func TestDrainDelayIsKept(t *testing.T) {
	t.Parallel()
	const delay = 300 * time.Millisecond
	p := startCommand(t, exec.Command(binary, "--addr", "127.0.0.1:0", "--drain-delay", delay.String()))
	c := dial(t, p.addr, "/echo")
	began := time.Now()
	p.signal(syscall.SIGTERM)
	c.wantClose(ws.StatusGoingAway, "server is shutting down")
	if took := time.Since(began); took < delay {
		t.Errorf("the first Close frame came %v after the signal, before %v", took, delay)
	}
	if code, _ := p.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// A second signal doesn't wait for the delay.
func TestSecondSignalEndsDrainDelay(t *testing.T) {
	t.Parallel()
	p := startCommand(t, exec.Command(binary, "--addr", "127.0.0.1:0", "--drain-delay", "1h"))
	p.signal(os.Interrupt)
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if res, _ := get(t, p.addr, "GET", "/readyz"); res.StatusCode == http.StatusServiceUnavailable {
			break
		} else if time.Now().After(deadline) {
			t.Fatal("/readyz does not turn to 503")
		}
	}
	p.signal(os.Interrupt)
	if code, _ := p.wait(); code != -1 {
		t.Errorf("exit code %d; want the end by the signal", code)
	}
}
