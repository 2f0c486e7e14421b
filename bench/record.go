package bench

import (
	"errors"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/headrace/headrace/engine"
)

// Range and precision of all histograms: a microsecond to an hour, three digits. Each takes
// 192 KiB.
const (
	leastLatency = int64(time.Microsecond)
	mostLatency  = int64(time.Hour)
	digits       = 3
)

// newHistogram gives a histogram of nanoseconds.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(leastLatency, mostLatency, digits)
}

// record adds a time to a histogram; what is out of range counts as its end.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(int64(d), leastLatency), mostLatency))
}

// Counts are what became of messages.
type Counts struct {
	Sent       uint64 `json:"sent"`
	Received   uint64 `json:"received"` // those that were sent and have come back for the first time
	Bytes      uint64 `json:"bytes"`    // of payload, received
	Lost       uint64 `json:"lost"`     // that have not come back
	Corrupt    uint64 `json:"corrupt"`
	Duplicated uint64 `json:"duplicated"`
	Reordered  uint64 `json:"reordered"` // that have come behind a later one
	NotSent    uint64 `json:"notSent"`   // that were due on a connection that was gone, or had too many on their way
	Dropped    uint64 `json:"dropped"`   // connections that the server, or the network, has ended
}

func (c *Counts) add(more *Counts) {
	c.Sent += more.Sent
	c.Received += more.Received
	c.Bytes += more.Bytes
	c.Lost += more.Lost
	c.Corrupt += more.Corrupt
	c.Duplicated += more.Duplicated
	c.Reordered += more.Reordered
	c.NotSent += more.NotSent
	c.Dropped += more.Dropped
}

// Errors is how many things went wrong.
func (c *Counts) Errors() uint64 {
	return c.Lost + c.Corrupt + c.Duplicated + c.Reordered + c.NotSent + c.Dropped
}

// recorder is what one loop has measured since somebody looked last. Loop-only.
type recorder struct {
	Counts
	latency *hdrhistogram.Histogram // by when the message was due, or sent
	lag     *hdrhistogram.Histogram // from when a message was due to when it was sent
	reasons map[string]uint64       // why connections have ended
	parts   *breakdown              // what a scenario tells apart; else nil
	fan     *fanFigures             // nil but in a Fanout

	// All messages, also those that do not count: what went, came back, and will not
	// come back.
	begun, back, gone uint64
	gaveUp            uint64 // of those that count and are lost: a closed loop no longer waited for them
}

func newRecorder() *recorder {
	return &recorder{latency: newHistogram(), lag: newHistogram(), reasons: make(map[string]uint64)}
}

func (r *recorder) add(more *recorder) {
	r.Counts.add(&more.Counts)
	r.begun += more.begun
	r.back += more.back
	r.gone += more.gone
	r.gaveUp += more.gaveUp
	r.latency.Merge(more.latency)
	r.lag.Merge(more.lag)
	for why, n := range more.reasons {
		r.reasons[why] += n
	}
	if more.parts != nil {
		r.breakdown().add(more.parts)
	}
	if more.fan != nil {
		r.fanned().add(more.fan)
	}
}

// breakdown gives parts, made when it is first needed.
func (r *recorder) breakdown() *breakdown {
	if r.parts == nil {
		r.parts = newBreakdown()
	}
	return r.parts
}

// arrived counts what is wrong with how a message has come.
func (r *recorder) arrived(how arrival) {
	switch how {
	case unknown:
		r.Corrupt++
	case duplicate:
		r.Duplicated++
	case late:
		r.Reordered++
	case inOrder:
	}
}

// end counts the end of connection i of a target, unless it is our own.
func (r *recorder) end(t *Target, i int, info engine.CloseInfo) {
	if !errors.Is(info.Err, engine.ErrShutdown) {
		r.Dropped++
		r.reasons[t.ending(i, info)]++
	}
}
