package bench

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

// serve starts a server with one endpoint, and gives its URL.
func serve(t *testing.T, ep engine.Endpoint) string {
	t.Helper()
	srv, err := engine.New(engine.Config{Addr: "127.0.0.1:0", Loops: 1, Logger: slog.New(slog.DiscardHandler), ShutdownTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	srv.Handle("/", ep)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Run(ctx) }()
	<-srv.Ready()
	t.Cleanup(func() { cancel(); <-done })
	return "ws://" + srv.Addr().String() + "/"
}

// onMessage is an endpoint whose handler does one thing.
func onMessage(f func(c *engine.Conn, op engine.Op, p []byte)) engine.Endpoint {
	return engine.Endpoint{Handler: engine.HandlerFuncs{Message: f}}
}

func echoes(c *engine.Conn, op engine.Op, p []byte) { _ = c.Reply(op, p) }

func run(t *testing.T, p Echo) *Result {
	t.Helper()
	return runUntil(t, context.Background(), p)
}

// runUntil is run that ends early with ctx.
func runUntil(t *testing.T, ctx context.Context, p Echo) *Result {
	t.Helper()
	if p.Sizes == (Sizes{}) {
		p.Sizes = Sizes{Min: 20, Max: 20}
	}
	if p.Conns == 0 {
		p.Conns = 10
	}
	if p.Duration == 0 {
		p.Duration = time.Second
	}
	p.Loops = 1
	r, err := p.Run(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// near says whether a count is about what it should be.
func near(got uint64, want, tolerance float64) bool {
	return float64(got) >= want*(1-tolerance) && float64(got) <= want*(1+tolerance)
}

func TestEchoOfAHealthyServer(t *testing.T) {
	url := serve(t, onMessage(echoes))
	for name, p := range map[string]Echo{
		"constant":    {Rate: 2000},
		"poisson":     {Rate: 2000, Poisson: true},
		"text":        {Rate: 500, Text: true, Sizes: Sizes{Min: 16, Max: 4000}},
		"closed loop": {InFlight: 4},
		"compressed":  {Rate: 200, Text: true, Sizes: Sizes{Min: 300, Max: 300}, Target: Target{Compress: true}},
		"large":       {InFlight: 1, Conns: 2, Sizes: Sizes{Min: 1 << 20, Max: 1 << 20}},
	} {
		p.URL = url
		p.Warmup, p.Grace, p.Patience = 200*time.Millisecond, ample, ample
		r := run(t, p)
		if r.Counts.Errors() != 0 || r.Counts.Sent == 0 || r.Counts.Received != r.Counts.Sent || r.Latency.TotalCount() != int64(r.Counts.Received) {
			t.Errorf("%s: %+v, %d latencies, ended %v", name, r.Counts, r.Latency.TotalCount(), r.Ended)
		}
		if p.Rate > 0 && !near(r.Counts.Sent, p.Rate*p.durationOr(time.Second), 0.2) {
			t.Errorf("%s: %d were sent at %v a second", name, r.Counts.Sent, p.Rate)
		}
		if r.Handshake.TotalCount() != int64(r.Conns) {
			t.Errorf("%s: %d handshakes", name, r.Handshake.TotalCount())
		}
	}
}

func (p *Echo) durationOr(d time.Duration) float64 {
	if p.Duration == 0 {
		return d.Seconds()
	}
	return p.Duration.Seconds()
}

// What a server does wrong with 1 in 1000 messages is found, in that number.
func TestEchoFindsWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(n uint64, held *[]byte, c *engine.Conn, op engine.Op, p []byte)
		of   func(*Counts) uint64
	}{
		{"corrupt", func(n uint64, _ *[]byte, c *engine.Conn, op engine.Op, p []byte) {
			if n%1000 == 0 {
				p[len(p)-1] ^= 1
			}
			echoes(c, op, p)
		}, func(c *Counts) uint64 { return c.Corrupt }},
		{"dropped", func(n uint64, _ *[]byte, c *engine.Conn, op engine.Op, p []byte) {
			if n%1000 != 0 {
				echoes(c, op, p)
			}
		}, func(c *Counts) uint64 { return c.Lost }},
		{"doubled", func(n uint64, _ *[]byte, c *engine.Conn, op engine.Op, p []byte) {
			if n%1000 == 0 {
				echoes(c, op, p)
			}
			echoes(c, op, p)
		}, func(c *Counts) uint64 { return c.Duplicated }},
		{"reordered", func(n uint64, held *[]byte, c *engine.Conn, op engine.Op, p []byte) {
			if n%1000 == 0 && *held == nil {
				*held = slices.Clone(p)
				return
			}
			echoes(c, op, p)
			if *held != nil {
				echoes(c, op, *held)
				*held = nil
			}
		}, func(c *Counts) uint64 { return c.Reordered }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var n atomic.Uint64
			held := make(map[*engine.Conn]*[]byte)
			var wrong atomic.Uint64
			url := serve(t, onMessage(func(conn *engine.Conn, op engine.Op, p []byte) {
				if held[conn] == nil { // there is one loop
					held[conn] = new([]byte)
				}
				i := n.Add(1)
				if i%1000 == 0 {
					wrong.Add(1)
				}
				c.do(i, held[conn], conn, op, p)
			}))
			r := run(t, Echo{Target: Target{URL: url}, Rate: 12_000, Conns: 7, Grace: time.Second})
			want, got := wrong.Load(), c.of(&r.Counts)
			if c.name == "reordered" && got < want && want-got == r.Counts.Lost { // those that the server still holds
				want = got
			}
			if got < 10 || got != want {
				t.Errorf("%d found, %d were made; %+v", got, want, r.Counts)
			}
			others := r.Counts.Errors() - c.of(&r.Counts)
			if c.name == "corrupt" { // what has come back spoiled has not come back
				others -= r.Counts.Lost
			}
			if c.name == "reordered" && r.Counts.Lost <= 7 {
				others -= r.Counts.Lost
			}
			if others != 0 {
				t.Errorf("and other errors: %+v, %v", r.Counts, r.Ended)
			}
		})
	}
}

// A server that stands still for 200 ms in every second shows in the latencies of an
// open loop: messages that were due meanwhile have waited. A closed loop sends none
// meanwhile, and hides it.
func TestStallShowsInAnOpenLoop(t *testing.T) {
	last := time.Now()
	url := serve(t, onMessage(func(c *engine.Conn, op engine.Op, p []byte) {
		if time.Since(last) > time.Second {
			time.Sleep(200 * time.Millisecond)
			last = time.Now()
		}
		echoes(c, op, p)
	}))
	open := run(t, Echo{Target: Target{URL: url}, Rate: 1000, Duration: 3 * time.Second})
	closed := run(t, Echo{Target: Target{URL: url}, InFlight: 1, Conns: 1, Duration: 3 * time.Second})
	if p := open.Latency.At(95); p < 60*time.Millisecond {
		t.Errorf("open loop: p95 is %v, a sixth of the time the server stands still", p)
	}
	if p := closed.Latency.At(95); p > 60*time.Millisecond {
		t.Errorf("closed loop: p95 is %v", p)
	}
	if m := open.Latency.At(100); m < 180*time.Millisecond {
		t.Errorf("open loop: the longest is %v", m)
	}
}

func TestDelayedMessagesShow(t *testing.T) {
	n := 0
	url := serve(t, onMessage(func(c *engine.Conn, op engine.Op, p []byte) {
		if n++; n%100 == 0 {
			q := slices.Clone(p)
			time.AfterFunc(50*time.Millisecond, func() { _ = c.Send(op, q) })
			return
		}
		echoes(c, op, p)
	}))
	r := run(t, Echo{Target: Target{URL: url}, Rate: 500, Conns: 500, Duration: 2 * time.Second})
	slow := uint64(0)
	for _, bar := range r.Latency.Distribution() {
		if bar.From >= int64(49*time.Millisecond) {
			slow += uint64(bar.Count)
		}
	}
	if want := float64(r.Counts.Sent) / 100; float64(slow) < want*0.9 {
		t.Errorf("%d messages took 50 ms or more of %d, 1 in 100 should", slow, r.Counts.Sent)
	}
	if p := r.Latency.At(99.5); p < 49*time.Millisecond {
		t.Errorf("p99.5 is %v, and 1 in 100 messages took 50 ms", p)
	}
	if r.Counts.Errors() != 0 {
		t.Errorf("%+v", r.Counts)
	}
}

func TestRefusedHandshakesAreCounted(t *testing.T) {
	var n atomic.Uint64
	url := serve(t, engine.Endpoint{
		Handler: engine.HandlerFuncs{Message: echoes},
		Admit: func(*engine.Request) error {
			if n.Add(1)%10 == 0 {
				return &engine.Refusal{Status: 503}
			}
			return nil
		},
	})
	r := run(t, Echo{Target: Target{URL: url}, Rate: 1000, Conns: 200})
	if got := r.Refused["answered with 503 Service Unavailable"]; got != 20 || r.Handshake.TotalCount() != 180 {
		t.Errorf("refused %v, %d open", r.Refused, r.Handshake.TotalCount())
	}
	if r.Counts.Errors() != 0 {
		t.Errorf("%+v", r.Counts)
	}
}

func TestClosedConnectionsAreCounted(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var closed atomic.Uint64
	url := serve(t, onMessage(func(c *engine.Conn, op engine.Op, p []byte) {
		if rng.IntN(200) == 0 {
			closed.Add(1)
			_ = c.Close(4001, "by chance")
			return
		}
		echoes(c, op, p)
	}))
	r := run(t, Echo{Target: Target{URL: url}, Rate: 2000, Conns: 100})
	if got := r.Ended["closed with 4001 by chance"]; got == 0 || got != closed.Load() || r.Counts.Dropped != got {
		t.Errorf("%v of %d ended like that: %v", r.Ended, closed.Load(), r.Counts)
	}
}

func TestResultGoesToJSONAndBack(t *testing.T) {
	r := run(t, Echo{Target: Target{URL: serve(t, onMessage(echoes))}, Rate: 500, Duration: 300 * time.Millisecond})
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Result
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if back.Counts != r.Counts || back.Latency.At(99) != r.Latency.At(99) || back.Lag.TotalCount() != r.Lag.TotalCount() {
		t.Errorf("%+v is %+v", r, back)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// A latency of minutes is what it is.
func TestLongLatencies(t *testing.T) {
	h := Histogram{newHistogram()}
	record(h.Histogram, 5*time.Minute)
	if d := h.At(100); d < 299*time.Second || d > 301*time.Second {
		t.Errorf("5 min are %v", d)
	}
	if n := h.ByteSize(); n > 200_000 {
		t.Errorf("a histogram takes %d bytes", n)
	}
}

// What is due when no connection is left is not sent, and that is an error. When that is
// the client hears from the server, in two seconds at the latest.
func TestNobodyLeftIsNotSent(t *testing.T) {
	n := 0
	url := serve(t, onMessage(func(c *engine.Conn, op engine.Op, p []byte) {
		if n++; n > 10 {
			_ = c.Close(4001, "enough")
			return
		}
		echoes(c, op, p)
	}))
	r := run(t, Echo{Target: Target{URL: url}, Rate: 250, Conns: 3, Duration: 2 * time.Second, Grace: 100 * time.Millisecond})
	if c := r.Counts; c.Dropped != 3 || c.Sent < 10 || c.NotSent == 0 || !near(c.Sent+c.NotSent, 500, 0.01) {
		t.Errorf("%+v of 500 messages that were due, and 3 connections that ended", c)
	}
}

// What goes wrong with messages of the warm-up does not count.
func TestErrorsOfTheWarmUpDoNotCount(t *testing.T) {
	for name, p := range map[string]Echo{
		"open loop":   {Rate: 400},
		"closed loop": {InFlight: 2, Patience: 100 * time.Millisecond},
	} {
		p.URL = serve(t, onMessage(loses(10)))
		p.Warmup, p.Duration, p.Grace = 300*time.Millisecond, 300*time.Millisecond, 200*time.Millisecond
		r := run(t, p)
		if c := r.Counts; c.Received+c.Lost != c.Sent || c.Lost == 0 || c.Errors() != c.Lost {
			t.Errorf("%s: %+v", name, c)
		}
	}
	// Of the first messages three times as much comes back, and a part of it is spoilt.
	n := 0
	url := serve(t, onMessage(func(c *engine.Conn, op engine.Op, p []byte) {
		echoes(c, op, p)
		if n++; n <= 20 {
			echoes(c, op, p)
			echoes(c, op, p[1:])
		}
	}))
	r := run(t, Echo{Target: Target{URL: url}, Rate: 400, Warmup: 2 * time.Second, Duration: 200 * time.Millisecond})
	if r.Counts.Errors() != 0 || r.Counts.Sent == 0 {
		t.Errorf("only the warm-up was spoilt: %+v", r.Counts)
	}
}

// A closed loop goes on when a message is lost, and says that it has waited. Each of the
// five connections has one message on its way, so thirty are lost only if it goes on, and
// the first of each at most comes before what counts.
func TestClosedLoopGoesOn(t *testing.T) {
	ctx, enough := context.WithTimeout(t.Context(), time.Minute)
	defer enough()
	n := 0
	p := Echo{InFlight: 1, Conns: 5, Duration: time.Hour, Patience: 50 * time.Millisecond, Grace: 100 * time.Millisecond}
	p.URL = serve(t, onMessage(func(c *engine.Conn, op engine.Op, p []byte) {
		switch n++; {
		case n == 300:
			enough()
		case n%10 != 0:
			echoes(c, op, p)
		}
	}))
	r := runUntil(t, ctx, p)
	c := r.Counts
	if c.Lost < 25 || c.Received+c.Lost != c.Sent || c.Errors() != c.Lost {
		t.Errorf("%+v", c)
	}
	if !strings.Contains(strings.Join(r.Doubts, "\n"), "waited 50ms in vain for ") {
		t.Errorf("doubts: %q", r.Doubts)
	}
	p.Duration = 400 * time.Millisecond
	// What comes too late was given up, and is nothing else.
	m := 0
	p.URL = serve(t, onMessage(func(c *engine.Conn, op engine.Op, p []byte) {
		if m++; m%20 == 0 {
			q := slices.Clone(p)
			time.AfterFunc(150*time.Millisecond, func() { _ = c.Send(op, q) })
			return
		}
		echoes(c, op, p)
	}))
	r = run(t, p)
	if c := r.Counts; c.Lost == 0 || c.Errors() != c.Lost || c.Received+c.Lost != c.Sent {
		t.Errorf("what came late: %+v", c)
	}
	p.URL = serve(t, onMessage(func(c *engine.Conn, _ engine.Op, _ []byte) { _ = c.Close(4001, "") }))
	r = run(t, p)
	if !strings.Contains(strings.Join(r.Doubts, "\n"), "no connection was open at the end of ") {
		t.Errorf("nobody left: %q, %+v", r.Doubts, r.Series)
	}
}
