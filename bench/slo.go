package bench

import (
	"fmt"
	"math"
	"time"
)

// SLO is something that must be: "p99<20ms", "max<1s", "errors=0", "lost<0.1%".
type SLO struct{ condition }

// ParseSLO reads one.
func ParseSLO(s string) (SLO, error) {
	const examples = "p99<20ms, p99.9<50ms, max<1s, errors=0, lost<0.1%, dropped=0 or refused=0"
	c, err := parseCondition(s, examples)
	switch {
	case err != nil:
		return SLO{}, err
	case c.of != "" || c.quant == 0 && !c.isShare() && c.what != "rate":
		return SLO{}, fmt.Errorf("%q: a search measures echoes; an SLO is like %s", s, examples)
	case c.what == "rate":
		return SLO{}, fmt.Errorf("%q: the rate is what is searched for; an SLO is like %s", s, examples)
	case c.op == ">" || c.op == ">=":
		return SLO{}, fmt.Errorf("%q says what must not be; an SLO says what must be, like %s", s, examples)
	case c.quant > 0 && (c.op == "=" || c.limit <= 0):
		return SLO{}, fmt.Errorf("%q: a latency is less than a time above 0, such as %s<20ms", s, c.what)
	}
	return SLO{c}, nil
}

// String gives what was read.
func (o SLO) String() string { return o.text }

// kept says how a result stands to the SLO. A message that has not come back counts as
// slower than any limit. isClose: with a little less luck it were the other way.
func (o SLO) kept(r *Result) (kept, isClose bool, is string) {
	if o.quant == 0 {
		v, is := o.value(r)
		kept = o.holds(v)
		return kept, !kept && v <= o.limit+fewErrors, fmt.Sprintf("%s is %s", o.what, is)
	}
	if r.Counts.Received == 0 {
		return false, false, "nothing has come back"
	}
	of := o.condition
	if of.quant *= float64(r.Counts.Sent) / float64(r.Counts.Received); of.quant > 100 {
		return false, false, fmt.Sprintf("%s: %d of %d messages have not come back", o.what, r.Counts.Sent-r.Counts.Received, r.Counts.Sent)
	}
	v, is := of.value(r)
	return o.holds(v), v > o.limit/closeTo && v < o.limit*closeTo, fmt.Sprintf("%s is %s", o.what, is)
}

// brokenByLoss says whether what has come back would keep a latency: only what has not
// come back breaks it.
func (o SLO) brokenByLoss(r *Result) bool {
	if r.Counts.Lost == 0 {
		return false
	}
	v, is := o.value(r)
	return is == "" || o.holds(v)
}

// A latency is close to its limit within this factor, a count by so many.
const (
	closeTo   = 1.25
	fewErrors = 3
)

// patience is how far a server may be behind before a step is given up: twice the
// highest latency that it may have, and a second at least.
func patience(all []SLO) time.Duration {
	highest := 0.0
	for _, o := range all {
		if o.quant > 0 {
			highest = max(highest, o.limit)
		}
	}
	if highest == 0 {
		return 2 * time.Second
	}
	return max(time.Second, time.Duration(math.Min(2*highest, 3600)*float64(time.Second)))
}
