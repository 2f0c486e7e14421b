package bench

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/headrace/headrace/bench/host"
	"github.com/headrace/headrace/engine"
)

// Job is a plan that can be carried out: Echo and its like.
type Job interface {
	// Check says what is wrong with the plan.
	Check() error
	// Run carries it out. tell, if not nil, is called about once a second. When ctx
	// ends, the run ends early, with what was measured.
	Run(ctx context.Context, tell func(Progress)) (*Result, error)
}

// Progress is what a run tells about once a second.
type Progress struct {
	Phase    string // connecting, warming up, measuring, waiting for what is on its way
	Done     float64
	Conns    int
	Refused  int
	Asked    float64 // messages a second; 0: as many as the server answers
	Rate     float64 // messages that came back, of the last second
	Sent     uint64
	Received uint64
	P50, P99 time.Duration // of the last second
	Max      time.Duration
	Errors   uint64
}

// session is a run under way: what all jobs share. Times are since it began.
type session struct {
	*fleet
	tell   func(Progress)
	began  time.Time
	result *Result
	total  *recorder
	asked  float64
	doing  string // the part that counts, for Progress; "": measuring

	from    time.Duration // what was due since then counts
	before  *recorder     // what came in before the first second that counts, and has no Point yet
	after   *recorder     // what came in after the last, if any
	afterAt time.Duration // and until when

	// What was used until the part that counts began.
	client  host.Watch
	server  host.Watch
	process host.Process // the server's
	looksAt bool         // Target.PID is set
	empty   uint64
}

// newSession begins a run with so many connections at most. close must be called.
func newSession(t *Target, loops, conns int, result *Result, tell func(Progress)) (*session, error) {
	if tell == nil {
		tell = func(Progress) {}
	}
	s := &session{tell: tell, began: time.Now(), result: result, total: newRecorder(), looksAt: t.PID != 0}
	if s.looksAt {
		p, err := host.FindProcess(t.PID)
		if err != nil {
			return nil, err
		}
		s.process = p
		s.empty, _ = p.Resident()
	}
	var err error
	if s.fleet, err = newFleet(t, loops, conns); err != nil {
		return nil, err
	}
	result.Version, result.URL, result.Started, result.Machine = resultVersion, t.shown(), time.Now(), host.ThisMachine()
	return s, nil
}

func (s *session) close() { _ = s.fleet.client.Close() }

func (s *session) now() time.Duration { return time.Since(s.began) }

// connect opens n connections, and tells about it. It returns when the load is to begin.
func (s *session) connect(ctx context.Context, n int, how Opening, handler func(i int) engine.Handler) error {
	s.tell(Progress{Phase: "connecting"})
	err := s.open(ctx, n, how, handler, func(tried int) {
		opened, failed := s.attempts()
		s.tell(Progress{Phase: "connecting", Done: float64(tried) / float64(n), Conns: opened, Refused: failed})
	})
	if err == nil {
		s.awaitStart(ctx, how.StartAt)
	}
	return err
}

// startUsage begins to look at what client and server use.
func (s *session) startUsage() {
	s.client = host.Self().Watch()
	s.server = s.process.Watch()
}

// countFrom says from when on what is due counts.
func (s *session) countFrom(from time.Duration) {
	s.startUsage()
	s.from, s.after = from, nil
	s.result.Counted = s.began.Add(from)
}

// watch collects what the loops have measured, a second at a time, from now until the
// end. What is due from the time from on counts.
func (s *session) watch(ctx context.Context, from, until time.Duration, take func() *recorder) {
	s.countFrom(from)
	counting := false
	for at := s.now(); at < until && ctx.Err() == nil; at = s.now() {
		if !counting && at >= from {
			counting = true
			s.startUsage()
		}
		end := min(at+time.Second, until)
		if !counting {
			end = min(end, from)
		}
		sleepUntil(ctx, s.began.Add(end))
		s.note(counting, at, from, until, take())
	}
}

// note takes in what was measured since the time since.
func (s *session) note(counting bool, since, from, until time.Duration, rec *recorder) {
	now := s.now()
	_, failed := s.attempts()
	latency := Histogram{rec.latency}
	progress := Progress{
		Phase: "warming up", Done: float64(now) / float64(until), Conns: s.fleet.client.Connections(), Refused: failed,
		Asked: s.asked, Rate: float64(rec.Received) / max((now-since).Seconds(), 1e-3),
		P50: latency.At(50), P99: latency.At(99), Max: latency.At(100),
	}
	s.total.add(rec)
	switch {
	case !counting && s.before == nil:
		s.before = rec
	case !counting:
		s.before.add(rec)
	default:
		if s.before != nil { // it was looked a little late
			rec.add(s.before)
			s.before = nil
		}
		progress.Phase = cmp.Or(s.doing, "measuring")
		progress.Done = float64(now-from) / float64(until-from)
		s.result.Series = append(s.result.Series, Point{
			At: (now - from).Seconds(), Seconds: (now - since).Seconds(), Sent: rec.Sent, Received: rec.Received,
			Conns: progress.Conns, Errors: rec.Errors(), P50: inMS(progress.P50), P99: inMS(progress.P99), Max: inMS(progress.Max),
		})
	}
	progress.Sent, progress.Received, progress.Errors = s.total.Sent, s.total.Received, s.total.Errors()
	s.tell(progress)
}

// late takes in what has come back after the end.
func (s *session) late(rec *recorder) {
	s.total.add(rec)
	if s.after == nil {
		s.after = newRecorder()
	}
	s.after.add(rec)
	s.afterAt = s.now()
}

// hardly is how long what comes after the end must take to have a Point of its own.
const hardly = 100 * time.Millisecond

// endSeries gives the series what has come after the end, so that its sums are the
// result's.
func (s *session) endSeries() {
	if s.after == nil {
		return
	}
	var shown Counts
	last := Point{Conns: s.fleet.client.Connections()}
	for i := range s.result.Series {
		last = s.result.Series[i]
		shown.Sent += last.Sent
		shown.Received += last.Received
		shown.Lost += last.Errors
	}
	at, latency := (s.afterAt - s.from).Seconds(), Histogram{s.after.latency}
	p := Point{
		At: at, Seconds: at - last.At, Conns: last.Conns, Sent: s.total.Sent - shown.Sent, Received: s.total.Received - shown.Received,
		Errors: s.total.Errors() - shown.Errors(), P50: inMS(latency.At(50)), P99: inMS(latency.At(99)), Max: inMS(latency.At(100)),
	}
	s.before, s.after = nil, nil
	n := len(s.result.Series)
	switch {
	case p.Sent+p.Received+p.Errors == 0 || p.Seconds <= 0 && n == 0:
	case p.Seconds < hardly.Seconds() && n > 0:
		s.result.Series[n-1].addCounts(&p)
	default:
		s.result.Series = append(s.result.Series, p)
	}
}

func inMS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// noteUsage takes what client and server have used since startUsage into the result. It
// is called when what counts is over, while the connections are still there.
func (s *session) noteUsage(loops int) {
	_, cores := s.client.Since()
	s.result.Client = Client{Cores: cores, Loops: loops, Allowed: host.Processors()}
	s.result.Client.Memory, _ = host.Self().Resident()
	if !s.looksAt {
		return
	}
	p := s.process
	_, err := p.CPU()
	resident, _ := p.Resident() // none of one that is dead and not waited for
	if err != nil || resident == 0 {
		s.result.Doubts = append(s.result.Doubts, fmt.Sprintf("process %d, the server, was gone at the end: what it used is not known", p.PID()))
		return
	}
	u := &Usage{PID: p.PID(), MemoryBefore: s.empty, Memory: resident}
	used, cores := s.server.Since()
	u.Cores = cores
	u.cpu = used
	if conns := s.fleet.client.Connections(); conns > 0 && u.Memory > u.MemoryBefore {
		u.MemoryPerConn = float64(u.Memory-u.MemoryBefore) / float64(conns)
	}
	s.result.Server = u
}

// finish makes the result of a part that counts.
func (s *session) finish(counted time.Duration) *Result {
	s.collect(counted)
	s.result.doubt()
	return s.result
}

// collect takes what was measured into the result.
func (s *session) collect(counted time.Duration) {
	s.endSeries()
	res := s.result
	res.Seconds = counted.Seconds()
	res.Counts, res.Ended = s.total.Counts, s.total.reasons
	res.Latency, res.Lag = Histogram{s.total.latency}, Histogram{s.total.lag}
	s.fleet.note(res)
	res.Opened = int(res.Handshake.Count())
	if u := res.Server; u != nil && res.Counts.Received > 0 {
		u.MicrosPerMessage = float64(u.cpu) / float64(time.Microsecond) / float64(res.Counts.Received)
	}
}
