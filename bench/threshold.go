package bench

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Threshold is something that must not be: "p99>10ms", "errors>0", "rate<5000".
type Threshold struct {
	text      string
	what      string
	quant     float64
	handshake bool // the quantile is one of Result.Handshake
	greater   bool
	limit     float64 // seconds for latencies
}

var thresholdForm = regexp.MustCompile(`^\s*((?:handshake-)?(?:p[0-9.]+|max)|errors|lost|dropped|refused|rate|handshakes|not-begun|memory)\s*([<>])\s*(\S+)\s*$`)

// ParseThreshold reads one.
func ParseThreshold(s string) (Threshold, error) {
	m := thresholdForm.FindStringSubmatch(s)
	if m == nil {
		return Threshold{}, fmt.Errorf("%q: a condition is like p99>10ms, max>1s, handshake-p99>100ms, errors>0, lost>0, dropped>0, refused>0, not-begun>0, rate<5000, handshakes<500 (a second) or memory>4096 (bytes for each connection)", s)
	}
	t := Threshold{text: strings.TrimSpace(s), what: m[1], greater: m[2] == ">"}
	quantile, ofHandshake := strings.CutPrefix(m[1], "handshake-")
	t.handshake = ofHandshake
	var err error
	switch {
	case quantile == "max":
		t.quant = 100
	case quantile[0] == 'p':
		if t.quant, err = strconv.ParseFloat(quantile[1:], 64); err != nil || t.quant <= 0 || t.quant > 100 {
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

// Crossed says whether a result has what must not be, and in words what it has. What was
// not measured must not pass for good.
func (t Threshold) Crossed(r *Result) (crossed bool, is string) {
	v, is := t.value(r)
	if is == "" {
		return true, fmt.Sprintf("%s: it was not measured", t.text)
	}
	return t.greater && v > t.limit || !t.greater && v < t.limit, fmt.Sprintf("%s: it is %s", t.text, is)
}

// value is what the threshold is about. is "": the result does not have it.
func (t Threshold) value(r *Result) (v float64, is string) {
	if t.quant > 0 {
		of := r.Latency
		if t.handshake {
			of = r.Handshake
		}
		if of.Histogram == nil || of.TotalCount() == 0 {
			return 0, ""
		}
		d := of.At(t.quant)
		return d.Seconds(), fmt.Sprint(Round(d))
	}
	v, ok := map[string]float64{
		"errors": float64(r.Counts.Errors()), "lost": float64(r.Counts.Lost), "dropped": float64(r.Counts.Dropped),
		"refused": float64(r.refusals()), "rate": r.Throughput(),
	}[t.what]
	if !ok {
		v, ok = r.ofConnections(t.what)
	}
	if !ok {
		return 0, ""
	}
	return v, strconv.FormatFloat(math.Round(100*v)/100, 'f', -1, 64)
}

func (r *Result) refusals() (n uint64) {
	for _, x := range r.Refused {
		n += x
	}
	return n
}

// ofConnections gives the measures that only the jobs about connections have.
func (r *Result) ofConnections(what string) (v float64, ok bool) {
	switch {
	case what == "memory" && r.Idle != nil && r.Idle.Memory != nil:
		return r.Idle.Memory.PerConn, true
	case what == "memory" && r.Server != nil:
		return r.Server.MemoryPerConn, true
	case what == "handshakes" && r.Storm != nil:
		return r.Storm.PerSecond, true
	case what == "handshakes" && r.Idle != nil:
		return r.Idle.PerSecond, true
	case what == "not-begun" && r.Storm != nil:
		return float64(r.Storm.NotBegun), true
	case what == "not-begun" && r.Idle != nil:
		return float64(r.Idle.NotBegun), true
	}
	return 0, false
}
