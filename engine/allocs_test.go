package engine

import (
	"runtime"
	"testing"
)

// allocations gives how often, and how many bytes, a turn allocates: the mean of so
// many, because gnet's tick allocates now and then. Others of this process count too,
// such as its servers.
func allocations(tb testing.TB, turns int, turn func()) (count, bytes float64) {
	tb.Helper()
	if raceDetector {
		tb.Skip("the race detector allocates")
	}
	for range 200 {
		turn()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range turns {
		turn()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(turns), float64(after.TotalAlloc-before.TotalAlloc) / float64(turns)
}

// exchange sends a frame, and reads an answer of so many bytes without allocating.
func (c *testClient) exchange(tb testing.TB, frame, answer []byte) {
	if _, err := c.Write(frame); err != nil {
		tb.Fatal(err)
	}
	for got := 0; got < len(answer); {
		n, err := c.r.Read(answer[got:])
		if err != nil {
			tb.Fatal(err)
		}
		got += n
	}
}
