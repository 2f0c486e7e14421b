package bench

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuWatch measures how many processors this process uses.
type cpuWatch struct {
	began time.Time
	used  time.Duration
}

func startCPU() cpuWatch { return cpuWatch{time.Now(), cpuUsed()} }

// cores gives the average since the start.
func (w cpuWatch) cores() float64 {
	return (cpuUsed() - w.used).Seconds() / max(time.Since(w.began).Seconds(), 1e-9)
}

// cpuUsed is the time that all threads of this process have run.
func cpuUsed() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
