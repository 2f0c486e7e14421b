package bench

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// condition is a statement about a result: "p99<20ms", "lost>0.1%". A Threshold is one
// that must not hold, an SLO one that must.
type condition struct {
	text    string
	what    string  // "" for a latency
	of      string  // which latency: "", of the handshake, or to the first subscriber and so on
	quant   float64 // 0: no latency
	op      string
	limit   float64 // seconds for latencies
	percent bool    // limit is a share in percent
}

var conditionForm = regexp.MustCompile(`^\s*(?:((?:(first|median|last|skew|handshake)-)?(?:p[0-9.]+|max))|(errors|lost|dropped|refused|rate|gaps|incomplete|conflated|handshakes|not-begun|memory))\s*(<=|>=|<|>|=)\s*([^\s%]+)(%?)\s*$`)

// parseCondition reads one. examples is what the message for another form shows.
func parseCondition(s, examples string) (condition, error) {
	m := conditionForm.FindStringSubmatch(s)
	if m == nil {
		return condition{}, fmt.Errorf("%q: a condition is like %s", s, examples)
	}
	c := condition{text: strings.TrimSpace(s), what: m[1] + m[3], of: m[2], op: m[4], percent: m[6] != ""}
	if latency := m[1]; latency != "" {
		return c, c.parseLatency(strings.TrimPrefix(latency, m[2]+"-"), m[5])
	}
	if c.percent && !c.isShare() {
		return c, fmt.Errorf("%q: %s is no share of something", s, c.what)
	}
	var err error
	if c.limit, err = strconv.ParseFloat(m[5], 64); err != nil || math.IsNaN(c.limit) {
		return c, fmt.Errorf("%q: %q is no number", s, m[5])
	}
	return c, nil
}

// parseLatency reads what is about a time.
func (c *condition) parseLatency(quantile, limit string) (err error) {
	if c.quant = 100; quantile != "max" {
		if c.quant, err = strconv.ParseFloat(quantile[1:], 64); err != nil || !(c.quant > 0) || c.quant > 100 {
			return fmt.Errorf("%q: a percentile is more than 0 and at most 100", c.text)
		}
	}
	d, err := time.ParseDuration(limit)
	if err != nil || c.percent {
		return fmt.Errorf("%q: %q is no time, such as 10ms or 1.5s", c.text, limit)
	}
	c.limit = d.Seconds()
	return nil
}

// isShare says whether it can be a part of something, in percent.
func (c *condition) isShare() bool {
	switch c.what {
	case "errors", "lost", "dropped", "refused":
		return true
	}
	return false
}

// isOfFanout says whether only a Fanout has it.
func (c *condition) isOfFanout() bool {
	switch c.of {
	case "first", "median", "last", "skew":
		return true
	}
	return c.what == "gaps" || c.what == "incomplete" || c.what == "conflated"
}

// value is what a result has of it, as a number to compare and in words. is "": the
// result does not have it.
func (c *condition) value(r *Result) (v float64, is string) {
	if c.quant > 0 {
		h := c.latency(r)
		if h.Histogram == nil || h.TotalCount() == 0 {
			return 0, ""
		}
		d := h.At(c.quant)
		return d.Seconds(), fmt.Sprint(Round(d))
	}
	n, of, ok := c.count(r)
	switch {
	case !ok:
		return 0, ""
	case !c.percent:
		return n, strconv.FormatFloat(math.Round(100*n)/100, 'f', -1, 64)
	}
	share := 100 * n / max(of, 1)
	return share, strconv.FormatFloat(share, 'g', 3, 64) + "%"
}

// missing is how many messages have not come back that its latency is about. Only of an
// Echo each message sent is one to come back.
func (c *condition) missing(r *Result) uint64 {
	if c.quant == 0 || c.of != "" || r.Job != "echo" {
		return 0
	}
	return r.Counts.Sent - min(r.Counts.Received, r.Counts.Sent)
}

// latency gives the histogram that it is about.
func (c *condition) latency(r *Result) Histogram {
	f := r.Fanout
	if f == nil {
		f = &FanoutResult{}
	}
	switch c.of {
	case "handshake":
		return r.Handshake
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

// count gives a number, and what it may be a share of. ok is false where the result does
// not have it.
func (c *condition) count(r *Result) (n, of float64, ok bool) {
	switch c.what {
	case "rate":
		return r.Throughput(), 0, true
	case "errors":
		return float64(r.Counts.Errors()), float64(r.Counts.Sent), true
	case "lost":
		return float64(r.Counts.Lost), float64(r.Counts.Sent), true
	case "dropped":
		return float64(r.Counts.Dropped), float64(r.Conns), true
	case "refused":
		return float64(r.Refusals()), float64(r.Conns), true
	}
	if f := r.Fanout; f != nil {
		switch c.what {
		case "gaps":
			return float64(f.Gaps), 0, true
		case "incomplete":
			return float64(f.Incomplete), 0, true
		case "conflated":
			return float64(f.Conflated), 0, true
		}
	}
	n, ok = r.ofConnections(c.what)
	return n, 0, ok
}

// holds says whether a value is as the condition says.
func (c *condition) holds(v float64) bool {
	switch c.op {
	case "<":
		return v < c.limit
	case "<=":
		return v <= c.limit
	case ">":
		return v > c.limit
	case ">=":
		return v >= c.limit
	default:
		return v == c.limit
	}
}

// ofConnections gives what only the jobs about connections have.
func (r *Result) ofConnections(what string) (v float64, ok bool) {
	switch {
	case what == "memory" && r.Idle != nil && r.Idle.Memory != nil:
		return r.Idle.Memory.PerConn, true
	case what == "memory" && r.Server != nil && r.Server.MemoryPerConn > 0:
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

// Refusals is how many connections were refused.
func (r *Result) Refusals() (n uint64) {
	for _, x := range r.Refused {
		n += x
	}
	return n
}
