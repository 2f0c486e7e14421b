package bench

import (
	"context"
	"fmt"
	"time"
)

// awaitStart returns when the load is to begin, and tells about it. That the time is past
// is a doubt: what other machines do has begun without this one.
func (s *session) awaitStart(ctx context.Context, start time.Time) {
	if start.IsZero() {
		return
	}
	if late := time.Since(start); late > startTolerance {
		s.result.Doubts = append(s.result.Doubts, fmt.Sprintf("the load began %v after --start-at: opening the connections took until then", Round(late)))
		return
	}
	began := time.Now()
	for ctx.Err() == nil && time.Until(start) > 0 {
		_, failed := s.attempts()
		s.tell(Progress{
			Phase: "waiting for " + start.Format(time.TimeOnly), Conns: s.fleet.client.Connections(), Refused: failed,
			Done: float64(time.Since(began)) / float64(start.Sub(began)),
		})
		next := time.Now().Add(time.Second)
		if start.Before(next) {
			next = start
		}
		sleepUntil(ctx, next)
	}
}

// startTolerance is how late a start may be and still be the one that was asked for.
const startTolerance = 100 * time.Millisecond
