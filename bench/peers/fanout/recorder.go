package main

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// recorder notes when each message of a turn arrives.
type recorder struct {
	base   uint64 // the number of the first message
	size   int    // subscribers
	period int64
	begin  int64 // when the first message was due; 0 is not known yet
	counts []int // subscribers who have it, by message

	first, median, last, all *hdrhistogram.Histogram
}

func newRecorder(base uint64, messages, size int, period time.Duration) *recorder {
	histogram := func() *hdrhistogram.Histogram {
		return hdrhistogram.New(int64(time.Microsecond), int64(time.Hour), 3)
	}
	return &recorder{
		base: base, size: size, period: int64(period), counts: make([]int, messages),
		first: histogram(), median: histogram(), last: histogram(), all: histogram(),
	}
}

func (r *recorder) heard(number uint64, due, at int64) {
	i := int(number - r.base)
	if r.begin == 0 {
		r.begin = due - int64(i)*r.period
	}
	r.counts[i]++
	r.note(r.counts[i], at-due)
}

// note takes down that the n-th subscriber gets a message after so long.
func (r *recorder) note(n int, took int64) {
	// None is out of range: an hour is longer than a turn.
	_ = r.all.RecordValue(took)
	if n == 1 {
		_ = r.first.RecordValue(took)
	}
	if n == (r.size+1)/2 {
		_ = r.median.RecordValue(took)
	}
	if n == r.size {
		_ = r.last.RecordValue(took)
	}
}

// result counts what is missing with the time that it has waited, and sums up.
func (r *recorder) result(end int64) (l latency) {
	came := 0
	for i, n := range r.counts {
		came += n
		for n++; n <= r.size; n++ {
			r.note(n, max(0, end-r.begin-int64(i)*r.period))
		}
	}
	l.Delivered = float64(came) / float64(len(r.counts)*r.size)
	l.First, l.Median, l.Last, l.All = spreadOf(r.first), spreadOf(r.median), spreadOf(r.last), spreadOf(r.all)
	return l
}

// spread is a distribution in nanoseconds.
type spread struct{ P50, P99, Max int64 }

func spreadOf(h *hdrhistogram.Histogram) spread {
	return spread{P50: h.ValueAtQuantile(50), P99: h.ValueAtQuantile(99), Max: h.Max()}
}
