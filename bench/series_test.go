package bench

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

// stallsOnce is a handler that stands still from 200 to 900 ms after its first message.
func stallsOnce() func(c *engine.Conn, op engine.Op, p []byte) {
	var first time.Time // there is one loop
	return func(c *engine.Conn, op engine.Op, p []byte) {
		if first.IsZero() {
			first = time.Now()
		}
		if since := time.Since(first); since > 200*time.Millisecond && since < 900*time.Millisecond {
			time.Sleep(900*time.Millisecond - since)
		}
		echoes(c, op, p)
	}
}

// withLate gives a run of which something comes late. Nothing does where the machine stands
// still when the run ends, so there are a few.
func withLate(t *testing.T, run func() *Result) *Result {
	t.Helper()
	var r *Result
	for range 5 {
		r = run()
		if n := len(r.Series); n > 1 && r.Series[n-1].At > r.Seconds+hardly.Seconds() {
			return r
		}
	}
	t.Fatalf("nothing comes late: %+v, of %v s", r.Series, r.Seconds)
	return nil
}

// What comes back after the end of a scenario has a point of its own in the series, whose
// sums are the result's (perform looks at that).
func TestScenarioSeriesHasWhatComesLate(t *testing.T) {
	t.Parallel()
	r := withLate(t, func() *Result {
		return perform(t, serve(t, onMessage(stallsOnce())), echoKind+`
phases:
  - {name: one, for: 250ms, connections: 3, rate: 400}
  - {name: two, for: 250ms}
`)
	})
	noErrors(t, r)
	if last := r.Series[len(r.Series)-1]; last.Received == 0 || last.Max < 300 {
		t.Errorf("%+v, of %v s", r.Series, r.Seconds)
	}
	if at := r.Counted.Sub(r.Started); at <= 0 || at > 10*time.Second {
		t.Errorf("it counts %v after its beginning", at)
	}
}

// So have handshakes of a storm that are decided after the end, and what becomes of
// their connections (storm looks at that).
func TestStormSeriesHasWhatComesLate(t *testing.T) {
	t.Parallel()
	n := 0 // the one that is slow is the twentieth of each run
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	srv.Listener = &slowToAccept{srv.Listener, func() {
		if n++; n%50 == 20 {
			time.Sleep(700 * time.Millisecond)
		}
	}}
	srv.Start()
	defer srv.Close()
	r := withLate(t, func() *Result {
		return storm(t, Storm{Target: Target{URL: strings.Replace(srv.URL, "http", "ws", 1)}, Rate: 100, Duration: 500 * time.Millisecond})
	})
	last := r.Series[len(r.Series)-1]
	if s := r.Storm; s.Refused != s.Asked || last.Errors < 10 {
		t.Errorf("%+v, of %+v", r.Series, s)
	}
}

// slowToAccept is a listener that does something before it accepts.
type slowToAccept struct {
	net.Listener
	before func()
}

func (l *slowToAccept) Accept() (net.Conn, error) {
	l.before()
	return l.Listener.Accept()
}

// summed is what a series says in all.
func summed(series []Point) (c Counts) {
	for i := range series {
		c.Sent += series[i].Sent
		c.Received += series[i].Received
		c.Lost += series[i].Errors
	}
	return c
}

// loses is a handler that does not answer 1 in n messages.
func loses(n int) func(c *engine.Conn, op engine.Op, p []byte) {
	i := 0 // there is one loop
	return func(c *engine.Conn, op engine.Op, p []byte) {
		if i++; i%n != 0 {
			echoes(c, op, p)
		}
	}
}

// What comes back after the end, and what never does, is in the series as well.
func TestSeriesHasWhatComesLate(t *testing.T) {
	for name, does := range map[string]func() func(c *engine.Conn, op engine.Op, p []byte){
		"lost":    func() func(c *engine.Conn, op engine.Op, p []byte) { return loses(10) },
		"stalled": stallsOnce,
	} {
		r := withLate(t, func() *Result {
			return run(t, Echo{Target: Target{URL: serve(t, onMessage(does()))}, Rate: 500, Duration: 500 * time.Millisecond, Warmup: 50 * time.Millisecond})
		})
		sum := summed(r.Series)
		if sum.Sent != r.Counts.Sent || sum.Received != r.Counts.Received || sum.Errors() != r.Counts.Errors() || r.Counts.Sent == 0 {
			t.Errorf("%s: the series has %+v, the result %+v", name, sum, r.Counts)
		}
		if last := r.Series[len(r.Series)-1]; name == "stalled" && (last.Received == 0 || last.Max < inMS(r.Latency.At(90))) {
			t.Errorf("stalled: %+v, and p90 is %v", last, r.Latency.At(90))
		}
	}
}

// The series of a fan-out has the deliveries that were lost.
func TestFanoutSeriesHasWhatIsLost(t *testing.T) {
	r := fanout(t, &relay{to: func(m *attendee, n int, p []byte) {
		if n%10 != 9 {
			m.say(p)
		}
	}}, Fanout{Rate: 200, Duration: 300 * time.Millisecond, Grace: 200 * time.Millisecond})
	if sum := summed(r.Series); sum.Sent != r.Counts.Sent || sum.Received != r.Counts.Received || sum.Errors() != r.Counts.Errors() || r.Counts.Lost == 0 {
		t.Errorf("the series has %+v, the result %+v", sum, r.Counts)
	}
}
