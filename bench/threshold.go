package bench

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Threshold is something that must not be: "p99>10ms", "errors>0", "rate<5000".
type Threshold struct {
	text    string
	of      string // of a Fanout: first, median, last or skew
	what    string
	quant   float64
	greater bool
	limit   float64 // seconds for latencies
}

var thresholdForm = regexp.MustCompile(`^\s*(?:(first|median|last|skew)-)?(p[0-9.]+|max|errors|lost|dropped|refused|rate|gaps|incomplete|conflated)\s*([<>])\s*(\S+)\s*$`)

// ParseThreshold reads one.
func ParseThreshold(s string) (Threshold, error) {
	m := thresholdForm.FindStringSubmatch(s)
	if m == nil || m[1] != "" && m[2][0] != 'p' && m[2] != "max" {
		return Threshold{}, fmt.Errorf("%q: a condition is like p99>10ms, max>1s, errors>0, lost>0, dropped>0, refused>0 or rate<5000; for a fan-out also first-p50>1ms, median-, last- and skew-p99>50ms, gaps>0, incomplete>0 or conflated>0", s)
	}
	m, of := m[1:], m[1]
	t := Threshold{text: strings.TrimSpace(s), of: of, what: m[1], greater: m[2] == ">"}
	var err error
	switch {
	case m[1] == "max":
		t.quant = 100
	case m[1][0] == 'p':
		if t.quant, err = strconv.ParseFloat(m[1][1:], 64); err != nil || t.quant <= 0 || t.quant > 100 {
			return t, fmt.Errorf("%q: a percentile is more than 0 and at most 100", s)
		}
	default:
		if t.limit, err = strconv.ParseFloat(m[3], 64); err != nil {
			return t, fmt.Errorf("%q: %q is no number", s, m[3])
		}
		return t, nil
	}
	d, err := time.ParseDuration(m[3])
	if err != nil {
		return t, fmt.Errorf("%q: %q is no time, such as 10ms or 1.5s", s, m[3])
	}
	t.limit = d.Seconds()
	return t, nil
}

// Crossed says whether a result has what must not be, and in words what it has.
func (t Threshold) Crossed(r *Result) (crossed bool, is string) {
	var v float64
	switch {
	case t.quant > 0:
		d := t.latency(r).At(t.quant)
		v, is = d.Seconds(), fmt.Sprint(Round(d))
	default:
		v = map[string]float64{
			"errors": float64(r.Counts.Errors()), "lost": float64(r.Counts.Lost), "dropped": float64(r.Counts.Dropped),
			"refused": float64(r.refusals()), "rate": r.Throughput(),
			"gaps": float64(r.fanout().Gaps), "incomplete": float64(r.fanout().Incomplete), "conflated": float64(r.fanout().Conflated),
		}[t.what]
		is = strconv.FormatFloat(v, 'f', -1, 64)
	}
	return t.greater && v > t.limit || !t.greater && v < t.limit, fmt.Sprintf("%s: it is %s", t.text, is)
}

func (r *Result) refusals() (n uint64) {
	for _, x := range r.Refused {
		n += x
	}
	return n
}

// Fits says whether a job measures what the threshold is about.
func (t Threshold) Fits(j Job) error {
	_, fanout := j.(Fanout)
	if !fanout && (t.of != "" || t.what == "gaps" || t.what == "incomplete" || t.what == "conflated") {
		return fmt.Errorf("%q: only a fan-out measures that", t.text)
	}
	return nil
}

// latency gives the histogram that the threshold is about.
func (t Threshold) latency(r *Result) Histogram {
	switch f := r.fanout(); t.of {
	case "first":
		return f.First
	case "median":
		return f.Median
	case "last":
		return f.Last
	case "skew":
		return f.Skew
	}
	return r.Latency
}

// fanout gives what only a Fanout has, or nothing of it.
func (r *Result) fanout() *FanoutResult {
	if r.Fanout == nil {
		return &FanoutResult{}
	}
	return r.Fanout
}
