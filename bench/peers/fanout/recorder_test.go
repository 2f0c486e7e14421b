package main

import (
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

// near allows for the three digits of the histograms.
func near(got, want int64) bool { return got >= want-want/500 && got <= want+want/500 }

func TestRecorderTellsFirstMedianLast(t *testing.T) {
	r := newRecorder(7, 2, 4, 10*time.Millisecond)
	for i, took := range []int64{1, 2, 3, 40} {
		r.heard(7, 100*ms, 100*ms+took*ms)
		r.heard(8, 110*ms, 110*ms+took*ms+int64(i)*ms)
	}
	l := r.result(999 * ms)
	if l.Delivered != 1 {
		t.Errorf("delivered: %g", l.Delivered)
	}
	for name, c := range map[string]struct{ got, want int64 }{
		"first": {l.First.Max, 1 * ms}, "median": {l.Median.Max, 3 * ms}, "last": {l.Last.Max, 43 * ms},
		"all": {l.All.Max, 43 * ms}, "half of all": {l.All.P50, 3 * ms}, "half of the last": {l.Last.P50, 40 * ms},
	} {
		if !near(c.got, c.want) {
			t.Errorf("%s: %d, want %d", name, c.got, c.want)
		}
	}
}

func TestRecorderCountsWhatIsMissing(t *testing.T) {
	r := newRecorder(0, 3, 2, 10*time.Millisecond)
	r.heard(0, 50*ms, 51*ms)
	r.heard(0, 50*ms, 52*ms)
	r.heard(1, 60*ms, 63*ms)
	l := r.result(100 * ms) // one of message 1 has waited for 40, two of message 2 for 30
	if l.Delivered != 0.5 {
		t.Errorf("delivered: %g", l.Delivered)
	}
	if !near(l.First.Max, 30*ms) || !near(l.Last.Max, 40*ms) || !near(l.Last.P50, 30*ms) || r.all.TotalCount() != 6 {
		t.Errorf("%+v of %d", l, r.all.TotalCount())
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(c.of); got != c.want {
			t.Errorf("%v: %g", c.of, got)
		}
	}
}
