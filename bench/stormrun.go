package bench

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Run implements Job.
func (p Storm) Run(ctx context.Context, tell func(Progress)) (*Result, error) {
	plan, err := p.withDefaults()
	if err != nil {
		return nil, err
	}
	storm := &StormResult{
		Rate: plan.Rate, Poisson: plan.Poisson, AtOnce: plan.AtOnce, Churn: plan.Churn, Hold: plan.Hold,
		NotBegunFor: make(map[string]uint64), Kinds: make(map[string]uint64),
		Refusal: Histogram{newHistogram()}, Ports: lookAtPorts(len(plan.LocalAddrs)),
	}
	atOnce := plan.AtOnce
	if plan.Rate > 0 {
		atOnce = plan.MaxDialing
	}
	const descriptors = 3 // that a connection takes while it moves to its loop
	s, err := newSession(&plan.Target, plan.Loops, plan.MaxOpen+descriptors*atOnce, &Result{Job: "storm", Storm: storm}, tell)
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.asked = plan.Rate
	r := &stormRun{
		session: s, plan: &plan, storm: storm, job: newStormJob(&plan, s.began),
		recent: newRecorder(), lag: Histogram{newHistogram()}, lives: newRecorder(),
	}
	r.blow(ctx)
	if r.storm.Asked == 0 && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return r.end()
}

// stormRun is a run under way.
type stormRun struct {
	*session
	plan *Storm
	job  *stormJob

	from, until time.Duration
	counted     time.Duration
	pulse       *pulse // nil: a closed loop
	number      atomic.Uint32
	underWay    atomic.Int64   // handshakes
	dials       sync.WaitGroup // goroutines that wait for one

	mu     sync.Mutex
	storm  *StormResult
	lag    Histogram
	recent *recorder // what handshakes have come to since somebody looked last
	last   error     // of Dial

	lives *recorder // what connections have come to
}

// blow is the storm.
func (r *stormRun) blow(ctx context.Context) {
	start := r.now() + 10*time.Millisecond
	r.from = start + r.plan.Warmup
	r.until = r.from + r.plan.Duration
	going, stop := context.WithCancel(ctx)
	defer stop()
	finish := func() {}
	if r.plan.Rate > 0 {
		finish = r.openLoop(ctx, start)
	} else {
		var clients sync.WaitGroup
		for range r.plan.AtOnce {
			clients.Go(func() {
				sleepUntil(ctx, r.began.Add(start))
				r.closedLoop(ctx)
			})
		}
		r.dials.Go(func() { clients.Wait(); stop() }) // they are done before the time is where all that may be are open
	}
	r.watch(going, r.from, r.until, r.take)
	r.counted = max(0, min(r.now(), r.until)-r.from)
	r.noteUsage(len(r.job.lanes.all()))
	r.storm.Ports.WaitingAfter = socketsWaiting()
	r.tell(Progress{Phase: "waiting for what is under way", Done: 1, Conns: r.fleet.client.Connections()})
	finish()
	r.dials.Wait() // each has a timeout
	if !r.plan.ends() {
		return
	}
	await(ctx, r.plan.Grace, func() bool {
		gone := r.job.open.Load() == 0
		r.late(r.take())
		return gone || ctx.Err() != nil
	})
}

// Why handshakes are not begun.
const (
	tooManyOpen    = "as many connections as may be were open (max-open)"
	tooManyDialing = "as many handshakes as may be were under way (max-dialing)"
	tooLate        = "the client itself was behind"
)

// latePatience is how long after the end a handshake that was due before may begin.
const latePatience = time.Second

// openLoop begins handshakes when they are due. finish returns when those are begun that
// were due before the end, or the run has ended.
func (r *stormRun) openLoop(ctx context.Context, start time.Duration) (finish func()) {
	pacer := newPacer(r.plan.Rate, r.plan.Poisson, rand.Uint64(), 4)
	r.pulse = newPulse(func() { r.begin(ctx) }, pacer.Next, start)
	pulses := []*pulse{r.pulse}
	stop := beat(r.began, pulses)
	return func() {
		await(ctx, latePatience, func() bool { return ctx.Err() != nil || areThrough(pulses, r.until) })
		stop()
		r.begin(ctx)
	}
}

// begin begins the handshakes that are due, unless the run has ended.
func (r *stormRun) begin(ctx context.Context) {
	r.pulse.each(r.now(), r.until, math.MaxInt, func(due time.Duration) {
		switch {
		case ctx.Err() != nil:
		case r.now() > r.until+latePatience:
			r.notBegun(due, tooLate)
		case r.underWay.Load() >= int64(r.plan.MaxDialing): // only here it grows
			r.notBegun(due, tooManyDialing)
		case !r.job.takePlace():
			r.notBegun(due, tooManyOpen)
		default:
			r.underWay.Add(1)
			r.dials.Go(func() {
				defer r.underWay.Add(-1)
				_, _ = r.shake(ctx, due)
			})
		}
	})
}

// refusedPause keeps a closed loop from spinning at a server that is not there.
const refusedPause = 10 * time.Millisecond

// closedLoop is one client that begins a handshake whenever it has none.
func (r *stormRun) closedLoop(ctx context.Context) {
	for r.now() < r.until && ctx.Err() == nil && r.job.takePlace() {
		began := time.Now()
		e, err := r.shake(ctx, r.now())
		switch {
		case err != nil:
			sleepUntil(ctx, began.Add(refusedPause))
		case r.plan.ends():
			over := time.NewTimer(time.Until(r.began.Add(r.until)))
			select {
			case <-e.done:
			case <-over.C:
			case <-ctx.Done():
			}
			over.Stop()
		}
	}
}

// shake makes one handshake that was due at a time, for which a place was taken.
func (r *stormRun) shake(ctx context.Context, due time.Duration) (*stormConn, error) {
	began := r.now()
	number := r.number.Add(1) - 1
	e := &stormConn{job: r.job, number: number, counts: due >= r.from, done: make(chan struct{})}
	_, err := r.fleet.try(ctx, int(number), e)
	took := r.now() - due
	if err != nil {
		r.job.places.Add(-1)
	}
	r.fleet.mu.Lock() // for attempts
	if err == nil {
		r.fleet.opened++
	} else {
		r.fleet.failed++
	}
	r.fleet.mu.Unlock()
	if e.counts {
		r.count(began-due, took, err, ctx.Err() != nil)
	}
	return e, err
}

// count counts what became of a handshake.
func (r *stormRun) count(lag, took time.Duration, err error, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.storm
	s.Asked++
	r.recent.Sent++
	if s.Rate > 0 {
		record(r.lag.Histogram, lag)
	}
	switch {
	case err == nil:
		s.Opened++
		r.recent.Received++
		record(r.recent.latency, took)
		record(r.fleet.handshake.Histogram, took)
		return
	case over:
		s.Interrupted++
		return
	}
	s.Refused++
	r.last = err
	r.recent.Lost++
	r.refuse(reason(err))
	kind := kindOf(err)
	s.Kinds[kind]++
	if kind == refusedByStatus {
		record(s.Refusal.Histogram, took)
	}
	if wait, ok := retryAfter(err); ok {
		s.RetryAfter = s.RetryAfter.with(wait.Seconds())
	}
}

// refuse counts by reason.
func (r *stormRun) refuse(why string) {
	all := r.fleet.refused
	if _, known := all[why]; !known && len(all) >= maxReasons {
		why = otherReasons
	}
	all[why]++
}

func (a *RetryAfter) with(seconds float64) *RetryAfter {
	if a == nil {
		return &RetryAfter{1, seconds, seconds}
	}
	return &RetryAfter{a.Seen + 1, min(a.Min, seconds), max(a.Max, seconds)}
}

// notBegun counts a handshake that was due.
func (r *stormRun) notBegun(due time.Duration, why string) {
	if due < r.from {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.storm.Asked++
	r.storm.NotBegun++
	r.storm.NotBegunFor[why]++
	r.recent.NotSent++
}

// take gives what handshakes have come to since the last call.
func (r *stormRun) take() *recorder { return r.with(r.job.lanes.take()) }

// with gives what handshakes and connections have come to, as messages: a handshake that
// was begun is sent, one that is open has come back, one that was refused is lost.
func (r *stormRun) with(lives *recorder) *recorder {
	r.lives.add(lives)
	r.mu.Lock()
	defer r.mu.Unlock()
	recent := r.recent
	r.recent = newRecorder()
	recent.Dropped, recent.Corrupt = lives.Dropped, lives.Corrupt
	return recent
}
