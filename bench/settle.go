package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// settle sees to it that a step finds all connections open, and nothing on its way: one
// step's queue is not the next one's latency.
func (s *searching) settle(ctx context.Context) error {
	if s.flow.waiting() > 0 {
		s.hangUp(ctx)
	}
	lost := s.job.takeLost()
	if len(lost) == 0 {
		return nil
	}
	s.session.tell(Progress{Phase: "connecting", Conns: s.fleet.client.Connections()})
	if err := s.reopen(ctx, lost); err != nil {
		return fmt.Errorf("the server takes no connections any more: %w", err)
	}
	// What a server still does for connections that are gone is waited for.
	s.result, s.total = &Result{}, newRecorder()
	s.measure(ctx, stretch{rate: probeRate, duration: time.Second / 2, grace: s.plan.Drain})
	return nil
}

// probeRate is how many messages a second show whether a server is through with others.
const probeRate = 10

// takeLost gives the numbers of the connections that have ended since the last call.
func (j *echoJob) takeLost() []uint32 {
	j.mu.Lock()
	defer j.mu.Unlock()
	lost := j.lost
	j.lost = nil
	return lost
}

// hangUp closes all connections, and returns when they have ended.
func (r *echoRun) hangUp(ctx context.Context) {
	for _, d := range r.job.lanes.all() {
		d.hangUp.Store(true)
		d.work.Ask()
	}
	await(ctx, closePatience, func() bool { return r.fleet.client.Connections() == 0 || ctx.Err() != nil })
	r.take()
}

const closePatience = 30 * time.Second

// reopen opens connections that have ended. It fails when there is none after that.
func (r *echoRun) reopen(ctx context.Context, numbers []uint32) error {
	turns := make(chan uint32)
	var dialing sync.WaitGroup
	for range min(r.plan.Opening.withDefaults().AtOnce, len(numbers)) {
		dialing.Go(func() {
			for i := range turns {
				if _, err := r.dial(ctx, int(i), time.Now(), r.handler(int(i))); err != nil {
					r.job.mu.Lock()
					r.job.lost = append(r.job.lost, i) // the next time
					r.job.mu.Unlock()
				}
			}
		})
	}
	for _, i := range numbers {
		turns <- i
	}
	close(turns)
	dialing.Wait()
	if r.fleet.client.Connections() > 0 {
		return nil
	}
	r.fleet.mu.Lock()
	defer r.fleet.mu.Unlock()
	return errors.Join(context.Cause(ctx), r.fleet.last)
}
