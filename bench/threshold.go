package bench

import (
	"fmt"
	"math"
)

// Threshold is something that must not be: "p99>10ms", "errors>0", "rate<5000".
type Threshold struct{ condition }

// ParseThreshold reads one.
func ParseThreshold(s string) (Threshold, error) {
	c, err := parseCondition(s, "p99>10ms, max>1s, handshake-p99>100ms, errors>0, lost>0.1%, dropped>0, refused>0, rate<5000, handshakes<500 (a second), not-begun>0 or memory>4096 (bytes for each connection); for a fan-out also first-p50>1ms, median-, last- and skew-p99>50ms, gaps>0, incomplete>0 or conflated>0")
	return Threshold{c}, err
}

// Crossed says whether a result has what must not be, and in words what it has. What was
// not measured must not pass for good. A message that has not come back counts as slower
// than any limit.
func (t Threshold) Crossed(r *Result) (crossed bool, is string) {
	c := t.condition
	if missing := c.missing(r); missing > 0 {
		if c.quant *= float64(r.Counts.Sent) / float64(r.Counts.Received); !(c.quant <= 100) {
			return t.holds(math.Inf(1)), fmt.Sprintf("%s: %d of %d messages have not come back", t.text, missing, r.Counts.Sent)
		}
	}
	v, is := c.value(r)
	if is == "" {
		return true, fmt.Sprintf("%s: it was not measured", t.text)
	}
	return t.holds(v), fmt.Sprintf("%s: it is %s", t.text, is)
}

// Fits says whether a job measures what the threshold is about. refused>0 is about
// connections that were refused: errors has what went wrong on those that were not.
func (t Threshold) Fits(j Job) error {
	var m measures
	switch j := j.(type) {
	case Echo:
		m = measures{messages: true, handshakes: true, memory: j.PID != 0}
	case Search:
		m = measures{messages: true, handshakes: true, memory: j.PID != 0}
	case *Scenario:
		m = measures{messages: true, handshakes: true, memory: j.PID != 0}
	case Scenario:
		m = measures{messages: true, handshakes: true, memory: j.PID != 0}
	case Fanout:
		m = measures{messages: true, handshakes: true, fanout: true, memory: j.PID != 0}
	case Idle:
		m = measures{messages: j.PingEvery > 0, handshakes: true, opening: true, memory: j.PID != 0 || j.Metrics != ""}
	case Storm:
		m = measures{messages: j.Churn, handshakes: true, opening: true, memory: j.PID != 0}
	default:
		return nil
	}
	return t.fits(m)
}

// measures is what a job, or a phase of one, measures besides errors and refusals.
type measures struct {
	messages   bool // their latency and rate
	handshakes bool // their latency
	opening    bool // their rate
	fanout     bool
	memory     bool
}

func (t Threshold) fits(m measures) error {
	says := ""
	switch {
	case t.isOfFanout() && !m.fanout:
		says = "only a fan-out measures that"
	case t.of == "handshake" && !m.handshakes:
		says = "that is measured for the whole run only"
	case (t.what == "handshakes" || t.what == "not-begun") && !m.opening:
		says = "only idle and storm measure that"
	case t.what == "memory" && !m.memory:
		says = "that is measured only of a server whose process is known (--pid)"
	case (t.quant > 0 && t.of == "" || t.what == "rate") && !m.messages:
		says = "nothing is sent that would measure it (idle: --ping-every, storm: --churn)"
	default:
		return nil
	}
	return fmt.Errorf("%q: %s", t.text, says)
}
