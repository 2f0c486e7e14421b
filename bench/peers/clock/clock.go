// Package clock reads the clocks that processes of one machine share.
package clock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Go's own clock is CLOCK_MONOTONIC as well, and cheaper to read, but has another zero.
var (
	begin  = time.Now()
	offset = findOffset()
)

func findOffset() int64 {
	best, least := int64(0), time.Hour
	for range 100 {
		before := time.Since(begin)
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
			panic(err)
		}
		after := time.Since(begin)
		if took := after - before; took < least {
			least, best = took, t.Nano()-int64(before+took/2)
		}
	}
	return best
}

// Now is CLOCK_MONOTONIC in nanoseconds: the same in every process.
func Now() int64 { return int64(time.Since(begin)) + offset }

// CPU is how long all threads of a process have run.
func CPU(pid int) (time.Duration, error) {
	const sched = 2 // the kernel's CPUCLOCK_SCHED
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &t); err != nil {
		return 0, fmt.Errorf("the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}
