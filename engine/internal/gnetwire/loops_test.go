package gnetwire

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"

	"github.com/headrace/headrace/engine/internal/wire"
)

// Every loop is found before it has had a connection. A new version of gnet needs a
// look at this test.
func TestLoopsAreFound(t *testing.T) {
	b := New(Options{Listeners: []Listener{{Network: "tcp4", Addr: "127.0.0.1:0"}}, Loops: 3, ReadBuffer: 1 << 10, Logger: slog.New(slog.DiscardHandler)})
	served := make(chan error, 1)
	go func() {
		served <- b.Serve(func(l wire.Loop) wire.Handler { return &harness{loop: l} }, func([]net.Addr) {})
	}()
	select {
	case <-b.running:
	case <-time.After(patience):
		t.Fatal("the loops do not run")
	}
	ran := make(chan gnet.EventLoop, len(b.all))
	for _, l := range b.all {
		_ = l.Execute(context.Background(), gnet.RunnableFunc(func(context.Context) error { ran <- l; return nil }))
	}
	seen := make(map[gnet.EventLoop]bool)
	for range b.all {
		select {
		case l := <-ran:
			seen[l] = true
		case <-time.After(patience):
			t.Fatal("a loop does not run what it is given")
		}
	}
	if len(seen) != 3 || b.allErr != nil {
		t.Errorf("%d loops of 3, %v", len(seen), b.allErr)
	}
	b.Stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestLoopsOfAnotherLayout(t *testing.T) {
	type balancer struct{ eventLoops []*int }
	type engine struct{ eventLoops *balancer }
	for _, engine := range []any{
		nil, 1,
		struct{}{},
		struct{ eng int }{},
		struct{ eng *engine }{},
		struct{ eng *engine }{&engine{}},
		struct{ eng *engine }{&engine{&balancer{}}},
		struct{ eng *engine }{&engine{&balancer{[]*int{new(int)}}}},
	} {
		if loops, err := loopsOf(engine); !errors.Is(err, errNoLoops) {
			t.Errorf("%#v gives %v, %v", engine, loops, err)
		}
	}
}
