package bench

import (
	"context"
	"time"
)

const (
	// hurry is the grace there still is when a run is stopped from outside.
	hurry = 2 * time.Second
	// lookAgain is how long it is from one look to the next.
	lookAgain = 10 * time.Millisecond
)

// await looks now and then whether everything is through, and returns when it is, when
// the grace is over, or soon after ctx has ended.
func await(ctx context.Context, grace time.Duration, isThrough func() bool) {
	hurried := false
	for end := time.Now().Add(grace); time.Now().Before(end) && !isThrough(); time.Sleep(lookAgain) {
		if soon := time.Now().Add(hurry); ctx.Err() != nil && !hurried {
			hurried = true
			if soon.Before(end) {
				end = soon
			}
		}
	}
}
