package bench

import (
	"fmt"
	"slices"
	"strings"

	"github.com/headrace/headrace/bench/host"
)

// Compared is what a Compare has found.
type Compared struct {
	Seed    uint64   `json:"seed"`
	Restart bool     `json:"restart,omitempty"`
	First   []string `json:"first"` // the side that was the first, by round
	Ratios  []Ratio  `json:"ratios"`
}

// Ratio is how B stands to A in one figure.
type Ratio struct {
	What     string    `json:"what"`
	Unit     string    `json:"unit"`
	A        float64   `json:"a"` // medians of the rounds
	B        float64   `json:"b"`
	Interval           // of the rounds' ratios B/A
	Rounds   []float64 `json:"rounds"` // the ratios
}

// figure is something to compare.
type figure uint8

const (
	throughput figure = iota
	median
	slowest
	cpu
	memory
	figures
)

var figureWords = [figures]struct{ what, unit, says string }{
	throughput: {"throughput", "messages/s", "B carries %s the messages"},
	median:     {"p50", "ms", "B's median latency is %s A's"},
	slowest:    {"p99", "ms", "B's p99 is %s A's"},
	cpu:        {"CPU", "us/message", "B needs %s the CPU for a message"},
	memory:     {"memory", "bytes/connection", "B needs %s the memory for a connection"},
}

// measured is the figures of one run; what is not known is 0.
type measured [figures]float64

// measure takes the figures from the result of a run. Memory is known of a process that
// isFresh: one that has had connections before keeps what it likes.
func (at *contender) measure(r *Result, isFresh bool) (m measured) {
	m[throughput] = r.Throughput()
	m[median], m[slowest] = inMS(r.Latency.At(50)), inMS(r.Latency.At(99))
	if u := r.Server; u != nil {
		m[cpu] = u.MicrosPerMessage
		if conns := r.Handshake.TotalCount(); isFresh && conns > 0 && u.Memory > at.empty {
			m[memory] = float64(u.Memory-at.empty) / float64(conns)
		}
	}
	return m
}

// ratios compares the rounds, figure by figure; what is not known in each is left out.
func ratios(rounds [][2]measured, open bool) (all []Ratio) {
	for f := range figures {
		if f == throughput && open {
			continue // it is what was asked for
		}
		r := Ratio{What: figureWords[f].what, Unit: figureWords[f].unit}
		var a, b []float64
		for _, both := range rounds {
			if both[0][f] > 0 && both[1][f] > 0 {
				a, b = append(a, both[0][f]), append(b, both[1][f])
				r.Rounds = append(r.Rounds, both[1][f]/both[0][f])
			}
		}
		if len(r.Rounds) < len(rounds) {
			continue
		}
		r.A, r.B, r.Interval = interval(a).Median, interval(b).Median, interval(r.Rounds)
		all = append(all, r)
	}
	return all
}

// same is how close to 1 an interval has to be for a difference that nobody minds.
const same = 0.005

// enough is the confidence without which no difference is told.
const enough = 0.9

// Says gives the verdict in words.
func (r *Ratio) Says() string {
	between := fmt.Sprintf("(%.3g to %.3g)", r.Low, r.High)
	if r.Confidence < wanted {
		between = fmt.Sprintf("(%.3g to %.3g, with a confidence of only %.0f%%)", r.Low, r.High, 100*r.Confidence)
	}
	switch {
	case r.Confidence < enough:
		return fmt.Sprintf("%s: B/A is %.3g to %.3g in %d rounds, which are too few to tell", r.What, r.Low, r.High, len(r.Rounds))
	case r.Low >= 1-same && r.High <= 1+same:
		return fmt.Sprintf("%s: the same within half a percent", r.What)
	case r.Low <= 1 && r.High >= 1:
		return fmt.Sprintf("%s: no difference that %d rounds could show %s", r.What, len(r.Rounds), between)
	}
	for _, w := range figureWords {
		if w.what == r.What {
			return fmt.Sprintf(w.says, fmt.Sprintf("%.3g times %s", r.Median, between))
		}
	}
	return ""
}

// report makes the result.
func (c *comparing) report() *Result {
	p := c.plan
	e, _ := p.Echo.withDefaults()
	empty := Histogram{newHistogram()}
	res := &Result{
		Version: resultVersion, Job: "compare", URL: "A " + withoutPassword(p.A.URL) + ", B " + withoutPassword(p.B.URL), Started: c.began, Machine: host.ThisMachine(),
		Conns: e.Conns, Sizes: e.Sizes.String(), Rate: e.Rate, InFlight: e.InFlight, Latency: empty, Lag: empty, Handshake: empty,
	}
	f := &Compared{Seed: p.Seed, Restart: p.Restart, Ratios: ratios(c.rounds, e.Rate > 0)}
	for _, turn := range c.order {
		f.First = append(f.First, c.at[turn[0]].name)
	}
	res.Compare = f
	for i := range f.Ratios {
		res.Findings = append(res.Findings, f.Ratios[i].Says())
	}
	res.Failed = c.failed
	if n := len(c.rounds) + len(c.failed); n < p.Rounds {
		res.Doubts = append(res.Doubts, fmt.Sprintf("it was stopped after %d rounds of %d", n, p.Rounds))
	}
	for i := range c.at {
		if c.isSilent(i) {
			res.Failed = append(res.Failed, c.at[i].name+" has answered nothing: there is nothing to compare")
		}
		res.Doubts = append(res.Doubts, c.at[i].allDoubts(len(c.rounds))...)
	}
	res.Tables = []Table{f.table(), c.sideTable(), c.roundTable(f)}
	res.Plots = []Plot{f.plot()}
	return res
}

// isSilent says whether no message of a side has come back in any round.
func (c *comparing) isSilent(i int) bool {
	return !slices.ContainsFunc(c.rounds, func(both [2]measured) bool { return both[i][throughput] > 0 })
}

// allDoubts says what is wrong with a side.
func (at *contender) allDoubts(rounds int) (all []string) {
	if n := at.errors.Errors(); n > 0 {
		all = append(all, fmt.Sprintf("%s had %d errors, so it did other work than was asked", at.name, n))
	}
	if n := len(at.doubts); n > 0 {
		all = append(all, fmt.Sprintf("%s in %d of %d rounds; %s", at.name, n, rounds, at.doubts[0]))
	}
	return all
}

// table shows the ratios.
func (f *Compared) table() Table {
	t := Table{
		Title:   "medians of the rounds, and of B/A in a round with the interval of its true median (by rank)",
		Columns: []string{"", "A", "B", "unit", "B/A", "from", "to", "confidence"},
	}
	for i := range f.Ratios {
		r := &f.Ratios[i]
		t.Rows = append(t.Rows, []string{
			r.What, short(r.A), short(r.B), r.Unit, fmt.Sprintf("%.3f", r.Median), fmt.Sprintf("%.3f", r.Low), fmt.Sprintf("%.3f", r.High),
			fmt.Sprintf("%.1f%%", 100*r.Confidence),
		})
	}
	return t
}

// sideTable shows what was compared.
func (c *comparing) sideTable() Table {
	t := Table{Title: "servers", Columns: []string{"", "URL", "command", "errors"}}
	for i := range c.at {
		at := &c.at[i]
		t.Rows = append(t.Rows, []string{at.name, withoutPassword(at.side.URL), strings.Join(at.side.Command.Args, " "), fmt.Sprint(at.errors.Errors())})
	}
	return t
}

// roundTable shows every round, with the figures that are known.
func (c *comparing) roundTable(f *Compared) Table {
	t := Table{Title: fmt.Sprintf("rounds (their order is that of seed %d)", f.Seed), Columns: []string{"round", "first"}}
	var known []figure
	for k := range figures {
		if c.rounds[0][0][k] > 0 || c.rounds[0][1][k] > 0 {
			known = append(known, k)
			t.Columns = append(t.Columns, "A "+figureWords[k].what, "B "+figureWords[k].what)
		}
	}
	for i, both := range c.rounds {
		row := []string{fmt.Sprint(c.numbers[i]), f.First[i]}
		for _, k := range known {
			row = append(row, short(both[0][k]), short(both[1][k]))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// plot shows the ratios by round.
func (f *Compared) plot() Plot {
	p := Plot{Title: "B/A by round", X: "round", Y: "B/A"}
	for i := range f.Ratios {
		line := Line{Name: f.Ratios[i].What, Y: f.Ratios[i].Rounds}
		for k := range line.Y {
			line.X = append(line.X, float64(k+1))
		}
		p.Lines = append(p.Lines, line)
	}
	return p
}

// short gives a figure with four digits or so; nothing if it is not known.
func short(v float64) string {
	switch {
	case v == 0:
		return ""
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.4g", v)
}
