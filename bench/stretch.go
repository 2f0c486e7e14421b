package bench

import (
	"context"
	"time"
)

// stretch is a part of a run that is measured by itself.
type stretch struct {
	rate     float64 // 0: closed loop
	warmup   time.Duration
	duration time.Duration
	grace    time.Duration // how long after that messages may still come back
	behind   time.Duration // ends early if this much of the rate is waiting; 0: never
}

// stretched is how a stretch went, besides what session.total has counted.
type stretched struct {
	counted time.Duration
	cut     bool // it was ended because too much was waiting
	first   flow // when what counts began, or the warm-up if it did not get further
	last    flow // when it was over
}

// flow is how many messages have gone and come back since the run began, whether they
// count or not.
type flow struct {
	at                time.Duration
	begun, back, gone uint64
}

// waiting is how many are on their way.
func (f flow) waiting() int64 { return int64(f.begun) - int64(f.back) - int64(f.gone) }

// take collects what the loops have measured.
func (r *echoRun) take() *recorder {
	rec := r.job.lanes.take()
	r.flow.at = r.now()
	r.flow.begun += rec.begun
	r.flow.back += rec.back
	r.flow.gone += rec.gone
	return rec
}

// measure sends, and collects what comes back.
func (r *echoRun) measure(ctx context.Context, s stretch) stretched {
	sending, cut := context.WithCancel(ctx)
	defer cut()
	j := r.job
	start := r.now() + 10*time.Millisecond
	from, until := start+s.warmup, start+s.warmup+s.duration
	j.from.Store(int64(from))
	j.until.Store(int64(until))
	r.asked = s.rate
	r.before = nil
	var pulses []*pulse
	if s.rate > 0 {
		pulses = j.lanes.pace(s.rate, r.plan.Poisson, 2, start)
	}
	r.flow.at = r.now()
	how, begun := stretched{first: r.flow}, false
	stop := j.start(pulses)
	r.watch(sending, from, until, func() *recorder {
		rec := r.take()
		if r.flow.at >= from && !begun {
			how.first, begun = r.flow, true
		}
		if s.behind > 0 && float64(r.flow.waiting()) > s.rate*s.behind.Seconds() {
			how.cut = true
			cut()
		}
		return rec
	})
	how.last = r.flow
	r.noteUsage(len(j.lanes.all()))
	j.until.Store(min(j.until.Load(), int64(r.now()))) // if ctx has ended
	r.awaitEchoes(ctx, pulses, s.grace)
	stop()
	how.counted = max(0, time.Duration(j.until.Load())-from)
	return how
}

// awaitEchoes gives messages that are on their way some time to come back.
func (r *echoRun) awaitEchoes(ctx context.Context, pulses []*pulse, grace time.Duration) {
	await(ctx, grace, func() bool {
		through := areThrough(pulses, time.Duration(r.job.until.Load()))
		r.late(r.take())
		return through && r.flow.waiting() <= 0
	})
}
