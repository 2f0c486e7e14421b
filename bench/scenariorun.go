package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// scenarioRun is a run under way.
type scenarioRun struct {
	*session
	plan *Scenario
	play *play
}

// perform carries the phases out, and collects what was measured.
func (r *scenarioRun) perform(ctx context.Context) (*Result, error) {
	p := r.play
	p.begins.Store(int64(time.Since(p.made) + 10*time.Millisecond))
	from := p.origin().Sub(r.began)
	dialing, stopDialing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDialing()
	p.crowd.begun()
	var dials sync.WaitGroup
	dials.Go(func() { p.crowd.dial(dialing) })
	stopConducting := r.conduct()
	sender := newSender(p)
	stopSending := beat(p.origin(), []*pulse{sender.pulse})

	r.watchPhases(ctx, from)
	ended := min(p.now(), p.line.end())
	stopSending()
	sender.send(ended) // the last ones
	p.crowd.turn(1 + p.line.phase(ended-1))
	r.noteUsage(len(p.lanes.all()))
	r.settle(ctx)
	stopConducting()
	stopDialing()
	dials.Wait()
	r.close() // what has not come back by now is lost
	r.late(p.crowd.rest())
	if ended <= 0 && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if opened, _ := r.attempts(); opened == 0 {
		return nil, cmp.Or(r.session.fleet.last, context.Cause(ctx), errors.New("no connection was opened"))
	}
	return r.conclude(max(0, ended)), nil
}

// conduct opens and closes connections as the time line wants it, and disturbs them,
// until stop.
func (r *scenarioRun) conduct() (stop func()) {
	p, acts := r.play, r.play.crowd.acts()
	return repeat(conductEvery, func() {
		now := p.now()
		if now >= 0 && now < p.line.end() {
			p.crowd.turn(p.line.phase(now))
			p.crowd.want(p.line.conns(now), now)
		}
		for len(acts) > 0 && acts[0].at <= now {
			acts[0].do()
			acts = acts[1:]
		}
		p.crowd.tick(now)
		for _, d := range p.lanes.all() {
			if d.cares.Load() {
				d.work.Ask()
			}
		}
	})
}

const conductEvery = 2 * time.Millisecond

// watchPhases takes in what is measured, a second at a time, and at the end of each phase.
func (r *scenarioRun) watchPhases(ctx context.Context, from time.Duration) {
	p := r.play
	sleepUntil(ctx, p.origin())
	r.countFrom(from)
	for i := range p.line.spans {
		span := &p.line.spans[i]
		r.doing = r.plan.Phases[i].Name
		for at := r.now(); at < from+span.to && ctx.Err() == nil; at = r.now() {
			part := span.part(at - from)
			r.asked = span.rate.at(part)
			sleepUntil(ctx, r.began.Add(min(at+time.Second, from+span.to)))
			r.note(true, at, from, from+p.line.end(), p.crowd.take())
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// settle gives messages that are on their way some time to be sent and to come back; less
// when the run was ended early.
func (r *scenarioRun) settle(ctx context.Context) {
	told := time.Now()
	await(ctx, max(r.play.longest, leavePatience), func() bool {
		left := int64(0)
		for _, d := range r.play.lanes.all() {
			left += d.onWay.Load()
		}
		r.late(r.play.crowd.take())
		if time.Since(told) > time.Second {
			told = time.Now()
			r.tell(Progress{
				Phase: fmt.Sprintf("waiting for %d", left), Done: 1, Conns: r.fleet.client.Connections(),
				Sent: r.total.Sent, Received: r.total.Received, Errors: r.total.Errors(),
			})
		}
		return left == 0
	})
}
