package bench

import (
	"context"

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
	r.total.add(r.job.lanes.rest())
	return r.finish(counted), nil
}

// begin opens the connections of a plan with all its defaults. echoRun.close must be
// called when there is no error.
func (p *Echo) begin(ctx context.Context, result *Result, tell func(Progress)) (*echoRun, error) {
	s, err := newSession(&p.Target, p.Loops, p.Conns, result, tell)
	if err != nil {
		return nil, err
	}
	r := &echoRun{session: s, plan: p, job: newEchoJob(newContent(p.op(), p.Sizes.Max), p.Sizes, p.InFlight)}
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

// handler is that of connection i.
func (r *echoRun) handler(i int) engine.Handler { return connHandler{r.job, uint32(i)} }
