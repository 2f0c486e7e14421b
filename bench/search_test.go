package bench

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

// oneByOne is a server that takes a fixed time for each message, one after the other.
// It is reckoned, not slept: a machine that is late makes its answers late, and leaves
// its capacity as it is.
func oneByOne(t *testing.T, each time.Duration) string {
	type answer struct {
		to  *engine.Conn
		op  engine.Op
		p   []byte
		due time.Time
	}
	queue := make(chan answer, 1<<16)
	var free time.Time // of the one loop
	url := serve(t, onMessage(func(c *engine.Conn, op engine.Op, p []byte) {
		if now := time.Now(); free.Before(now) {
			free = now
		}
		free = free.Add(each)
		queue <- answer{c, op, slices.Clone(p), free}
	}))
	ended, answering := make(chan struct{}), sync.WaitGroup{}
	answering.Go(func() {
		for {
			select {
			case a := <-queue:
				time.Sleep(time.Until(a.due))
				_ = a.to.Send(a.op, a.p)
			case <-ended:
				return
			}
		}
	})
	t.Cleanup(func() { close(ended); answering.Wait() })
	return url
}

func slos(t *testing.T, texts ...string) (all []SLO) {
	t.Helper()
	for _, s := range texts {
		o, err := ParseSLO(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

func search(t *testing.T, p Search) *Result {
	t.Helper()
	p.Sizes, p.Loops = Sizes{Min: 20, Max: 20}, 1
	if p.Conns == 0 {
		p.Conns = 10
	}
	if p.Step == 0 {
		p.Step, p.Warmup = 400*time.Millisecond, 100*time.Millisecond
	}
	r, err := p.Run(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A server of 1000 messages a second and not one more. The upper end of the band is
// certain: at 1131 the k-th message is due after k/1131 s and answered after k/1000 s at
// the earliest, so one in the middle of a step (0.7 s after it began) takes 92 ms. The
// lower end is not, on a machine that makes steps late by more than the SLO: there are
// three attempts, and one in which the client was the slow one says nothing of it.
func TestSearchFindsTheLimit(t *testing.T) {
	p := Search{
		Target: Target{URL: oneByOne(t, time.Millisecond)}, SLO: slos(t, "p50<80ms", "errors=0"),
		Min: 400, Precision: 0.5, Step: 600 * time.Millisecond, Warmup: 400 * time.Millisecond,
	}
	var r *Result
	for range 3 {
		r = search(t, p)
		if f := r.Search; f.Rate > 1130 || f.Broken == 0 {
			t.Fatalf("found %v, %v is broken: %+v", f.Rate, f.Broken, f.Steps)
		}
		if r.Search.Rate >= 400 {
			break
		}
	}
	f := r.Search
	if f.Rate < 400 {
		if f.Limit == "client" {
			t.Skip("this machine is too busy")
		}
		t.Fatalf("found %v, %v is broken: %+v", f.Rate, f.Broken, f.Steps)
	}
	if r.Rate != f.Rate || r.Counts.Received == 0 || len(r.Findings) != 2 || !strings.Contains(r.Findings[0], "p50<80ms, errors=0 is kept at") {
		t.Errorf("the result is of %v, %+v: %q", r.Rate, r.Counts, r.Findings)
	}
	if len(r.Tables) != 1 || len(r.Tables[0].Rows) != len(f.Steps) || len(r.Plots) != 1 || len(r.Plots[0].Lines) != 3 {
		t.Errorf("%+v %+v", r.Tables, r.Plots)
	}
	if x := r.Plots[0].Lines[1].X; !slices.IsSorted(x) || len(slices.Compact(x)) != len(x) || len(x) < 2 {
		t.Errorf("the rates of the plot are %v", x)
	}
}

// What every step leaves in the server is not the next one's: the first is far beyond
// the limit.
func TestSearchWithTheLowestTooHigh(t *testing.T) {
	t.Parallel()
	r := search(t, Search{Target: Target{URL: oneByOne(t, time.Millisecond)}, SLO: slos(t, "p50<50ms"), Min: 2500})
	if r.Search.Rate != 0 || r.Search.Broken != 2500 || len(r.Failed) != 1 || !strings.Contains(r.Failed[0], "lowest rate, 2500") {
		t.Errorf("%+v, %v", r.Search, r.Failed)
	}
	if n := len(r.Search.Steps); n < 2 || n > 3 {
		t.Errorf("%d steps, and it takes two of three", n)
	}
}

func TestSearchWithTheHighestTooLow(t *testing.T) {
	t.Parallel()
	r := search(t, Search{Target: Target{URL: serve(t, onMessage(echoes))}, SLO: slos(t, "p50<1s"), Min: 50, Max: 150})
	if r.Search.Rate != 150 || len(r.Failed) != 1 || !strings.Contains(r.Failed[0], "highest rate, 150") {
		t.Errorf("%+v, %v", r.Search, r.Failed)
	}
}

// A server that swallows messages is waited for, and then met with new connections, at each
// step. There are more than two where the machine was too busy for one.
func TestSearchOpensConnectionsAgain(t *testing.T) {
	t.Parallel()
	var n, opened atomic.Uint64
	url := serve(t, engine.Endpoint{Handler: engine.HandlerFuncs{
		Open: func(*engine.Conn) { opened.Add(1) },
		Message: func(c *engine.Conn, op engine.Op, p []byte) {
			if n.Add(1)%20 != 0 {
				echoes(c, op, p)
			}
		},
	}})
	p := Search{Target: Target{URL: url}, SLO: slos(t, "lost<50%"), Min: 200, Max: 400, Drain: 200 * time.Millisecond}
	r := search(t, p)
	if n := len(r.Search.Steps); r.Search.Rate != 400 || n < 2 || opened.Load() != uint64(10*n) || len(r.Ended) != 0 {
		t.Errorf("found %+v, %d connections were opened, ended %v", r.Search, opened.Load(), r.Ended)
	}
	for _, step := range r.Search.Steps {
		if want := float64(step.Sent) / 20; !near(step.Errors, want, 0.5) {
			t.Errorf("%+v", step)
		}
	}
}

func TestSearchEndsEarly(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p := Search{
		Target: Target{URL: serve(t, onMessage(echoes))}, SLO: slos(t, "p50<1s"), Sizes: Sizes{Min: 20, Max: 20}, Conns: 5, Loops: 1,
		Min: 10, Step: 200 * time.Millisecond,
	}
	r, err := p.Run(ctx, func(p Progress) {
		if strings.HasPrefix(p.Phase, "step ") && !strings.HasPrefix(p.Phase, "step 1 ") && !strings.HasPrefix(p.Phase, "step 2 ") {
			cancel()
		}
	})
	if err != nil || len(r.Search.Steps) < 2 || r.Search.Rate < 20 || len(r.Doubts) == 0 || !strings.Contains(r.Doubts[0], "it was stopped") {
		t.Errorf("%v: %+v", err, r)
	}
	p.MaxTime = 500 * time.Millisecond
	if r, err = p.Run(context.Background(), nil); err != nil || len(r.Search.Steps) > 2 || !strings.Contains(r.Doubts[0], "its time was over") {
		t.Errorf("%v: %+v", err, r)
	}
}

// A server that answers nothing: what is on its way is not waited for beyond the time
// there is, and that there is no result is a failure.
func TestSearchThatFindsNothingInTime(t *testing.T) {
	t.Parallel()
	p := Search{
		Target: Target{URL: serve(t, onMessage(func(*engine.Conn, engine.Op, []byte) {}))}, SLO: slos(t, "p50<1s"),
		MaxTime: 600 * time.Millisecond, Drain: time.Hour,
	}
	began := time.Now()
	r := search(t, p)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if len(r.Search.Steps) != 0 || !strings.Contains(strings.Join(r.Failed, ""), "nothing was found within 600ms") {
		t.Errorf("%+v, %q", r.Search, r.Failed)
	}
	if b, err := json.Marshal(r); err != nil || len(b) == 0 {
		t.Errorf("%v\n%s", err, b)
	}
}

func TestJudge(t *testing.T) {
	flows := func(sent, back uint64) stretched { // in 5 s
		return stretched{first: flow{at: time.Second}, last: flow{at: 6 * time.Second, begun: sent, back: back}}
	}
	short := flows(1000, 910)
	short.last.at = 2 * time.Second
	spoilt := func(f func(c *Counts)) *Result {
		r := resultOf(100, 0)
		f(&r.Counts)
		return r
	}
	late := []string{"the client sent late"}
	for name, c := range map[string]struct {
		r       *Result
		how     stretched
		doubts  []string
		verdict Verdict
		why     string
	}{
		"good":                {resultOf(100, 0), flows(1000, 1000), nil, Kept, "p50 is 50"},
		"good though late":    {resultOf(100, 0), flows(1000, 1000), late, Kept, "p50 is 50"},
		"a little behind":     {resultOf(100, 0), flows(1000, 981), nil, Kept, ""},
		"behind":              {resultOf(100, 0), flows(1000, 970), nil, Broken, "fell behind"},
		"of a short step":     {resultOf(100, 0), short, nil, Kept, ""},
		"few messages":        {resultOf(100, 0), flows(50, 41), nil, Kept, ""},
		"slow":                {resultOf(300, 0), flows(300, 300), nil, Broken, "p50 is 150"},
		"slow, and so are we": {resultOf(300, 0), flows(300, 300), late, ByClient, "sent late"},
		"lost, and late":      {spoilt(func(c *Counts) { c.Received, c.Lost = 40, 60 }), flows(1000, 990), late, Broken, "have not come back"},
		"lost, not all":       {spoilt(func(c *Counts) { c.Sent, c.Lost = 130, 30 }), flows(130, 100), late, Broken, "30 of 130 messages were lost"},
		"slow, and lost":      {resultOf(300, 1), flows(301, 300), late, ByClient, "sent late"},
		"dropped, and slow":   {spoilt(func(c *Counts) { c.Dropped = 1 }), flows(1000, 970), late, Broken, "1 connections were dropped"},
		"not sent":            {spoilt(func(c *Counts) { c.NotSent = 7 }), flows(100, 100), nil, Broken, "7 messages could not be sent"},
		"given up":            {resultOf(0, 0), stretched{cut: true, last: flow{begun: 100}}, nil, Broken, "given up: 100 messages were waiting"},
	} {
		if got := judge(slos(t, "p50<100ms"), c.r, c.how, c.doubts); got.Verdict != c.verdict || !strings.Contains(got.Why, c.why) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A verdict that is close to the limit, or the first that is not kept, is that of the
// majority.
func TestVerdictOfTheMajority(t *testing.T) {
	clear := func(v Verdict) Step { return Step{Verdict: v} }
	isClose := func(v Verdict) Step { return Step{Verdict: v, Close: true} }
	for name, c := range map[string]struct {
		known float64 // not kept so far; 0: none
		steps []Step
		want  Verdict
	}{
		"kept":                    {0, []Step{clear(Kept)}, Kept},
		"kept, and close":         {0, []Step{isClose(Kept), clear(Kept)}, Kept},
		"kept by majority":        {0, []Step{clear(Broken), isClose(Kept), isClose(Kept)}, Kept},
		"broken the first time":   {0, []Step{clear(Broken), clear(Broken)}, Broken},
		"broken by majority":      {900, []Step{isClose(Kept), clear(Broken), isClose(Broken)}, Broken},
		"broken":                  {900, []Step{clear(Broken)}, Broken},
		"the client":              {900, []Step{clear(ByClient)}, ByClient},
		"the client as often":     {0, []Step{isClose(ByClient), clear(Kept), clear(Broken)}, ByClient},
		"the client is all of it": {0, []Step{clear(ByClient), clear(ByClient)}, ByClient},
	} {
		s := &searching{plan: &Search{Repeats: 3}, bounds: bisection{high: c.known}}
		left := c.steps
		s.one = func(context.Context, float64) (Step, string) {
			if len(left) == 0 {
				t.Fatalf("%s: one step too many", name)
			}
			step := left[0]
			left = left[1:]
			step.Rate = 100
			return step, ""
		}
		if got, _ := s.try(context.Background(), 100); got != c.want || len(left) > 0 {
			t.Errorf("%s: %v with %d steps left", name, got, len(left))
		}
	}
}

func TestSearchPlansAreChecked(t *testing.T) {
	good := Search{Target: Target{URL: "ws://h/"}, SLO: slos(t, "p99<1s"), Sizes: Sizes{Min: 20, Max: 20}, Conns: 1, Step: time.Second}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(*Search){
		"an SLO":       func(p *Search) { p.SLO = nil },
		"smaller":      func(p *Search) { p.Min, p.Max = 10, 10 },
		"a precision":  func(p *Search) { p.Precision = 2 },
		"odd":          func(p *Search) { p.Repeats = 2 },
		"not enough":   func(p *Search) { p.MaxTime = time.Millisecond },
		"a connection": func(p *Search) { p.Conns = 0 },
		"a duration":   func(p *Search) { p.Step = 0 },
	} {
		p := good
		spoil(&p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
