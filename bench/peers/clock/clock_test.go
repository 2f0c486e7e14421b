package clock

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestNowIsTheMonotonicClock(t *testing.T) {
	read := func() int64 {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			t.Fatal(err)
		}
		return ts.Nano()
	}
	const slack = int64(100 * time.Microsecond)
	for range 10 {
		before, now, after := read(), Now(), read()
		if now < before-slack || now > after+slack {
			t.Errorf("%d is not between %d and %d", now, before, after)
		}
	}
}

func TestCPUCountsWhatRuns(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for sum, i := 0, 0; i < 1e7; i++ {
		sum += i
		_ = sum
	}
	after, err := CPU(os.Getpid())
	if err != nil || after <= before {
		t.Errorf("%v after %v, %v", after, before, err)
	}
	if _, err := CPU(1 << 23); err == nil {
		t.Error("a process that cannot be has a clock")
	}
}
