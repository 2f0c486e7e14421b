package bench

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/headrace/headrace/engine"
)

// Run implements Job.
func (p Echo) Run(ctx context.Context, tell func(Progress)) (*Result, error) {
	plan, err := p.withDefaults()
	if err != nil {
		return nil, err
	}
	result := &Result{Job: "echo", Conns: plan.Conns, Sizes: plan.Sizes.String(), Rate: plan.Rate, InFlight: plan.InFlight}
	s, err := newSession(&plan.Target, plan.Loops, plan.Conns, result, tell)
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.asked = plan.Rate
	r := &echoRun{session: s, plan: &plan, job: newEchoJob(newContent(plan.op(), plan.Sizes.Max), plan.Sizes, plan.InFlight)}
	handler := func(i int) engine.Handler { return connHandler{r.job, uint32(i)} }
	if err := s.connect(ctx, plan.Conns, plan.Opening, handler); err != nil {
		return nil, err
	}
	return r.measure(ctx), nil
}

// echoRun is a run under way.
type echoRun struct {
	*session
	plan *Echo
	job  *echoJob
}

// measure sends, and collects what comes back.
func (r *echoRun) measure(ctx context.Context) *Result {
	p, j := r.plan, r.job
	start := r.now() + 10*time.Millisecond
	from, until := start+p.Warmup, start+p.Warmup+p.Duration
	j.began = r.began
	j.from.Store(int64(from))
	j.until.Store(int64(until))
	stop := j.start(r.pace(start))
	r.watch(ctx, from, until, j.lanes.take)
	r.noteUsage(len(j.lanes.all()))
	j.until.Store(min(j.until.Load(), int64(r.now()))) // if ctx has ended
	r.await()
	stop()
	r.close() // what has not come back by now is lost
	r.total.add(j.lanes.rest())
	return r.finish(max(0, time.Duration(j.until.Load())-from))
}

// isThrough says whether everything that was due is sent. What was sent is in the
// recorders that are taken after.
func (r *echoRun) isThrough() bool {
	for _, d := range r.job.lanes.all() {
		if r.plan.Rate > 0 && !d.through.Load() {
			return false
		}
	}
	return true
}

// await gives messages that are on their way some time to come back.
func (r *echoRun) await() {
	for end := time.Now().Add(r.plan.Grace); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		through := r.isThrough()
		r.total.add(r.job.lanes.take())
		if through && r.total.Received+r.total.Lost >= r.total.Sent {
			return
		}
	}
}

// pace gives each loop its part of the rate; none where there is none.
func (r *echoRun) pace(start time.Duration) (pulses []*pulse) {
	p, all := r.plan, 0
	if p.Rate == 0 {
		return nil
	}
	lanes := r.job.lanes.all()
	for _, d := range lanes {
		all += int(d.open.Load())
	}
	for i, d := range lanes {
		rate := max(p.Rate*float64(d.open.Load())/float64(all), 1e-3)
		var pacer Pacer = Constant{rate}
		if p.Poisson {
			pacer = Poisson{rate, rand.New(rand.NewPCG(uint64(i), 2))}
		}
		d.pulse = newPulse(d.work.Ask, pacer, start+seconds(rand.Float64()/rate))
		pulses = append(pulses, d.pulse)
	}
	return pulses
}
