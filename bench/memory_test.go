package bench

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// What a connection holds while messages go over it now and then: both ends of it, as
// the server is in this process too. The kernel's part is not seen.
func TestMemoryOfAConnection(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector takes memory of its own")
	}
	const conns, budget = 2000, 5000 // bytes; it is about 3,300, and a buffer that stays would be 4 KB more
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what pools hold goes with the second
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	url := serve(t, onMessage(echoes))
	before := heap()
	for _, p := range []Echo{{Rate: 4000}, {InFlight: 1}} {
		p.URL, p.Conns = url, conns
		p.Loops, p.Sizes, p.Duration = 1, Sizes{Min: 20, Max: 20}, time.Minute
		ctx, cancel := context.WithCancel(t.Context())
		var held uint64
		r, err := p.Run(ctx, func(now Progress) {
			if held == 0 && now.Received > conns {
				held = heap()
				cancel()
			}
		})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if r.Handshake.TotalCount() != conns || held == 0 {
			t.Fatalf("%d connections, %+v", r.Handshake.TotalCount(), r.Counts)
		}
		if each := (int64(held) - int64(before)) / conns; each > budget {
			t.Errorf("rate %v, %d in flight: %d bytes for each connection", p.Rate, p.InFlight, each)
		}
	}
}
