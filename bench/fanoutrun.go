package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/headrace/headrace/engine"
)

// Run implements Job.
func (p Fanout) Run(ctx context.Context, tell func(Progress)) (*Result, error) {
	plan, err := p.withDefaults()
	if err != nil {
		return nil, err
	}
	conns := plan.Subscribers
	if plan.PublishHTTP == "" {
		conns += plan.Publishers
	}
	result := &Result{Job: "fanout", Conns: conns, Sizes: plan.Sizes.String(), Rate: plan.Rate, InFlight: plan.InFlight, byChance: plan.Poisson}
	subscribers, publishers := plan.targets()
	s, err := newSession(&subscribers, plan.Loops, conns, result, tell)
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.asked = plan.Rate
	r := &fanRun{session: s, plan: &plan, job: newFanJob(&plan, s.began)}
	if err := r.join(ctx); err != nil {
		return nil, err
	}
	if err := r.joinPublishers(ctx, &publishers); err != nil {
		return nil, err
	}
	return r.measure(ctx)
}

// fanRun is a run under way.
type fanRun struct {
	*session
	plan    *Fanout
	job     *fanJob
	from    time.Duration
	seconds []fanSecond
}

// fanSecond is what is shown of one second.
type fanSecond struct {
	at                  float64
	first, median, last time.Duration // p99
	deliveries          float64       // in a second
}

// join connects the subscribers, and waits until they are ready.
func (r *fanRun) join(ctx context.Context) error {
	handler := func(i int) engine.Handler { return subHandler{r.job, i} }
	if err := r.connect(ctx, r.plan.Subscribers, r.plan.Opening, handler); err != nil {
		return err
	}
	opened, failed := r.attempts()
	if r.plan.Ack.text == "" {
		r.tell(Progress{Phase: "settling", Done: 1, Conns: opened, Refused: failed})
		sleepUntil(ctx, time.Now().Add(r.plan.Settle))
		return context.Cause(ctx)
	}
	told, end := time.Now(), time.Now().Add(r.plan.AckTimeout)
	for ctx.Err() == nil {
		ready, gone := int(r.job.ready.Load()), int(r.job.gone.Load())
		switch refusal := r.job.refusal.Load(); {
		case refusal != nil:
			return fmt.Errorf("the server refused to subscribe: %s", *refusal)
		case ready > 0 && ready+gone >= opened:
			return nil
		case gone >= opened:
			return r.allGone()
		case time.Now().After(end):
			return r.noAck(opened-ready-gone, opened)
		case time.Since(told) > time.Second:
			told = time.Now()
			r.tell(Progress{Phase: "waiting for acks", Done: float64(ready) / float64(opened), Conns: opened, Refused: failed})
		}
		sleepUntil(ctx, time.Now().Add(5*time.Millisecond))
	}
	return context.Cause(ctx)
}

// noAck says that some subscribers are not ready.
func (r *fanRun) noAck(waiting, opened int) error {
	got := "none got any message"
	if heard := r.job.heard.Load(); heard != nil {
		got = "the first message that one got instead is " + *heard
	}
	return fmt.Errorf("%d of %d subscribers had no answer that holds %s within %v of the last connection; %s", waiting, opened, r.plan.Ack, r.plan.AckTimeout, got)
}

// allGone says why there is no subscriber any more.
func (r *fanRun) allGone() error {
	for why := range maps.Keys(r.job.lanes.take().reasons) {
		return fmt.Errorf("every subscriber's connection ended before it was ready: %s", why)
	}
	return errors.New("every subscriber's connection ended before it was ready")
}

// joinPublishers connects the publishers.
func (r *fanRun) joinPublishers(ctx context.Context, at *Target) error {
	if r.plan.PublishHTTP != "" {
		r.job.posts = newPostings(r.job)
		return nil
	}
	f := r.toward(at)
	handler := func(i int) engine.Handler { return pubHandler{r.job, i} }
	if err := f.open(ctx, r.plan.Publishers, r.plan.Opening, handler, nil); err != nil {
		return fmt.Errorf("publishers: %w", err)
	}
	r.absorb(f)
	if len(r.plan.Introduce) > 0 {
		sleepUntil(ctx, time.Now().Add(r.plan.Settle))
	}
	return context.Cause(ctx)
}

// measure publishes, and collects what the subscribers hear.
func (r *fanRun) measure(ctx context.Context) (*Result, error) {
	p, j := r.plan, r.job
	start := r.now()
	if p.Rate > 0 {
		start += 10 * time.Millisecond
	}
	from, until := start+p.Warmup, start+p.Warmup+p.Duration
	r.from = from
	j.from.Store(int64(from))
	j.until.Store(int64(until))
	pulses := r.pace(start)
	stop := r.drive(pulses)
	r.watch(ctx, from, until, r.take)
	r.noteUsage(len(j.lanes.all()))
	j.until.Store(min(j.until.Load(), int64(r.now()))) // if ctx has ended
	if ctx.Err() == nil || j.until.Load() > int64(from) {
		r.awaitDeliveries(ctx, pulses)
	}
	stop()
	if j.posts != nil {
		j.posts.end()
	}
	r.close()
	r.late(j.lanes.rest())
	if j.posts != nil {
		r.late(j.posts.take())
	}
	if refusal := j.refusal.Load(); refusal != nil && r.total.Received == 0 {
		return nil, fmt.Errorf("the server refused what was published, and nothing came to a subscriber: %s", *refusal)
	}
	counted := max(0, time.Duration(j.until.Load())-from)
	if counted == 0 && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	unfinished := r.reckon()
	res := r.finish(counted)
	r.report(res, unfinished)
	return res, nil
}

// leastSecond is how long what is left of a second must be to be shown.
const leastSecond = 50 * time.Millisecond

// take collects what was measured since the last call.
func (r *fanRun) take() *recorder {
	rec := r.job.lanes.take()
	if r.job.posts != nil {
		rec.add(r.job.posts.take())
	}
	if at := r.now() - r.from; at > leastSecond {
		f, since := rec.fanned(), 0.0
		if n := len(r.seconds); n > 0 {
			since = r.seconds[n-1].at
		}
		r.seconds = append(r.seconds, fanSecond{
			at.Seconds(), Histogram{f.first}.At(99), Histogram{f.median}.At(99), Histogram{f.last}.At(99),
			float64(rec.Received) / max(at.Seconds()-since, 1e-3),
		})
	}
	return rec
}

// pace has publishes be due, in an open loop.
func (r *fanRun) pace(start time.Duration) []*pulse {
	p := r.plan
	switch {
	case p.Rate == 0:
		return nil
	case r.job.posts != nil:
		return r.job.posts.pace(p.Rate, p.Poisson, start)
	}
	return r.job.lanes.pace(p.Rate, p.Poisson, 4, start)
}

// tidyEvery is how often a closed loop looks for publishes that it has waited for too
// long.
const tidyEvery = 20 * time.Millisecond

// drive keeps publishers publishing until it is stopped.
func (r *fanRun) drive(pulses []*pulse) (stop func()) {
	if r.job.posts != nil {
		r.job.posts.begin()
	}
	if len(pulses) > 0 {
		return beat(r.began, pulses)
	}
	return repeat(tidyEvery, r.job.lanes.wake)
}

// isThrough says whether everything that was due is sent, and has its answer if it is to
// have one.
func (r *fanRun) isThrough(pulses []*pulse) bool {
	through := areThrough(pulses, time.Duration(r.job.until.Load()))
	if s := r.job.posts; s != nil {
		return through && !r.job.sends() && s.busy.Load() == 0
	}
	return through
}

// awaitDeliveries gives deliveries that are on their way some time to come.
func (r *fanRun) awaitDeliveries(ctx context.Context, pulses []*pulse) {
	await(ctx, r.plan.Grace, func() bool {
		through := r.isThrough(pulses)
		rec := r.job.lanes.take()
		if r.job.posts != nil {
			rec.add(r.job.posts.take())
		}
		r.late(rec)
		f := r.total.fanned()
		return through && r.total.Received+r.total.Lost+f.conflated >= f.owed
	})
}

// reckon takes account of what never came to the subscribers that are left, and gives
// how much of it is behind all that came. The loops have ended.
func (r *fanRun) reckon() (unfinished uint64) {
	f := r.total.fanned()
	for i := range r.job.subscribers {
		s := &r.job.subscribers[i]
		if s.ended || s.lane == nil {
			continue
		}
		s.reckon(r.job)
		gaps, tail := s.unexplained()
		f.gaps += gaps
		unfinished += tail
		r.total.Lost += gaps + tail
	}
	return unfinished
}
