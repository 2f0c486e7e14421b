package report

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/bench"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// empty is a result without a message, its histograms made.
func empty() *bench.Result {
	r, err := bench.ReadResult(strings.NewReader(`{"version":1,"job":"echo"}`))
	if err != nil {
		panic(err)
	}
	return r
}

// sample is a result of so many seconds, each with 100 messages, the slowest of which
// took as many milliseconds as it is the how manieth second.
func sample(began time.Time, secs int) *bench.Result {
	r := empty()
	r.URL, r.Started, r.Counted = "ws://127.0.0.1:1/", began, began.Add(time.Second)
	r.Conns, r.Sizes, r.Rate, r.Seconds = 10, "20", 100, float64(secs)
	r.Refused, r.Ended = map[string]uint64{"no route": 2}, map[string]uint64{"closed with 1013 slow": 1}
	r.Client = bench.Client{Cores: 0.5, Loops: 1, Allowed: 2, Memory: 20e6}
	r.Server = &bench.Usage{PID: 7, Cores: 0.25, MicrosPerMessage: 2500, Memory: 30e6, MemoryBefore: 10e6, MemoryPerConn: 2e6}
	r.Counts.Dropped = 1
	for s := 1; s <= secs; s++ {
		r.Series = append(r.Series, bench.Point{At: float64(s), Seconds: 1, Sent: 100, Received: 100, P50: 1, P99: 2, Max: float64(s), Conns: 10})
		r.Counts.Sent += 100
		r.Counts.Received += 100
		for i := range 100 {
			_ = r.Latency.RecordValue(int64(s) * int64(i+1) * int64(10*time.Microsecond))
			_ = r.Lag.RecordValue(int64(time.Microsecond))
		}
	}
	for range 10 {
		_ = r.Handshake.RecordValue(int64(time.Millisecond))
	}
	return r
}

func encode(t testing.TB, r *bench.Result) []byte {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
