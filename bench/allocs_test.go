package bench

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// Sending a message and knowing it again allocates nothing: not in the client, and not
// in the engine's server, which is in this process as well; nor does waking a loop, which
// a slow open loop does for each message.
func TestMessagesAllocateNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	url := serve(t, onMessage(echoes))
	for name, p := range map[string]Echo{
		"closed loop": {InFlight: 16, Sizes: Sizes{Min: 20, Max: 20}},
		"open loop":   {Rate: 100_000, Sizes: Sizes{Min: 20, Max: 500}},
		"slow loop":   {Rate: 4000, Sizes: Sizes{Min: 20, Max: 20}},
		"text":        {InFlight: 4, Text: true, Sizes: Sizes{Min: 20, Max: 20}},
	} {
		p.URL, p.Conns, p.Loops, p.Duration = url, 20, 1, time.Minute
		const enough = 10_000
		var before, after runtime.MemStats
		var from, messages uint64
		ctx, cancel := context.WithCancel(context.Background())
		_, err := p.Run(ctx, func(now Progress) {
			switch {
			case now.Received == 0:
			case from == 0:
				runtime.ReadMemStats(&before)
				from = now.Received
			case messages == 0 && now.Received > from+enough:
				runtime.ReadMemStats(&after)
				messages = now.Received - from
				cancel()
			}
		})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		most := messages/100 + 500 // for what happens once a second, such as the recorders
		if allocated := after.Mallocs - before.Mallocs; messages < enough || allocated > most {
			t.Errorf("%s: %d allocations for %d messages", name, allocated, messages)
		}
	}
}
