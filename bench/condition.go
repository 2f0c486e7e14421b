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
	what    string
	quant   float64 // 0: no latency
	op      string
	limit   float64 // seconds for latencies
	percent bool    // limit is a share in percent
}

var conditionForm = regexp.MustCompile(`^\s*(p[0-9.]+|max|errors|lost|dropped|refused|rate)\s*(<=|>=|<|>|=)\s*([^\s%]+)(%?)\s*$`)

// parseCondition reads one. examples is what the message for another form shows.
func parseCondition(s, examples string) (condition, error) {
	m := conditionForm.FindStringSubmatch(s)
	if m == nil {
		return condition{}, fmt.Errorf("%q: a condition is like %s", s, examples)
	}
	c := condition{text: strings.TrimSpace(s), what: m[1], op: m[2], percent: m[4] != ""}
	var err error
	switch {
	case m[1] == "max":
		c.quant = 100
	case m[1][0] == 'p':
		if c.quant, err = strconv.ParseFloat(m[1][1:], 64); err != nil || c.quant <= 0 || c.quant > 100 {
			return c, fmt.Errorf("%q: a percentile is more than 0 and at most 100", s)
		}
	case m[1] == "rate" && c.percent:
		return c, fmt.Errorf("%q: a rate is messages a second, not a share", s)
	default:
		if c.limit, err = strconv.ParseFloat(m[3], 64); err != nil || math.IsNaN(c.limit) {
			return c, fmt.Errorf("%q: %q is no number", s, m[3])
		}
		return c, nil
	}
	d, err := time.ParseDuration(m[3])
	if err != nil || c.percent {
		return c, fmt.Errorf("%q: %q is no time, such as 10ms or 1.5s", s, m[3]+m[4])
	}
	c.limit = d.Seconds()
	return c, nil
}

// value is what a result has of it, as a number to compare and in words.
func (c condition) value(r *Result) (v float64, is string) {
	if c.quant > 0 {
		d := r.Latency.At(c.quant)
		return d.Seconds(), fmt.Sprint(Round(d))
	}
	n, of := r.Throughput(), 0.0
	switch c.what {
	case "errors":
		n, of = float64(r.Counts.Errors()), float64(r.Counts.Sent)
	case "lost":
		n, of = float64(r.Counts.Lost), float64(r.Counts.Sent)
	case "dropped":
		n, of = float64(r.Counts.Dropped), float64(r.Conns)
	case "refused":
		n, of = float64(r.refusals()), float64(r.Conns)
	}
	if !c.percent {
		return n, strconv.FormatFloat(n, 'f', -1, 64)
	}
	share := 100 * n / max(of, 1)
	return share, strconv.FormatFloat(share, 'g', 3, 64) + "%"
}

// holds says whether a value is as the condition says.
func (c condition) holds(v float64) bool {
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

func (r *Result) refusals() (n uint64) {
	for _, x := range r.Refused {
		n += x
	}
	return n
}
