package bench

import (
	"sync"
	"time"
)

// wakeEvery is the grain of sending where no metronome does it: what it costs in lateness
// is part of the lag that is measured and told.
const wakeEvery = 250 * time.Microsecond

// driving is goroutines that go on until they are stopped.
type driving struct {
	end chan struct{}
	run sync.WaitGroup
}

func (d *driving) stop() {
	close(d.end)
	d.run.Wait()
}
