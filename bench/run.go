package bench

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/engine"
)

// Run implements Job.
func (p Echo) Run(ctx context.Context, tell func(Progress)) (*Result, error) {
	plan, err := p.withDefaults()
	if err != nil {
		return nil, err
	}
	result := &Result{Job: "echo", Conns: plan.Conns, Sizes: plan.Sizes.String(), Rate: plan.Rate, InFlight: plan.InFlight}
	r, err := plan.begin(ctx, result, tell)
	if err != nil {
		return nil, err
	}
	defer r.close()
	counted := r.measure(ctx, stretch{rate: plan.Rate, warmup: plan.Warmup, duration: plan.Duration, grace: plan.Grace}).counted
	if counted == 0 && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r.close() // what has not come back by now is lost
	r.late(r.job.lanes.rest())
	r.finish(counted)
	r.doubtLoop()
	result.doubtOpened()
	return result, nil
}

// begin opens the connections of a plan with all its defaults. echoRun.close must be
// called when there is no error.
func (p *Echo) begin(ctx context.Context, result *Result, tell func(Progress)) (*echoRun, error) {
	s, err := newSession(&p.Target, p.Loops, p.Conns, result, tell)
	if err != nil {
		return nil, err
	}
	result.byChance = p.Poisson
	r := &echoRun{session: s, plan: p, job: newEchoJob(&p.Target, newContent(p.op(), p.Sizes.Max), p.Sizes, p.InFlight, p.Patience)}
	r.job.began = s.began
	err = s.connect(ctx, p.Conns, p.Opening, r.handler)
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return r, nil
}

// echoRun is a run under way, with its connections: one stretch after the other can be
// measured over them.
type echoRun struct {
	*session
	plan *Echo
	job  *echoJob
	flow flow
}

// doubtLoop says what makes the rate of a closed loop none that the server has chosen.
func (r *echoRun) doubtLoop() {
	if r.plan.Rate > 0 {
		return
	}
	say := func(format string, a ...any) {
		r.result.Doubts = append(r.result.Doubts, fmt.Sprintf(format, a...))
	}
	if n := r.total.gaveUp; n > 0 {
		say("the closed loop waited %v in vain for %d messages: its rate is no capacity", r.plan.Patience, n)
	}
	without := 0
	for i := range r.result.Series {
		if r.result.Series[i].Conns == 0 {
			without++
		}
	}
	if without > 0 {
		say("no connection was open at the end of %d of the %d seconds of the series: the closed loop had nobody to ask", without, len(r.result.Series))
	}
}

// handler is that of connection i.
func (r *echoRun) handler(i int) engine.Handler { return connHandler{r.job, uint32(i)} }
