package bench

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// FanoutResult is what only a Fanout measures. In Result.Counts, Sent is publishes, and
// Received, Bytes, Lost and the others are deliveries: a publish to a subscriber. Times
// count from when a publish was due.
type FanoutResult struct {
	Preset      string `json:"preset"`
	Subscribers int    `json:"subscribers"` // that were ready
	Publishers  int    `json:"publishers"`
	Rooms       int    `json:"rooms"`

	Complete   uint64 `json:"complete"`   // publishes that reached everybody
	Incomplete uint64 `json:"incomplete"` // and those that did not
	Expected   uint64 `json:"expected"`   // deliveries
	Conflated  uint64 `json:"conflated"`  // of these, that the server says to have left out for newer ones
	Gaps       uint64 `json:"gaps"`       // of these, that are missing though later ones of the same publisher came
	Unfinished uint64 `json:"unfinished"` // of these, behind the last that came by the end
	CutOff     uint64 `json:"cutOff"`     // of these, behind the last of a subscriber whose connection ended
	Strayed    uint64 `json:"strayed"`    // deliveries for another room; they count as corrupt
	Other      uint64 `json:"other"`      // messages that hold no publish
	Refused    uint64 `json:"refused"`    // publishes that the server has refused, or whose POST has failed
	GaveUp     uint64 `json:"gaveUp"`     // publishes that a closed loop no longer waited for
	Refusal    string `json:"refusal,omitempty"`

	First  Histogram `json:"first"`  // until the first subscriber has it, for each publish
	Median Histogram `json:"median"` // until half of them have it
	Last   Histogram `json:"last"`   // until everybody has it; what did not reach everybody is not in it
	Skew   Histogram `json:"skew"`   // from the first to the last

	Slowest []Subscriber `json:"slowest"`           // the slowest by p99, ten at most
	Missing []Subscriber `json:"missing,omitempty"` // those that miss most, ten at most
}

// Subscriber is what one subscriber had. Its quantiles are exact to 6 %.
type Subscriber struct {
	Number    int     `json:"number"`
	Room      int     `json:"room"`
	Received  uint64  `json:"received"`
	Missed    uint64  `json:"missed"` // that nothing explains
	Conflated uint64  `json:"conflated"`
	P50       float64 `json:"p50"` // milliseconds
	P99       float64 `json:"p99"`
	Max       float64 `json:"max"`
	Ended     bool    `json:"ended,omitempty"` // the server has ended its connection
}

const worstShown = 10

// report adds to a result what only a Fanout has.
func (r *fanRun) report(res *Result, unfinished uint64) {
	f, p := r.total.fanned(), r.plan
	out := &FanoutResult{
		Preset: p.Preset, Subscribers: int(r.job.ready.Load()), Publishers: p.Publishers, Rooms: p.Rooms,
		Complete: f.complete, Incomplete: res.Counts.Sent - min(f.complete, res.Counts.Sent), Expected: f.owed,
		Conflated: f.conflated, Gaps: f.gaps, Unfinished: unfinished, CutOff: f.cutOff, Strayed: f.strayed,
		Other: f.other, Refused: f.refused, GaveUp: f.gaveUp,
		First: Histogram{f.first}, Median: Histogram{f.median}, Last: Histogram{f.last}, Skew: Histogram{f.skew},
	}
	out.Slowest, out.Missing = r.worst()
	if refusal := r.job.refusal.Load(); refusal != nil {
		out.Refusal = *refusal
	}
	res.Fanout = out
	res.Tables = append(res.Tables, out.orders(res), out.deliveries(res), subscribersTable("the slowest subscribers", out.Slowest))
	if len(out.Missing) > 0 {
		res.Tables = append(res.Tables, subscribersTable("the subscribers that miss most", out.Missing))
	}
	res.Plots = append(res.Plots, out.byPercentile(res), bySecond(r.seconds), deliveredPerSecond(r.seconds))
	r.doubt(res)
}

// worst gives the subscribers with the highest p99, and those that miss most.
func (r *fanRun) worst() (slowest, missing []Subscriber) {
	for i := range r.job.subscribers {
		s := &r.job.subscribers[i]
		if s.lane == nil {
			continue
		}
		gaps, tail := s.unexplained()
		slowest = append(slowest, Subscriber{
			Number: s.number, Room: s.room, Received: s.received, Missed: gaps + tail, Conflated: s.conflated,
			P50: inMS(min(s.spread.at(50), s.slowest)), P99: inMS(min(s.spread.at(99), s.slowest)), Max: inMS(s.slowest), Ended: s.ended,
		})
		if last := slowest[len(slowest)-1]; last.Missed > 0 {
			missing = append(missing, last)
		}
	}
	return worstOf(slowest, missing)
}

// worstOf gives those that are shown.
func worstOf(slowest, missing []Subscriber) (_, _ []Subscriber) {
	slices.SortStableFunc(slowest, func(a, b Subscriber) int {
		return cmp.Or(cmp.Compare(b.P99, a.P99), cmp.Compare(b.Max, a.Max))
	})
	slices.SortStableFunc(missing, func(a, b Subscriber) int { return cmp.Compare(b.Missed, a.Missed) })
	return slowest[:min(len(slowest), worstShown)], missing[:min(len(missing), worstShown)]
}

// doubt says what makes the figures of a fan-out doubtful besides.
func (r *fanRun) doubt(res *Result) {
	f := res.Fanout
	say := func(format string, a ...any) { res.Doubts = append(res.Doubts, fmt.Sprintf(format, a...)) }
	if f.Unfinished > 0 {
		say("%d deliveries had not come %v after the last publish: they count as lost, and their publishes are not in the latency of the last subscriber", f.Unfinished, r.plan.Grace)
	}
	if f.GaveUp > 0 {
		say("the closed loop waited %v in vain for %d publishes to reach everybody: its rate is no capacity", r.plan.Patience, f.GaveUp)
	}
	if f.Refused > 0 {
		say("the server refused %d publishes: %s", f.Refused, f.Refusal)
	}
	if own, skew := r.ownReading(res), f.Skew.At(50); own > time.Millisecond && own > skew/2 {
		say("the client itself needs about %v to read what one publish brings, of a median of %v from the first subscriber to the last", Round(own), Round(skew))
	}
}

// ownReading is about how long the client works on the deliveries of one publish.
func (r *fanRun) ownReading(res *Result) time.Duration {
	if res.Counts.Received == 0 || res.Counts.Sent == 0 || res.Client.Loops == 0 {
		return 0
	}
	busy := res.Client.Cores * res.Seconds / float64(res.Counts.Sent) / float64(res.Client.Loops)
	return time.Duration(busy * float64(time.Second))
}

// quantiles of the tables.
var shownQuantiles = []float64{50, 90, 99, 99.9, 100}

// orders is the table of latencies by order of receipt.
func (f *FanoutResult) orders(res *Result) Table {
	t := Table{
		Title:   "until a publish has come to",
		Columns: []string{"", "p50", "p90", "p99", "p99.9", "max"},
	}
	for _, row := range []struct {
		name string
		of   Histogram
	}{
		{"the first subscriber", f.First},
		{"half of them", f.Median},
		{"the last", f.Last},
		{"from first to last", f.Skew},
		{"every delivery", res.Latency},
	} {
		cells := []string{row.name}
		for _, q := range shownQuantiles {
			cell := "-"
			if row.of.TotalCount() > 0 {
				cell = Round(row.of.At(q)).String()
			}
			cells = append(cells, cell)
		}
		t.Rows = append(t.Rows, cells)
	}
	return t
}

// deliveries is the table of what became of them.
func (f *FanoutResult) deliveries(res *Result) Table {
	t := Table{
		Title:   fmt.Sprintf("publishers: %d, subscribers: %d, rooms: %d (%s)", f.Publishers, f.Subscribers, f.Rooms, f.Preset),
		Columns: []string{"", "number"},
	}
	row := func(name string, n uint64, always bool) {
		if n > 0 || always {
			t.Rows = append(t.Rows, []string{name, strconv.FormatUint(n, 10)})
		}
	}
	row("publishes", res.Counts.Sent, true)
	row("that reached everybody", f.Complete, true)
	row("that did not", f.Incomplete, false)
	row("that the server refused", f.Refused, false)
	row("deliveries expected", f.Expected, true)
	row("that came", res.Counts.Received, true)
	row("conflated, as the server says", f.Conflated, false)
	row("missing before later ones (gaps)", f.Gaps, true)
	row("not there by the end", f.Unfinished, false)
	row("missing at the end of a connection", f.CutOff, false)
	row("duplicated", res.Counts.Duplicated, false)
	row("reordered", res.Counts.Reordered, false)
	row("corrupt", res.Counts.Corrupt, false)
	row("of these, of another room", f.Strayed, false)
	row("other messages", f.Other, false)
	return t
}

// subscribersTable is a table of subscribers.
func subscribersTable(title string, all []Subscriber) Table {
	t := Table{Title: title, Columns: []string{"subscriber", "room", "received", "missed", "conflated", "p50", "p99", "max"}}
	for _, s := range all {
		name := strconv.Itoa(s.Number)
		if s.Ended {
			name += " (ended)"
		}
		row := []string{name, strconv.Itoa(s.Room), strconv.FormatUint(s.Received, 10), strconv.FormatUint(s.Missed, 10), strconv.FormatUint(s.Conflated, 10)}
		for _, ms := range []float64{s.P50, s.P99, s.Max} {
			row = append(row, Round(time.Duration(ms*float64(time.Millisecond))).String())
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// byPercentile is the plot of latencies by order of receipt.
func (f *FanoutResult) byPercentile(res *Result) Plot {
	plot := Plot{Title: "Latency by order of receipt", X: "percentile, in nines: 1 is 90 %, 2 is 99 %", Y: "ms", LogY: true}
	for _, l := range []struct {
		name string
		of   Histogram
	}{{"first", f.First}, {"median", f.Median}, {"last", f.Last}, {"every delivery", res.Latency}} {
		n := l.of.TotalCount()
		if n == 0 {
			continue
		}
		line := Line{Name: l.name}
		most := min(math.Log10(float64(n)), 5)
		for nines := 0.0; nines <= most; nines += 0.125 {
			line.X = append(line.X, nines)
			line.Y = append(line.Y, inMS(l.of.At(100*(1-math.Pow(10, -nines)))))
		}
		plot.Lines = append(plot.Lines, line)
	}
	return plot
}

// bySecond is the plot of latencies over time.
func bySecond(all []fanSecond) Plot {
	lines := []Line{{Name: "first"}, {Name: "median"}, {Name: "last"}}
	for _, s := range all {
		for i, d := range []time.Duration{s.first, s.median, s.last} {
			if d > 0 {
				lines[i].X = append(lines[i].X, s.at)
				lines[i].Y = append(lines[i].Y, inMS(d))
			}
		}
	}
	return Plot{Title: "p99 by order of receipt", X: "seconds", Y: "ms", LogY: true, Lines: lines}
}

// deliveredPerSecond is the plot of deliveries over time.
func deliveredPerSecond(all []fanSecond) Plot {
	line := Line{Name: "deliveries"}
	for _, s := range all {
		line.X = append(line.X, s.at)
		line.Y = append(line.Y, s.deliveries)
	}
	return Plot{Title: "Deliveries", X: "seconds", Y: "in a second", Lines: []Line{line}}
}
