package engine

import (
	"crypto/tls"
	"net"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/gnetwire"
	"github.com/headrace/headrace/engine/internal/tlswire"
	"github.com/headrace/headrace/engine/internal/wire"
)

// idleTLSBudget is the heap that TLS may add to an idle connection, in bytes.
const idleTLSBudget = 4 << 10

func TestTLSIdleConnectionMemory(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector changes the size of everything")
	}
	n := min(3000, descriptorLimit()-2000)
	if n < 1000 {
		t.Skipf("RLIMIT_NOFILE is %d: too few connections to measure one", descriptorLimit())
	}
	srv, _ := startTLS(t, Config{Network: "tcp4", Loops: 1, MaxConns: 1 << 20}, serveEcho)
	hangUpFirst := startIdlers(t, srv, 500)
	defer hangUpFirst()
	before := heapInUse()
	hangUp := startIdlers(t, srv, n)
	defer hangUp()
	perConn := float64(heapInUse()-before) / float64(n)
	t.Logf("%d idle wss connections: %.0f bytes of heap each", n, perConn)
	if perConn > idleBudget+idleTLSBudget {
		t.Errorf("an idle wss connection takes %.0f bytes of heap, the budget is %d", perConn, idleBudget+idleTLSBudget)
	}
}

func TestTLSEchoIsOneReadAndOneWrite(t *testing.T) {
	a := newAuthority(t)
	cfg, err := Config{Addr: "127.0.0.1:0", Loops: 1, TLS: a.server(t)}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	kernel := &counting{Backend: gnetwire.New(gnetwire.Options{
		Listeners: []gnetwire.Listener{{Network: "tcp4", Addr: cfg.Addr}}, Loops: 1, ReadBuffer: cfg.ReadBuffer, Logger: cfg.Logger,
	})}
	srv := newServer(cfg, tlswire.New(kernel, tlswire.Options{
		Configs: []*tls.Config{cfg.TLS}, MaxHandshakes: 10, Logger: cfg.Logger,
	}))
	serveEcho(srv)
	run(t, srv)
	c := connectTLS(t, srv, "/echo", a.client())
	if err := c.echo(codec.OpText, "first"); err != nil {
		t.Fatal(err)
	}
	reads, writes := kernel.reads.Load(), kernel.writes.Load()
	const messages = 500
	for i := range messages {
		if err := c.echo(codec.OpText, strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	reads, writes = kernel.reads.Load()-reads, kernel.writes.Load()-writes
	if reads != messages || writes != messages {
		t.Errorf("%d reads and %d writes for %d echoes at depth 1", reads, writes, messages)
	}
}

// counting counts the system calls that a transport makes for its connections.
type counting struct {
	wire.Backend
	reads, writes atomic.Int64
}

func (b *counting) Serve(newHandler func(wire.Loop) wire.Handler, ready func([]net.Addr)) error {
	return b.Backend.Serve(func(l wire.Loop) wire.Handler {
		return &countingHandler{newHandler(countingLoop{l, b}), b}
	}, ready)
}

type countingLoop struct {
	wire.Loop
	backend *counting
}

func (l countingLoop) Write(s wire.Socket, p []byte) (int, error) {
	l.backend.writes.Add(1)
	return l.Loop.Write(s, p)
}

type countingHandler struct {
	wire.Handler
	backend *counting
}

func (h *countingHandler) Opened(s wire.Socket, listener int, remote net.Addr) wire.Owner {
	if o := h.Handler.Opened(s, listener, remote); o != nil {
		return &countingOwner{o, h.backend}
	}
	return nil
}

type countingOwner struct {
	wire.Owner
	backend *counting
}

func (o *countingOwner) Arrived(p []byte) {
	o.backend.reads.Add(1)
	o.Owner.Arrived(p)
}
