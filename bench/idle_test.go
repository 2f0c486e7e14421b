package bench

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/headrace/headrace/engine"
)

// idle runs one, and checks that nothing has got lost in its books.
func idle(t *testing.T, p Idle) *Result {
	t.Helper()
	if p.Duration == 0 {
		p.Duration = 500 * time.Millisecond
	}
	p.Loops = 1
	r, err := p.Run(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	i := r.Idle
	if i.Asked != uint64(p.Conns) || i.Asked != i.Opened+i.Refused+i.NotBegun || i.Opened != i.Dropped+i.Left || i.Dropped != r.Counts.Dropped {
		t.Errorf("of %d handshakes %d were opened, %d refused, %d not begun; of the connections %d were dropped, %d left", i.Asked, i.Opened, i.Refused, i.NotBegun, i.Dropped, i.Left)
	}
	n := 0
	for _, e := range i.Ends {
		n += e.Conns
	}
	if uint64(n) != i.Dropped {
		t.Errorf("%d were dropped: %+v", i.Dropped, i.Ends)
	}
	return r
}

func TestIdleHoldsConnections(t *testing.T) {
	t.Parallel()
	var n atomic.Uint64
	url := serve(t, engine.Endpoint{
		Handler: engine.HandlerFuncs{},
		Admit: func(*engine.Request) error {
			if n.Add(1)%10 == 0 {
				return &engine.Refusal{Status: 503}
			}
			return nil
		},
	})
	r := idle(t, Idle{Target: Target{URL: url, PID: os.Getpid()}, Conns: 100, Duration: 400 * time.Millisecond})
	if i := r.Idle; i.Refused != 10 || i.Left != 90 || i.Pings != 0 || len(r.Series) == 0 || r.Series[len(r.Series)-1].Conns != 90 {
		t.Errorf("%+v, %+v", i, r.Series)
	}
	if m := r.Idle.Memory; m == nil || m.Conns != 90 || m.With == 0 || m.Before == 0 || m.After == 0 {
		t.Errorf("memory: %+v", m)
	}
}

// A server that closes idle connections with 1001 after a second closes all of them, none
// earlier.
func TestIdleFindsWhoIsDropped(t *testing.T) {
	t.Parallel()
	url := serve(t, engine.Endpoint{Handler: engine.HandlerFuncs{}, IdleTimeout: time.Second})
	r := idle(t, Idle{Target: Target{URL: url}, Conns: 50, Duration: time.Minute})
	if i := r.Idle; i.Dropped != 50 || len(i.Ends) != 1 || i.Ends[0].Why != "closed with 1001 no message for too long" || i.Ends[0].AgeP50 < 0.25 {
		t.Errorf("%+v", i)
	}
	if r.Seconds > 40 {
		t.Errorf("it has waited %v s, with nobody left", r.Seconds)
	}
}

func TestIdleSeesTheServersPings(t *testing.T) {
	t.Parallel()
	const every = 200 * time.Millisecond
	url := serve(t, engine.Endpoint{Handler: engine.HandlerFuncs{}, PingInterval: every, PongTimeout: 30 * time.Second})
	r := idle(t, Idle{Target: Target{URL: url}, Conns: 20, Duration: 1500 * time.Millisecond})
	i := r.Idle
	gap := i.PingGap.At(50)
	if i.Left != 20 || i.PingsLeft.Min == 0 || float64(i.PingsLeft.Max) > 2+(r.Seconds+i.Connecting+3)/every.Seconds() || float64(i.Pings) != math.Round(20*i.PingsLeft.Mean) || gap < every*7/10 {
		t.Errorf("%+v, the time between two is %v", i, gap)
	}
}

func TestIdleAsksWithPings(t *testing.T) {
	t.Parallel()
	url := serve(t, engine.Endpoint{Handler: engine.HandlerFuncs{}})
	r := idle(t, Idle{Target: Target{URL: url}, Conns: 50, Duration: time.Second, PingEvery: 250 * time.Millisecond, Grace: 20 * time.Second})
	c := r.Counts
	if c.Sent+c.NotSent < 150 || c.Sent+c.NotSent > 200 || c.Received != c.Sent || c.Lost != 0 || r.Latency.TotalCount() != int64(c.Received) {
		t.Errorf("%+v, %d latencies; 50 connections, four times each", c, r.Latency.TotalCount())
	}
	silent := serveRaw(t, func(_ int, conn net.Conn) { sink(conn) })
	r = idle(t, Idle{Target: Target{URL: silent.url}, Conns: 10, Duration: 300 * time.Millisecond, PingEvery: 100 * time.Millisecond, Grace: 50 * time.Millisecond})
	if c := r.Counts; c.Sent != 10 || c.Lost != 10 || c.Received != 0 || c.NotSent == 0 {
		t.Errorf("nobody answers: %+v", c)
	}
}

// Of a server's connections every third breaks when all are open, the others stay; what it
// sends unasked is counted.
func TestIdleWhenSomeBreak(t *testing.T) {
	t.Parallel()
	var greeted sync.WaitGroup
	greeted.Add(60)
	srv := serveRaw(t, func(n int, conn net.Conn) {
		_ = wsutil.WriteServerText(conn, []byte("hello"))
		_ = wsutil.WriteServerMessage(conn, ws.OpPing, nil)
		if _, err := ws.ReadHeader(conn); err != nil { // the pong: it has read up to there
			t.Error(err)
		}
		greeted.Done()
		if n%3 == 0 {
			greeted.Wait()
			_ = conn.(*net.TCPConn).SetLinger(0)
			return
		}
		polite(conn)
	})
	r := idle(t, Idle{Target: Target{URL: srv.url}, Conns: 60, Duration: 1200 * time.Millisecond})
	if i := r.Idle; i.Dropped != 20 || i.Left != 40 || i.Messages != 60 || len(i.Ends) != 1 {
		t.Errorf("%+v", i)
	}
}

// What Ctrl-C does: the run ends early, and the books are still right.
func TestConnectionsAreCountedWhenTheRunIsEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	srv := serveRaw(t, func(n int, conn net.Conn) {
		if n == 10 {
			cancel()
		}
		polite(conn)
	})
	r, err := Idle{Target: Target{URL: srv.url}, Opening: Opening{Rate: 50}, Conns: 10000, Duration: time.Minute, Loops: 1}.Run(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if i := r.Idle; i.Opened == 0 || i.Left != i.Opened || i.NotBegun != 10000-i.Opened || i.Refused != 0 || len(r.Doubts) == 0 {
		t.Errorf("idle: %+v, %q", i, r.Doubts)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	go func() {
		if conn, err := l.Accept(); err == nil {
			defer conn.Close()
			cancel()
			<-t.Context().Done()
		}
	}()
	r, err = Storm{Target: Target{URL: "ws://" + l.Addr().String()}, Rate: 50, Duration: time.Minute, Loops: 1}.Run(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := r.Storm; s.Interrupted == 0 || s.Interrupted != s.Asked || len(r.Doubts) == 0 {
		t.Errorf("storm: %+v, %q", s, r.Doubts)
	}
}

func TestIdleAtAServerThatDies(t *testing.T) {
	t.Parallel()
	var srv *rawServer
	srv = serveRaw(t, func(n int, conn net.Conn) {
		if n == 30 {
			srv.die()
		}
		sink(conn)
	})
	r := idle(t, Idle{Target: Target{URL: srv.url}, Opening: Opening{Rate: 100, AtOnce: 1}, Conns: 60, Duration: time.Minute})
	if i := r.Idle; i.Left != 0 || i.Refused == 0 || i.Opened == 0 || i.DroppedBefore == 0 {
		t.Errorf("%+v, refused %v", i, r.Refused)
	}
}

// metricsOf serves a page of metrics.
func metricsOf(t *testing.T, page func() string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, page()) }))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestMemoryFromMetrics(t *testing.T) {
	t.Parallel()
	var open atomic.Int64
	url := serve(t, engine.Endpoint{Handler: engine.HandlerFuncs{
		Open:  func(*engine.Conn) { open.Add(1) },
		Close: func(*engine.Conn, engine.CloseInfo) { open.Add(-1) },
	}})
	page := metricsOf(t, func() string {
		n := open.Load()
		return fmt.Sprintf("# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %d\nheadrace_websocket_connections %d\n", 1_000_000+5000*n, n)
	})
	r := idle(t, Idle{Target: Target{URL: url}, Conns: 80, Metrics: page, Duration: 700 * time.Millisecond})
	m := r.Idle.Memory
	if m == nil || m.Before != 1_000_000 || m.With != 1_400_000 || m.Conns != 80 || m.PerConn != 5000 || m.After != 1_000_000 || r.Idle.Gauge != 80 {
		t.Errorf("%+v, gauge %v", m, r.Idle.Gauge)
	}
	for wants, page := range map[string]func() string{
		"there is no process_resident": func() string { return "go_goroutines 7\n" },
		"no page of metrics":           func() string { return "<html>" },
		"longer than":                  func() string { return strings.Repeat("# 0123456789\n", maxMetrics/12) },
	} {
		_, err := Idle{Target: Target{URL: url}, Conns: 1, Metrics: metricsOf(t, page), Duration: time.Second}.Run(context.Background(), nil)
		if err == nil || !strings.Contains(err.Error(), wants) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", wants, err)
		}
	}
}

func TestLeastSquares(t *testing.T) {
	looks := []look{{conns: 0, resident: 900_000}}
	for n := 0; n <= 1000; n += 100 {
		noise := uint64(1000 * (n / 100 % 2))
		looks = append(looks, look{at: time.Duration(n), conns: n, resident: 1_000_000 + 3000*uint64(n) + noise})
	}
	looks = append(looks, look{at: 2000, conns: 1000, resident: 4_500_000}, look{at: 2001, conns: 900, resident: 9_000_000})
	m := memoryOf(looks, 1000)
	if m.PerConn != 3600 || math.Abs(m.Slope-3000) > 200 || m.Fit < 0.99 {
		t.Errorf("%+v", m)
	}
	if m := memoryOf(looks[:3], 1000); m.Slope != 0 {
		t.Errorf("of three looks: %+v", m)
	}
}

func TestLooksAreThinned(t *testing.T) {
	l := newLooker(nil, time.Now(), func() int { return 1 })
	for range 3 * mostLooks {
		l.look(context.Background())
	}
	if all, err := l.all(); err != nil || len(all) >= mostLooks || len(all) < mostLooks/4 || l.every < 100*time.Millisecond {
		t.Errorf("%d looks, one every %v, %v", len(all), l.every, err)
	}
}

func TestEndingsAreBounded(t *testing.T) {
	e := make(endings)
	for i := range 3 * maxReasons {
		e.add(fmt.Sprint("reason ", i), time.Duration(i), time.Second)
	}
	list := e.list(0)
	if len(list) != maxReasons+1 || list[0].Why != otherReasons || list[0].Conns != 2*maxReasons {
		t.Errorf("%d reasons, the first %+v", len(list), list[0])
	}
	if table := endedTable(list); len(table.Rows) != maxRows+1 || table.Rows[maxRows][1] != fmt.Sprint(maxReasons+1-maxRows) {
		t.Errorf("%q", table.Rows[len(table.Rows)-1])
	}
}

func TestIdlesAreChecked(t *testing.T) {
	for what, p := range map[string]Idle{
		"a connection":   {Duration: time.Second},
		"a duration":     {Conns: 1},
		"every 10ms":     {Conns: 1, Duration: time.Second, PingEvery: time.Microsecond},
		"not from both":  {Conns: 1, Duration: time.Second, Metrics: "http://h/metrics", Target: Target{PID: 1}},
		"it must be htt": {Conns: 1, Duration: time.Second, Metrics: "h:9090"},
	} {
		p.URL = "ws://h/"
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Thresholds about what was not measured do not pass.
func TestThresholdsOfConnections(t *testing.T) {
	h := newHistogram()
	record(h, 50*time.Millisecond)
	storm := &Result{Handshake: Histogram{h}, Storm: &StormResult{PerSecond: 480.123, NotBegun: 3}}
	idle := &Result{Idle: &IdleResult{Memory: &Memory{PerConn: 5000}}}
	for _, c := range []struct {
		of      *Result
		text    string
		crossed bool
		says    string
	}{
		{storm, "handshakes<500", true, "it is 480.12"},
		{storm, "handshakes<400", false, ""},
		{storm, "not-begun>0", true, "it is 3"},
		{storm, "handshake-p99>40ms", true, "it is 50"},
		{storm, "handshake-max>60ms", false, ""},
		{storm, "p99>1s", true, "not measured"},
		{storm, "memory>1", true, "not measured"},
		{idle, "memory>4096", true, "it is 5000"},
		{idle, "memory<4096", false, ""},
		{idle, "handshake-p50>1s", true, "not measured"},
	} {
		limit, err := ParseThreshold(c.text)
		if err != nil {
			t.Error(err)
			continue
		}
		if crossed, is := limit.Crossed(c.of); crossed != c.crossed || crossed && !strings.Contains(is, c.says) {
			t.Errorf("%s: %v, %q", c.text, crossed, is)
		}
	}
	for _, bad := range []string{"handshake>1s", "handshake-p0>1s", "handshake-p99>10", "handshakes-p99>1s", "memory>4KiB"} {
		if _, err := ParseThreshold(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
