package bench

import (
	"sync"
	"time"
)

// repeat does something at once, and again and again until stop. It is for what may come
// a millisecond late; what is due at a moment is for the metronome.
func repeat(every time.Duration, do func()) (stop func()) {
	end := make(chan struct{})
	var run sync.WaitGroup
	run.Go(func() {
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			do()
			select {
			case <-t.C:
			case <-end:
				return
			}
		}
	})
	return func() { close(end); run.Wait() }
}
