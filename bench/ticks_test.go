package bench

import (
	"testing"
	"time"
)

// An idle process is woken at a grain below the runtime's millisecond. On a busy machine
// single ticks are late, but not half of them.
func TestTicks(t *testing.T) {
	const every = 250 * time.Microsecond
	tick := newTicks(every)
	quick := 0
	for range 400 {
		began := time.Now()
		<-tick.C
		if time.Since(began) < 2*every {
			quick++
		}
	}
	tick.stop()
	if quick < 200 {
		t.Errorf("%d of 400 ticks came within %v", quick, 2*every)
	}
}
