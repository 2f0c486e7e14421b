package bench

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Found is what a Search has found.
type Found struct {
	SLO    []string `json:"slo"`
	Rate   float64  `json:"rate"`             // the highest that was kept; 0: none was
	Broken float64  `json:"broken,omitempty"` // the lowest that was not kept; 0: none
	Limit  string   `json:"limit"`            // of what this is the limit: server, client, search
	Steps  []Step   `json:"steps"`            // in the order in which they were tried
}

// report makes the result: the best step's, with what was found.
func (s *searching) report() (*Result, error) {
	var res Result
	switch {
	case len(s.steps) > 0:
		res = *s.results[s.best()]
	case s.stopped == stoppedByTime:
		s.result, s.total = &s.base, newRecorder()
		s.collect(0)
		res = s.base
	default:
		return nil, errors.New("the first step did not come to its end: " + s.stopped)
	}
	res.Tables = []Table{stepTable(s.steps)}
	res.Plots = []Plot{stepPlot(s.steps)}
	b := &s.bounds
	f := &Found{Rate: b.low, Broken: b.high, Limit: "search", Steps: s.steps}
	for _, o := range s.plan.SLO {
		f.SLO = append(f.SLO, o.text)
	}
	res.Search = f
	s.conclude(&res, strings.Join(f.SLO, ", "))
	for _, o := range s.plan.SLO {
		if n := float64(res.Counts.Sent) * (1 - o.quant/100); o.quant > 0 && o.quant < 100 && n < leastTail {
			res.Doubts = append(res.Doubts, fmt.Sprintf("%s rests on the slowest %.1f messages of a step: steps must be longer", o.what, n))
		}
	}
	return &res, nil
}

// leastTail is how many messages a percentile should have above it.
const leastTail = 5

// best is the step whose rate is the result: the last one that was kept at the highest
// rate, or the first of all.
func (s *searching) best() (at int) {
	for i, step := range s.steps {
		if step.Verdict == Kept && step.Rate == s.bounds.low {
			at = i
		}
	}
	return at
}

// conclude says in words what was found.
func (s *searching) conclude(res *Result, slo string) {
	b, f := &s.bounds, res.Search
	find := func(format string, a ...any) { res.Findings = append(res.Findings, fmt.Sprintf(format, a...)) }
	fail := func(format string, a ...any) { res.Failed = append(res.Failed, fmt.Sprintf(format, a...)) }
	doubt := func(format string, a ...any) { res.Doubts = append(res.Doubts, fmt.Sprintf(format, a...)) }
	low, high := short(b.low), short(b.high)
	if b.low > 0 {
		find("%s is kept at %s messages/s", slo, low)
	}
	if b.high > 0 {
		find("it is not kept at %s messages/s: %s", high, s.why(b.high))
	}
	switch {
	case s.stopped == stoppedByUser || s.stopped == stoppedByTime:
		doubt("%s before the bounds were within %.3g%%", s.stopped, 100*b.precision)
		if s.stopped == stoppedByTime && b.low == 0 {
			fail("nothing was found within %v (--max-time)", s.plan.MaxTime)
		}
	case s.stopped != "":
		f.Limit = "server"
		fail("%s", s.stopped)
	case b.high > 0 && s.limits == ByClient:
		f.Limit = "client"
		doubt("the client's limit was reached first, at %s messages/s: the server's may be higher", high)
		if b.low == 0 {
			fail("not even the lowest rate, %s messages/s, was kept, and the client may be why", high)
		}
	case b.high > 0:
		f.Limit = "server"
		if b.low == 0 {
			fail("even the lowest rate, %s messages/s, breaks %s: %s", high, slo, s.why(b.high))
		}
	default:
		fail("even the highest rate, %s messages/s, keeps %s: the search must go higher", low, slo)
	}
}

// why gives the reason of the last step at a rate that was not kept.
func (s *searching) why(rate float64) string {
	for _, step := range slices.Backward(s.steps) {
		if step.Rate == rate && step.Verdict != Kept {
			return step.Why
		}
	}
	return ""
}

// stepTable shows all steps, in their order.
func stepTable(steps []Step) Table {
	t := Table{
		Title:   "steps, in messages/s (what is kept at a rate is taken to be kept below it)",
		Columns: []string{"asked", "achieved", "p50", "p99", "max", "errors", "server CPU", "verdict", "why"},
	}
	for i := range steps {
		p := &steps[i]
		cpu := ""
		if p.Cores > 0 {
			cpu = fmt.Sprintf("%.2f", p.Cores)
		}
		t.Rows = append(t.Rows, []string{
			short(p.Rate), fmt.Sprintf("%.0f", p.Achieved), fromMS(p.P50), fromMS(p.P99), fromMS(p.Max),
			fmt.Sprint(p.Errors), cpu, string(p.Verdict), p.Why,
		})
	}
	return t
}

func fromMS(v float64) string {
	if v == 0 {
		return ""
	}
	return Round(time.Duration(v * float64(time.Millisecond))).String()
}

// stepPlot is the latency by the rate. A rate that was tried several times is there with
// the step whose p99 is in the middle.
func stepPlot(steps []Step) Plot {
	lines := []Line{{Name: "p50"}, {Name: "p99"}, {Name: "max"}}
	all := slices.Clone(steps)
	slices.SortFunc(all, func(a, b Step) int {
		return cmp.Or(cmp.Compare(a.Rate, b.Rate), cmp.Compare(a.P99, b.P99))
	})
	for i := 0; i < len(all); {
		end := i
		for end < len(all) && all[end].Rate == all[i].Rate {
			end++
		}
		p := all[(i+end-1)/2]
		i = end
		if p.P50 <= 0 {
			continue // nothing came back: there is no point for it
		}
		for k, v := range []float64{p.P50, p.P99, p.Max} {
			lines[k].X = append(lines[k].X, p.Rate)
			lines[k].Y = append(lines[k].Y, v)
		}
	}
	return Plot{Title: "latency by rate", X: "messages/s", Y: "ms", LogY: true, Lines: lines}
}
