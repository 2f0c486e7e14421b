package bench

import (
	"context"
	"math/rand/v2"
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
	pulses := r.pace(s.rate, start)
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
	if sending.Err() != nil {
		j.wake() // the next message that is due may be far
	}
	r.awaitEchoes(ctx, s)
	stop()
	how.counted = max(0, time.Duration(j.until.Load())-from)
	return how
}

// isThrough says whether everything that was due is sent. What was sent is in the
// recorders that are taken after.
func (r *echoRun) isThrough(s stretch) bool {
	for _, d := range r.job.lanes.all() {
		if s.rate > 0 && !d.through.Load() {
			return false
		}
	}
	return true
}

// awaitEchoes gives messages that are on their way some time to come back.
func (r *echoRun) awaitEchoes(ctx context.Context, s stretch) {
	await(ctx, s.grace, func() bool {
		through := r.isThrough(s)
		r.late(r.take())
		return through && r.flow.waiting() <= 0
	})
}

// pace gives each loop its part of the rate; none in a closed loop.
func (r *echoRun) pace(rate float64, start time.Duration) (pulses []*pulse) {
	if rate == 0 {
		return nil
	}
	all := 0
	lanes := r.job.lanes.all()
	for _, d := range lanes {
		all += int(d.open.Load())
	}
	for i, d := range lanes {
		open := int(d.open.Load())
		part := max(rate*float64(open)/float64(max(all, 1)), 1e-3)
		first := start + seconds(rand.Float64()/part)
		switch {
		case all == 0: // what is due is not sent
			part = rate / float64(len(lanes))
			first = start + seconds(rand.Float64()/part)
		case open == 0:
			first = never / 2
		}
		p := newPulse(d.work.Ask, newPacer(part, r.plan.Poisson, uint64(i), 2), first)
		d.order.Store(&order{pulse: p})
		pulses = append(pulses, p)
	}
	return pulses
}
