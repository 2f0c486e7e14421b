package bench

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/headrace/headrace/engine"
)

// Run implements Job.
func (p Idle) Run(ctx context.Context, tell func(Progress)) (*Result, error) {
	plan, err := p.withDefaults()
	if err != nil {
		return nil, err
	}
	source, err := plan.source()
	if err != nil {
		return nil, err
	}
	result := &Result{Job: "idle", Conns: plan.Conns, Idle: &IdleResult{Gauge: -1}}
	s, err := newSession(&plan.Target, plan.Loops, plan.Conns, result, tell)
	if err != nil {
		return nil, err
	}
	defer s.close()
	r := &idleRun{session: s, plan: &plan, job: newIdleJob(&plan.Target, s.began, plan.PingEvery)}
	r.looker = newLooker(source, s.began, s.fleet.client.Connections)
	if r.looker.look(ctx); r.looker.err != nil {
		return nil, r.looker.err
	}
	looking, stop := context.WithCancel(ctx)
	defer stop()
	var sampling sync.WaitGroup
	sampling.Go(func() { r.looker.run(looking) })
	err = s.connect(ctx, plan.Conns, plan.Opening, func(i int) engine.Handler { return idleHandler{r.job, i} })
	r.opened = s.now()
	if err == nil {
		r.hold(ctx)
	}
	stop()
	sampling.Wait()
	if err != nil {
		return nil, err
	}
	return r.end(ctx), nil
}

// idleRun is a run under way.
type idleRun struct {
	*session
	plan   *Idle
	job    *idleJob
	looker *looker
	opened time.Duration // when the last was
	from   time.Duration
	held   time.Duration
}

// hold waits, and asks, as long as there is somebody.
func (r *idleRun) hold(ctx context.Context) {
	r.note(false, 0, r.opened, r.opened+r.plan.Duration, r.job.lanes.take())
	r.result.Idle.DroppedBefore = r.total.Dropped
	r.from = r.now()
	until := r.from + r.plan.Duration
	r.job.until.Store(int64(until))
	somebody, stop := context.WithCancel(ctx)
	defer stop()
	pulses := r.job.pace(r.from)
	defer beat(r.began, pulses)()
	r.watch(somebody, r.from, until, func() *recorder {
		if r.fleet.client.Connections() == 0 {
			stop()
		}
		return r.job.lanes.take()
	})
	r.held = r.now() - r.from
	r.job.until.Store(min(int64(until), int64(r.now()))) // if ctx has ended
	r.noteUsage(len(r.job.lanes.all()))
	r.awaitPongs(ctx, pulses)
}

// awaitPongs gives what is on its way some time.
func (r *idleRun) awaitPongs(ctx context.Context, pulses []*pulse) {
	await(ctx, r.plan.Grace, func() bool {
		through := areThrough(pulses, time.Duration(r.job.until.Load()))
		r.late(r.job.lanes.take())
		return through && r.total.Received+r.total.Lost >= r.total.Sent
	})
}

// end closes what is left, and makes the result.
func (r *idleRun) end(ctx context.Context) *Result {
	r.close()
	r.late(r.job.lanes.rest())
	idle := r.result.Idle
	ends, gaps, left := make(endings), newGaps(), spreading{}
	for _, d := range r.job.lanes.all() {
		ends.merge(d.ends)
		gaps.Merge(d.gaps)
		left.merge(d.left)
		idle.Pings += d.pings
		idle.Messages += d.messages
	}
	idle.Ends, idle.PingGap, idle.PingsLeft, idle.Left = ends.list(r.from), Histogram{gaps}, left.spread(), left.n
	for _, e := range idle.Ends {
		r.total.reasons[e.Why] += uint64(e.Conns)
	}
	idle.Dropped = r.total.Dropped
	opened, failed := r.attempts()
	idle.Asked, idle.Opened, idle.Refused = uint64(r.plan.Conns), uint64(opened), uint64(failed)
	idle.NotBegun = idle.Asked - idle.Opened - idle.Refused
	idle.Connecting = r.opened.Seconds()
	idle.PerSecond = float64(opened) / max(idle.Connecting, 1e-9)
	r.remember(ctx)
	r.collect(r.held)
	r.result.doubt()
	r.doubtIdle()
	looks, _ := r.looker.all()
	return r.result.idleReport(looks)
}

// releasePatience is how long a server is given to let go of what it had for
// connections.
const releasePatience = time.Second

// remember makes the figures of memory.
func (r *idleRun) remember(ctx context.Context) {
	looks, _ := r.looker.all()
	idle := r.result.Idle
	for _, k := range looks {
		idle.Gauge = max(idle.Gauge, k.gauge)
	}
	if r.looker.source == nil {
		return
	}
	idle.Memory = memoryOf(looks, r.opened)
	if idle.Memory == nil {
		return
	}
	idle.Memory.Source = r.looker.source.name()
	sleepUntil(ctx, time.Now().Add(releasePatience))
	idle.Memory.After, _, _ = r.looker.source.look(ctx)
}

// doubtIdle looks for what is not the server's doing.
func (r *idleRun) doubtIdle() {
	say := func(format string, a ...any) {
		r.result.Doubts = append(r.result.Doubts, fmt.Sprintf(format, a...))
	}
	if _, err := r.looker.all(); err != nil {
		say("the server's memory could not be read every time: %v", err)
	}
	if r.result.Idle.NotBegun > 0 {
		say("%d connections were not tried: the run was ended before", r.result.Idle.NotBegun)
	}
	for why, n := range r.result.Refused {
		if strings.Contains(why, noPorts) {
			say("%d connections found no local port: %s", n, portAdvice(len(r.plan.LocalAddrs)))
		}
	}
}
