package pubsub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

// shortLived is a server that a hub outlives.
type shortLived struct {
	t      testing.TB
	server *engine.Server
	client *engine.Client
	opened chan *engine.Conn
	cancel context.CancelFunc
	done   chan struct{}
}

// newShortLived starts a server, whose connections are given to open.
func newShortLived(t testing.TB, loops int, h engine.HandlerFuncs) *shortLived {
	t.Helper()
	s := &shortLived{t: t, opened: make(chan *engine.Conn, 100), done: make(chan struct{})}
	if h.Open == nil {
		h.Open = func(c *engine.Conn) { s.opened <- c }
	}
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	var err error
	s.server, err = engine.New(engine.Config{Addr: "127.0.0.1:0", Loops: loops, Logger: logger, ShutdownTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s.server.Handle("/", engine.Endpoint{Handler: h})
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	server, done := s.server, s.done
	go func() { defer close(done); _ = server.Run(ctx) }()
	<-s.server.Ready()
	if s.client, err = engine.NewClient(engine.ClientConfig{Logger: logger}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *shortLived) dial(ctx context.Context) (*engine.Conn, error) {
	h := engine.HandlerFuncs{Message: func(*engine.Conn, engine.Op, []byte) {}}
	d, err := s.client.Dialer("ws://"+s.server.Addr().String()+"/", engine.DialOptions{Endpoint: engine.Endpoint{Handler: h}})
	if err != nil {
		return nil, err
	}
	return d.Dial(ctx)
}

func (s *shortLived) join() *engine.Conn {
	s.t.Helper()
	if _, err := s.dial(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	return <-s.opened
}

// cut ends the server without leave.
func (s *shortLived) cut() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_ = s.server.Shutdown(ctx)
	s.cancel()
}

func (s *shortLived) ended() {
	<-s.done
	_ = s.client.Close()
}

// nothingLeft waits until a hub knows no loop, no subscription and no interest.
func nothingLeft(t testing.TB, hub *Hub) {
	t.Helper()
	eventually(t, "nothing is left", func() bool {
		shards := 0
		hub.eachShard(func(*shard) { shards++ })
		hub.interestMu.RLock()
		defer hub.interestMu.RUnlock()
		return shards == 0 && hub.interests.len() == 0 && hub.Stats().Subscriptions == 0
	})
}

// A loop that ends before it has begun a subscription takes it along, and what waits
// for the loop holds up nobody.
func TestLoopEndsBeforeASubscriptionBegins(t *testing.T) {
	hub, err := New(Config{MaxBacklog: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	s := newShortLived(t, 1, engine.HandlerFuncs{})
	c := s.join()
	release := block(c)
	if err := hub.Subscribe(c, "t", Options{}); err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, 10<<10)
	for err = nil; err == nil; {
		_, err = hub.Publish("t", "", payload)
	}
	if !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	s.cut()
	release()
	s.ended()
	nothingLeft(t, hub)
	for range 20 {
		if _, err := hub.Publish("t", "", payload); err != nil {
			t.Fatal("nobody is left, and yet: ", err)
		}
	}
	if n := hub.Subscribers("t"); n != 0 {
		t.Errorf("%d subscribers", n)
	}
}

// Connections that come, subscribe and subscribe again while their server is cut leave
// nothing behind.
func TestServerIsCutWhileConnectionsSubscribe(t *testing.T) {
	hub, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		var subscribed atomic.Int64
		s := newShortLived(t, 2, engine.HandlerFuncs{
			Open: func(c *engine.Conn) { _ = hub.Subscribe(c, "t", Options{}) },
			Message: func(c *engine.Conn, _ engine.Op, _ []byte) {
				_ = hub.Unsubscribe(c, "t")
				if hub.Subscribe(c, "t", Options{}) == nil {
					subscribed.Add(1)
				}
			},
		})
		ctx, stop := context.WithCancel(context.Background())
		var dialing sync.WaitGroup
		for range 10 {
			dialing.Add(1)
			go func() {
				defer dialing.Done()
				for ctx.Err() == nil {
					c, err := s.dial(ctx)
					if err != nil {
						return
					}
					for range 20 {
						_ = c.Send(engine.Text, []byte("again"))
					}
				}
			}()
		}
		eventually(t, "many subscribe", func() bool { return subscribed.Load() > 200 })
		s.cut()
		stop()
		s.ended()
		dialing.Wait()
	}
	nothingLeft(t, hub)
}

// freed waits until the garbage collector has taken n things.
func freed(t testing.TB, what string, count *atomic.Int32, n int32) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " ", what, " are freed"), func() bool { runtime.GC(); return count.Load() >= n })
}

// A hub that is closed does not stay with the connections that it had.
func TestClosedHubIsFreed(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	l := s.join()
	var count atomic.Int32
	const hubs = 5
	for range hubs {
		func() {
			h, err := New(Config{Encoder: plainText{}})
			if err != nil {
				t.Fatal(err)
			}
			runtime.AddCleanup(h, func(int) { count.Add(1) }, 0)
			if err := h.Subscribe(l.conn, "x", Options{}); err != nil {
				t.Fatal(err)
			}
			l.waitLive("x")
			l.forget()
			if _, err := h.Publish("x", "", []byte("1")); err != nil {
				t.Fatal(err)
			}
			l.waitCount(1)
			l.forget()
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
		}()
	}
	freed(t, "hubs", &count, hubs-1) // one may lie about in the loop's scratch
	if !l.conn.IsOpen() {
		t.Error("the connection is closed")
	}
}

// Topics that nobody publishes to any more keep no server that has ended.
func TestEndedServersAreFreed(t *testing.T) {
	hub, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	var count atomic.Int32
	const servers = 4
	for i := range servers {
		func() {
			s := newShortLived(t, 1, engine.HandlerFuncs{})
			runtime.AddCleanup(s.server, func(int) { count.Add(1) }, 0)
			c := s.join()
			if err := hub.Subscribe(c, ">", Options{}); err != nil {
				t.Fatal(err)
			}
			if _, err := hub.Publish(fmt.Sprint("config.", i), "", []byte("rarely changed")); err != nil {
				t.Fatal(err)
			}
			settle(c)
			s.cut()
			s.ended()
		}()
	}
	nothingLeft(t, hub)
	freed(t, "servers", &count, servers-1) // one may lie about in a pool
	runtime.KeepAlive(hub)
}

// A hub that is closed while others subscribe, publish and unsubscribe ends all of it.
func TestHubIsClosedInAStorm(t *testing.T) {
	for round := range 5 {
		s := newStage(t, Config{}, engine.Endpoint{}, 2)
		var conns []*listener
		for range 4 {
			conns = append(conns, s.join())
		}
		var storm sync.WaitGroup
		var did atomic.Int64
		for g := range 4 {
			storm.Add(1)
			go func() {
				defer storm.Done()
				r := rand.New(rand.NewPCG(uint64(round), uint64(g)))
				for i := 0; ; i++ {
					c, name := conns[r.IntN(len(conns))], fmt.Sprint("a.", r.IntN(5))
					if _, err := s.hub.Publish(name, "", []byte("x")); err == ErrHubClosed {
						return
					}
					if err := s.hub.Subscribe(c.conn, name, Options{Mode: Latest, MaxRate: 100}); err == ErrHubClosed {
						return
					}
					if i%3 == 0 {
						_ = s.hub.Unsubscribe(c.conn, name)
					}
					did.Add(1)
				}
			}()
		}
		eventually(t, "the storm blows", func() bool { return did.Load() > 200 })
		if err := s.hub.Close(); err != nil {
			t.Error(err)
		}
		storm.Wait()
		nothingLeft(t, s.hub)
		for _, c := range conns {
			if !c.conn.IsOpen() {
				t.Error("a connection is closed")
			}
		}
	}
}
