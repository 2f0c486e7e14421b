package bench

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

// perform carries a scenario out against a server.
func perform(t *testing.T, url, yaml string) *Result {
	t.Helper()
	s, err := ParseScenario("s.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	s.URL, s.Loops = url, 2
	r, err := s.Run(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(r.Phases); i++ {
		if r.Phases[i].From != r.Phases[i-1].To {
			t.Errorf("phase %d begins at %v, and the one before ends at %v", i, r.Phases[i].From, r.Phases[i-1].To)
		}
	}
	if sum := summed(r.Series); sum.Sent != r.Counts.Sent || sum.Received != r.Counts.Received || sum.Errors() != r.Counts.Errors() {
		t.Errorf("the series has %+v, the result %+v", sum, r.Counts)
	}
	if on := r.Counts.Received - r.Disturbed.Counts.Received; r.Latency.TotalCount() < int64(on) {
		t.Errorf("%d latencies of %d answers that nobody has disturbed", r.Latency.TotalCount(), on)
	}
	return r
}

// accounted says whether each message that was due is counted once.
func accounted(t *testing.T, r *Result, due uint64) {
	t.Helper()
	own := &r.Disturbed.Counts
	if got := r.Counts.Sent + r.Counts.NotSent + own.NotSent; got != due {
		t.Errorf("%d messages were sent or not sent, %d were due", got, due)
	}
	got := r.Counts.Received + r.Counts.Lost + r.Counts.Corrupt + own.Lost + own.Corrupt
	if got != r.Counts.Sent {
		t.Errorf("%d messages were sent, and of %d it is known what became", r.Counts.Sent, got)
	}
}

// noErrors says whether nothing went wrong but of our own doing.
func noErrors(t *testing.T, r *Result) {
	t.Helper()
	if r.Counts.Errors() != 0 || len(r.Refused) != 0 || len(r.Ended) != 0 {
		t.Errorf("%+v, refused %v, ended %v", r.Counts, r.Refused, r.Ended)
	}
}

// echoKind is a message that is echoed.
const echoKind = "messages:\n  - {name: echo, send: '{stamp} from {i}', expect: echo}\n"

func TestScenarioRampsAndSteps(t *testing.T) {
	t.Parallel()
	r := perform(t, serve(t, onMessage(echoes)), echoKind+`
phases:
  - {name: up,    for: 600ms, connections: 10..60, rate: 0..1000}
  - {name: hold,  for: 300ms}
  - {name: spike, for: 200ms, rate: 4000}
  - {name: down,  for: 400ms, connections: 60..5, rate: 100}
  - {name: rest,  for: 400ms, rate: 0}
`)
	noErrors(t, r)
	accounted(t, r, 300+300+800+40)
	for i, want := range []struct {
		sent  uint64
		conns int
	}{{300, 60}, {300, 60}, {800, 60}, {40, 60}, {0, 5}} {
		p := &r.Phases[i]
		if sent := p.Counts.Sent; sent+p.Disturbed+1 < want.sent || sent > want.sent+1 || p.Counts.Received != sent {
			t.Errorf("%s: %d sent, %d back, %d were due", p.Name, p.Counts.Sent, p.Counts.Received, want.sent)
		}
		if p.Conns > want.conns || i != 0 && i != 3 && p.Conns != want.conns {
			t.Errorf("%s: %d connections at its end, not %d", p.Name, p.Conns, want.conns)
		}
		if rate := float64(want.sent) / p.Seconds(); p.Asked < rate*0.99 || p.Asked > rate*1.01 {
			t.Errorf("%s: %v a second were asked for, not %v", p.Name, p.Asked, rate)
		}
	}
	if r.Phases[0].Opened != 60 && r.Phases[0].Opened+r.Phases[1].Opened != 60 {
		t.Errorf("%d connections were opened", r.Phases[0].Opened)
	}
	if len(r.Plots) != 2 || len(r.Tables) < 2 || len(r.Tables[0].Rows) != 5 {
		t.Errorf("plots %d, tables %v", len(r.Plots), r.Tables)
	}
}

// A spike that is more than the server can do shows in its phase: those of its messages
// that have waited are its own, though they come back in the next.
func TestScenarioSeesASpike(t *testing.T) {
	t.Parallel()
	url := serve(t, onMessage(func(c *engine.Conn, op engine.Op, p []byte) {
		time.Sleep(500 * time.Microsecond) // less than 2000 a second
		echoes(c, op, p)
	}))
	r := perform(t, url, `
messages:
  - {name: echo, send: '{stamp} from {i}', expect: echo, within: 1m}
phases:
  - {name: before, for: 400ms, connections: 20, rate: 100}
  - {name: spike,  for: 300ms, rate: 6000}
  - {name: after,  for: 100ms, rate: 100, fail if: [errors>0]}
fail if: [p50>10ms, max>1h]
`)
	noErrors(t, r)
	accounted(t, r, 40+1800+10)
	before, spike := r.Phases[0].Latency, r.Phases[1].Latency
	if spike.At(99) < 300*time.Millisecond || spike.At(50) < 3*before.At(50) {
		t.Errorf("p50 and p99 are %v and %v before, %v and %v in the spike", before.At(50), before.At(99), spike.At(50), spike.At(99))
	}
	if len(r.Failed) != 1 || !strings.HasPrefix(r.Failed[0], "p50>10ms: it is ") {
		t.Errorf("conditions that hold: %q", r.Failed)
	}
}

// ends counts how the connections of a server end.
type ends struct {
	mu   sync.Mutex
	seen []engine.CloseInfo
}

func (e *ends) add(_ *engine.Conn, info engine.CloseInfo) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, info)
}

// count gives how many have ended in some way.
func (e *ends) count(how func(engine.CloseInfo) bool) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, info := range e.seen {
		if how(info) {
			n++
		}
	}
	return n
}

// serveWith is serve with other settings.
func serveWith(t *testing.T, cfg engine.Config, ep engine.Endpoint) string {
	t.Helper()
	cfg.Addr, cfg.Loops, cfg.Logger, cfg.ShutdownTimeout = "127.0.0.1:0", 1, slog.New(slog.DiscardHandler), time.Second
	srv, err := engine.New(cfg)
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

// A server that puts up with no slow readers ends them, and nobody else: that is our own
// doing, and the figures are those of the others.
func TestScenarioSlowReadersAreEndedByTheServer(t *testing.T) {
	t.Parallel()
	var end ends
	url := serveWith(t, engine.Config{StallTimeout: time.Second, CloseTimeout: 100 * time.Millisecond}, engine.Endpoint{
		Handler:   engine.HandlerFuncs{Message: echoes, Close: end.add},
		MaxUnsent: 16 << 10,
	})
	r := perform(t, url, `
backoff: 20ms
messages:
  - {name: big, send: {size: 64KiB}, expect: echo, within: 1m}
phases:
  - {name: all well, for: 200ms, connections: 20, rate: 100}
  - {name: slow,     for: 3s, slow readers: {share: 25%, read: nothing}}
  - {name: again,    for: 600ms}
`)
	noErrors(t, r)
	slow := end.count(func(i engine.CloseInfo) bool { return errors.Is(i.Err, engine.ErrSlowPeer) && i.Code == 1013 })
	if own := r.Disturbed.Counts; slow < 5 || own.Dropped != uint64(slow) || own.Lost == 0 || r.Phases[1].Slow != 5 || r.Phases[1].Disturbed == 0 {
		t.Errorf("the server has ended %d with 1013; disturbed %+v, ended %v", slow, own, r.Disturbed.Ended)
	}
	accounted(t, r, 20+300+60)
	if r.Phases[0].Disturbed > 5 || r.Phases[2].Conns != 20 {
		t.Errorf("%d disturbed before, %d connections at the end", r.Phases[0].Disturbed, r.Phases[2].Conns)
	}
}

// Who reads slowly makes only itself late, and has got everything in the end.
func TestScenarioSlowReadersReadAtTheirRate(t *testing.T) {
	t.Parallel()
	r := perform(t, serve(t, onMessage(echoes)), `
messages:
  - {name: some, send: {size: 4KiB, as: text}, expect: echo, within: 1m}
phases:
  - {name: slow, for: 2s, connections: 20, rate: 400, slow readers: {share: 50%, read: 4KiB/s}}
  - {name: fast, for: 100ms}
`)
	noErrors(t, r)
	accounted(t, r, 840)
	if own := r.Disturbed.Counts; own.Received < 390 || own.Received > 440 || own.Lost+own.Dropped > 0 {
		t.Errorf("disturbed %+v; half of 800 messages are theirs", own)
	}
	sent, back := uint64(0), uint64(0)
	for _, p := range r.Series {
		// Half of the messages are not theirs. Of theirs they get one a second, one at the
		// beginning, and what comes before they are told.
		sent, back = sent+p.Sent, back+p.Received
		if most := float64(sent)*0.55 + 10*(p.At+3); p.At < 2 && float64(back) > most {
			t.Errorf("%d of %d messages were back after %.1f s while half of the connections read one a second", back, sent, p.At)
		}
	}
}

func TestScenarioResetsAreSeenByTheServer(t *testing.T) {
	t.Parallel()
	var end ends
	url := serve(t, engine.Endpoint{Handler: engine.HandlerFuncs{Message: echoes, Close: end.add}})
	r := perform(t, url, echoKind+`
phases:
  - {name: resets, for: 1s, connections: 50, rate: 1000, resets: {share: 20%}}
  - {name: calm,   for: 500ms}
`)
	noErrors(t, r)
	accounted(t, r, 1500)
	isReset := func(i engine.CloseInfo) bool { return i.Code == 1006 && errors.Is(i.Err, syscall.ECONNRESET) }
	if n := end.count(isReset); n != 10 || r.Phases[0].Resets != 10 {
		t.Errorf("%d were reset, and the server has seen %d", r.Phases[0].Resets, n)
	}
	if all := r.Phases[0].Opened + r.Phases[1].Opened; all != 60 || r.Phases[1].Conns != 50 {
		t.Errorf("%d were opened, %d are open at the end", all, r.Phases[1].Conns)
	}
}

// All are closed in order, all come back, and those that the server refuses at first try
// again.
func TestScenarioReconnectStorm(t *testing.T) {
	t.Parallel()
	for _, refuse := range []int64{0, 30} {
		var end ends
		var asked atomic.Int64
		url := serve(t, engine.Endpoint{
			Handler: engine.HandlerFuncs{Message: echoes, Close: end.add},
			Admit: func(*engine.Request) error {
				if n := asked.Add(1); n > 40 && n <= 40+refuse {
					return &engine.Refusal{Status: 503}
				}
				return nil
			},
		})
		r := perform(t, url, "backoff: 20ms..100ms\n"+echoKind+`
phases:
  - {name: calm,  for: 100ms, connections: 40, rate: 200}
  - {name: storm, for: 1s, reconnect: {share: all, within: 200ms}}
`)
		accounted(t, r, 220)
		storm := r.Phases[1]
		if storm.Reconnects != 40 || storm.Opened != 40 || storm.Conns != 40 || storm.Refused != uint64(refuse) {
			t.Errorf("refusing %d: %+v", refuse, storm)
		}
		if n := end.count(func(i engine.CloseInfo) bool { return i.Clean && i.Code == 1000 }); n != 40 {
			t.Errorf("refusing %d: %d were closed with 1000", refuse, n)
		}
		if r.Counts.Errors() != 0 && refuse == 0 || r.Counts.Dropped+r.Counts.Lost != 0 {
			t.Errorf("refusing %d: %+v", refuse, r.Counts)
		}
	}
}

// A connection that the server ends is counted, and comes back.
func TestScenarioReopensWhatTheServerEnds(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	url := serve(t, onMessage(func(c *engine.Conn, op engine.Op, p []byte) {
		if n.Add(1)%50 == 0 {
			_ = c.Close(4000, "enough")
			return
		}
		echoes(c, op, p)
	}))
	r := perform(t, url, "backoff: 10ms\n"+echoKind+`
phases:
  - {name: one, for: 500ms, connections: 20, rate: 1000}
  - {name: two, for: 500ms, rate: 0}
`)
	ended := r.Ended["closed with 4000 enough"]
	if ended < 9 || r.Counts.Dropped != ended || r.Phases[0].Counts.Dropped+r.Phases[1].Counts.Dropped != ended || r.Counts.Lost < ended {
		t.Errorf("ended %v, %+v", r.Ended, r.Counts)
	}
	if r.Phases[1].Conns != 20 || r.Phases[0].Opened+r.Phases[1].Opened != 20+ended {
		t.Errorf("%d are open at the end, %d were opened", r.Phases[1].Conns, r.Phases[0].Opened)
	}
}

func TestScenarioEndsEarly(t *testing.T) {
	t.Parallel()
	s, err := ParseScenario("s.yaml", []byte(echoKind+`
phases:
  - {name: one,   for: 200ms, connections: 5, rate: 500}
  - {name: two,   for: 1h}
  - {name: three, for: 1h}
`))
	if err != nil {
		t.Fatal(err)
	}
	s.URL, s.Loops = serve(t, onMessage(echoes)), 1
	ctx, cancel := context.WithCancel(context.Background())
	var told []string
	r, err := s.Run(ctx, func(p Progress) {
		if told = append(told, p.Phase); p.Phase == "two" {
			cancel()
		}
	})
	if err != nil || len(r.Phases) != 2 || r.Phases[1].To > 60 || r.Seconds != r.Phases[1].To || !slices.Contains(told, "one") {
		t.Fatalf("%v, %+v, told of %q", err, r, told)
	}
	noErrors(t, r)
	if r.Counts.Received != r.Counts.Sent || !near(r.Counts.Sent, r.Seconds*500, 0.1) {
		t.Errorf("%+v in %v s", r.Counts, r.Seconds)
	}
	cancel()
	if _, err := s.Run(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled before it begins: %v", err)
	}
}

// The same seed makes the same choices.
func TestScenarioSeed(t *testing.T) {
	choices := func(seed uint64) (kinds []uint8, who []int) {
		s := &Scenario{
			Seed: seed, Random: true,
			Messages: []Message{{Name: "a", Weight: 1}, {Name: "b", Weight: 3}},
			Phases:   []Stage{{For: time.Second, Conns: Span{100, 100}, Rate: Span{1000, 1000}}},
		}
		snd := newSender(newPlay(s))
		for range 1000 {
			kinds = append(kinds, snd.kind())
		}
		return kinds, someOf(100, 0.1, s.chance(chanceStages))
	}
	kinds, who := choices(5)
	again, whoAgain := choices(5)
	other, whoElse := choices(6)
	if !slices.Equal(kinds, again) || !slices.Equal(who, whoAgain) || slices.Equal(kinds, other) || slices.Equal(who, whoElse) {
		t.Error("the choices are not those of the seed")
	}
	n := 0
	for _, k := range kinds {
		n += int(k)
	}
	if n < 700 || n > 800 || len(who) != 10 {
		t.Errorf("%d of 1000 are of the kind with three quarters of the weight; %d of 100 were chosen", n, len(who))
	}
}
