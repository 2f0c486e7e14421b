package bench

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/engine"
)

// storm runs one, and checks that nothing has got lost in its books.
func storm(t *testing.T, p Storm) *Result {
	t.Helper()
	if p.Duration == 0 {
		p.Duration = 300 * time.Millisecond
	}
	p.Loops = 1
	r, err := p.Run(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := r.Storm
	if s.Asked != s.Opened+s.Refused+s.NotBegun+s.Interrupted {
		t.Errorf("of %d handshakes asked for %d were opened, %d refused, %d not begun, %d interrupted", s.Asked, s.Opened, s.Refused, s.NotBegun, s.Interrupted)
	}
	if s.Opened != s.Closed+s.Unclean+s.Dropped+s.Left {
		t.Errorf("of %d connections %d were closed, %d not cleanly, %d dropped, %d left", s.Opened, s.Closed, s.Unclean, s.Dropped, s.Left)
	}
	if n := uint64(r.Handshake.TotalCount()); n != s.Opened {
		t.Errorf("%d handshakes were measured, %d opened", n, s.Opened)
	}
	if r.Refusals() != s.Refused {
		t.Errorf("%v were refused, %d in all", r.Refused, s.Refused)
	}
	if sum := summed(r.Series); sum.Sent != s.Asked-s.NotBegun || sum.Received != s.Opened || sum.Errors() != s.Refused+s.NotBegun+s.Dropped+r.Counts.Corrupt {
		t.Errorf("the series has %d handshakes, %d opened, %d errors; the result %+v", sum.Sent, sum.Received, sum.Errors(), s)
	}
	return r
}

func TestStormCountsRefusals(t *testing.T) {
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
	r := storm(t, Storm{Target: Target{URL: url}, Rate: 400})
	if s := r.Storm; s.Asked != 120 || s.Refused != n.Load()/10 || s.Opened != n.Load()-n.Load()/10 || s.Left != s.Opened {
		t.Errorf("the server was asked %d times: %+v", n.Load(), s)
	}
	if r.Refused["answered with 503 Service Unavailable"] != r.Storm.Kinds[refusedByStatus] || r.Storm.Refusal.TotalCount() != int64(r.Storm.Refused) {
		t.Errorf("%v, %v", r.Refused, r.Storm.Kinds)
	}
	var back Result
	if b, err := json.Marshal(r); err != nil || json.Unmarshal(b, &back) != nil || back.Storm.Asked != r.Storm.Asked || back.Storm.Refusal.TotalCount() != r.Storm.Refusal.TotalCount() || len(back.Plots) != 2 {
		t.Errorf("it goes to JSON and comes back as %+v, %v", back.Storm, err)
	}
}

func TestStormSeesRetryAfter(t *testing.T) {
	t.Parallel()
	var n atomic.Uint64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", map[bool]string{true: "3", false: "7"}[n.Add(1)%2 == 0])
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer srv.Close()
	r := storm(t, Storm{Target: Target{URL: strings.Replace(srv.URL, "http", "ws", 1)}, Rate: 100})
	s := r.Storm
	if s.Opened != 0 || s.Refused != n.Load() || s.RetryAfter == nil || *s.RetryAfter != (RetryAfter{n.Load(), 3, 7}) {
		t.Errorf("asked %d times: %+v, %+v", n.Load(), s, s.RetryAfter)
	}
	if r.Refused["answered with 429 Too Many Requests"] != n.Load() {
		t.Errorf("%v", r.Refused)
	}
}

// A server that takes connections and never answers: handshakes run out of time, and
// what is due while too many wait is told, not put off.
func TestStormAtASilentServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := storm(t, Storm{
		Target: Target{URL: "ws://" + l.Addr().String(), DialTimeout: 200 * time.Millisecond},
		Rate:   200, MaxDialing: 10,
	})
	s := r.Storm
	if s.Opened != 0 || s.Asked != 60 || s.Refused < 10 || s.Kinds[refusedTimeout] != s.Refused || s.NotBegunFor[tooManyDialing] != s.NotBegun || s.NotBegun == 0 {
		t.Errorf("%+v", s)
	}
	if len(r.Doubts) == 0 || !strings.Contains(strings.Join(r.Doubts, "\n"), "not begun") {
		t.Errorf("%q", r.Doubts)
	}
}

func TestChurn(t *testing.T) {
	t.Parallel()
	url := serve(t, onMessage(echoes))
	for name, p := range map[string]Storm{
		"open loop":   {Rate: 200},
		"poisson":     {Rate: 200, Poisson: true},
		"text":        {Rate: 100, Text: true, Sizes: Sizes{Min: 16, Max: 4000}},
		"held":        {Rate: 100, Hold: 50 * time.Millisecond},
		"warm-up":     {Rate: 100, Warmup: 200 * time.Millisecond},
		"closed loop": {AtOnce: 5},
	} {
		p.URL, p.Churn, p.Grace = url, true, 20*time.Second
		r := storm(t, p)
		s, c := r.Storm, r.Counts
		if s.Opened == 0 || s.Refused != 0 || s.Closed != s.Opened || s.Closing.TotalCount() != int64(s.Closed) {
			t.Errorf("%s: %+v, ended %v", name, s, r.Ended)
		}
		if c.Sent != s.Opened || c.Received != c.Sent || c.Errors() != 0 || r.Latency.TotalCount() != int64(c.Received) {
			t.Errorf("%s: %+v", name, c)
		}
		if p.Rate > 0 && !p.Poisson && s.Asked != uint64(p.Rate*3/10) {
			t.Errorf("%s: %d asked for in 0.3 s at %v", name, s.Asked, p.Rate)
		}
	}
}

// What the server does wrong to one in five is found, in that number.
func TestChurnFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]func(c *engine.Conn, op engine.Op, p []byte){
		"corrupt": func(c *engine.Conn, op engine.Op, p []byte) { p[len(p)-1] ^= 1; echoes(c, op, p) },
		"closed":  func(c *engine.Conn, _ engine.Op, _ []byte) { _ = c.Close(4001, "by chance") },
		"lost":    func(*engine.Conn, engine.Op, []byte) {},
	} {
		var n, spoiled atomic.Uint64
		url := serve(t, onMessage(func(c *engine.Conn, op engine.Op, p []byte) {
			if n.Add(1)%5 == 0 {
				spoiled.Add(1)
				wrong(c, op, p)
				return
			}
			echoes(c, op, p)
		}))
		grace := 20 * time.Second
		if name == "lost" { // they will not come
			grace = time.Second
		}
		r := storm(t, Storm{Target: Target{URL: url}, Rate: 200, Churn: true, Grace: grace})
		s, c, done := r.Storm, r.Counts, spoiled.Load()
		if done != s.Opened/5 || c.Received != s.Opened-done {
			t.Errorf("%s: %d done to %d connections: %+v", name, done, s.Opened, c)
		}
		want := map[string][4]uint64{"corrupt": {done, 0, 0, 0}, "closed": {0, done, done, 0}, "lost": {0, done, 0, done}}[name]
		if got := [4]uint64{c.Corrupt, c.Lost, s.Dropped, s.Left}; got != want {
			t.Errorf("%s: %v corrupt, lost, dropped, left; %v wanted; ended %v", name, got, want, r.Ended)
		}
		if name == "closed" && r.Ended["closed with 4001 by chance"] != done {
			t.Errorf("%v", r.Ended)
		}
	}
}

// A server that dies in the middle: what was open is dropped, what comes later is
// refused, and nothing is counted twice.
func TestStormWhenTheServerDies(t *testing.T) {
	t.Parallel()
	var srv *rawServer
	srv = serveRaw(t, func(n int, conn net.Conn) {
		if n == 50 {
			srv.die()
		}
		sink(conn)
	})
	r := storm(t, Storm{Target: Target{URL: srv.url}, Rate: 200, Duration: time.Second})
	s := r.Storm
	srv.mu.Lock()
	granted := uint64(srv.opened)
	srv.mu.Unlock()
	if s.Asked != 200 || s.Opened > granted || s.Opened == 0 || s.Dropped != s.Opened || s.Left != 0 || s.Kinds[refusedByTCP] != s.Refused || s.Refused == 0 {
		t.Errorf("the server has granted %d: %+v, refused %v, ended %v", granted, s, r.Refused, r.Ended)
	}
	if len(r.Ended) > 3 {
		t.Errorf("the ends are told apart too well: %v", r.Ended)
	}
}

func TestStormStaysWithinMaxOpen(t *testing.T) {
	t.Parallel()
	url := serve(t, engine.Endpoint{Handler: engine.HandlerFuncs{}})
	r := storm(t, Storm{Target: Target{URL: url}, Rate: 200, Hold: time.Minute, MaxOpen: 20, Grace: time.Millisecond})
	if s := r.Storm; s.Opened != 20 || s.Left != 20 || s.MostOpen != 20 || s.NotBegunFor[tooManyOpen] != 40 {
		t.Errorf("open loop: %+v", s)
	}
	began := time.Now()
	r = storm(t, Storm{Target: Target{URL: url}, AtOnce: 7, MaxOpen: 100, Duration: time.Minute})
	if s := r.Storm; s.Opened != 100 || s.Left != 100 || s.NotBegun != 0 || time.Since(began) > 40*time.Second {
		t.Errorf("closed loop, %v: %+v", time.Since(began), s)
	}
}

func TestStormTellsKindsApart(t *testing.T) {
	t.Parallel()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	r := storm(t, Storm{Target: Target{URL: strings.Replace(secure.URL, "http", "ws", 1)}, Rate: 50})
	if s := r.Storm; s.Kinds[refusedByTLS] != s.Asked {
		t.Errorf("a certificate that nobody knows: %v, %v", s.Kinds, r.Refused)
	}
	for _, c := range []struct {
		err  error
		kind string
	}{
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", unix.EADDRNOTAVAIL)}, refusedPorts},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("bind", unix.EADDRINUSE)}, refusedPorts},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("bind", unix.EADDRNOTAVAIL)}, refusedByTCP},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", unix.ECONNREFUSED)}, refusedByTCP},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", unix.ETIMEDOUT)}, refusedTimeout},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", unix.EMFILE)}, refusedFiles},
	} {
		if got := kindOf(c.err); got != c.kind {
			t.Errorf("%v is %s, not %s", c.err, got, c.kind)
		}
	}
}

func TestStormWithNobodyThereIsAnError(t *testing.T) {
	t.Parallel()
	for what, at := range map[string]Target{
		"connection refused":         {URL: "ws://127.0.0.1:1/"},
		"no address of this machine": {URL: "ws://127.0.0.1:1/", LocalAddrs: []net.IP{net.IPv4(192, 0, 2, 1)}},
	} {
		_, err := Storm{Target: at, Rate: 50, Duration: 100 * time.Millisecond, Loops: 1}.Run(context.Background(), nil)
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestStormsAreChecked(t *testing.T) {
	for what, p := range map[string]Storm{
		"a rate is":             {Rate: -1},
		"either a rate":         {Rate: 1, AtOnce: 1},
		"give one":              {Poisson: true},
		"not negative":          {MaxOpen: -1},
		"more than may be open": {AtOnce: 20, MaxOpen: 10},
		"a duration":            {Rate: 1, Duration: -1},
		"to be known":           {Rate: 1, Churn: true, Sizes: Sizes{Min: 3, Max: 3}},
		"which are kept":        {Rate: 2000, Duration: time.Minute},
		"no ws:// or wss://":    {Target: Target{URL: "http://h/"}, Rate: 1},
	} {
		if p.URL == "" {
			p.URL = "ws://h/"
		}
		if p.Duration == 0 {
			p.Duration = time.Second
		}
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
