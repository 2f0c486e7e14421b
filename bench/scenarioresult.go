package bench

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Phase is what a phase of a scenario has measured. Messages belong to the phase in which
// they were due, whenever they came back.
type Phase struct {
	Name string  `json:"name"`
	From float64 `json:"from"` // seconds since the first phase began
	To   float64 `json:"to"`

	Asked     float64   `json:"asked"` // messages a second, on average
	Counts    Counts    `json:"counts"`
	Latency   Histogram `json:"latency"`
	Conns     int       `json:"conns"` // open at its end
	Opened    uint64    `json:"opened"`
	Refused   uint64    `json:"refused"`
	Disturbed uint64    `json:"disturbed"` // messages lost of our own doing
	FailIf    []string  `json:"failIf,omitempty"`

	// Connections that the phase has disturbed on purpose.
	Slow       int `json:"slow,omitempty"`
	Resets     int `json:"resets,omitempty"`
	Reconnects int `json:"reconnects,omitempty"`
}

// Seconds is how long the phase was.
func (p *Phase) Seconds() float64 { return p.To - p.From }

// Kind is what a scenario has measured of one kind of message.
type Kind struct {
	Name      string    `json:"name"`
	Counts    Counts    `json:"counts"` // without Duplicated and Dropped
	Latency   Histogram `json:"latency"`
	Disturbed uint64    `json:"disturbed"` // lost of our own doing
}

// OwnDoing is what has become of connections that a scenario disturbs on purpose, and of
// their messages. It is no error, and in no latency.
type OwnDoing struct {
	Counts Counts            `json:"counts"`
	Ended  map[string]uint64 `json:"ended,omitempty"`
}

// conclude makes the result of what was performed until a time.
func (r *scenarioRun) conclude(ended time.Duration) *Result {
	line, b := r.play.line, r.total.breakdown()
	due := line.due(ended)
	r.result.Rate = due / max(ended.Seconds(), 1e-9)
	open, figures := r.play.crowd.atEnd()
	for i := range open {
		span := &line.spans[i]
		to := min(span.to, max(span.from, ended))
		of := portionOf(b.phases, i)
		f := figures[i]
		r.result.Phases = append(r.result.Phases, Phase{
			Name: r.plan.Phases[i].Name, FailIf: texts(r.plan.Phases[i].FailIf), From: span.from.Seconds(), To: to.Seconds(),
			Asked:  (line.due(to) - span.before) / max((to-span.from).Seconds(), 1e-9),
			Counts: of.Counts, Latency: Histogram{of.latency}, Disturbed: of.disturbed,
			Conns: open[i], Opened: f.opened, Refused: f.refused,
			Slow: f.slow, Resets: f.resets, Reconnects: f.reconnect,
		})
	}
	for i := range r.plan.Messages {
		of := portionOf(b.messages, i)
		r.result.Kinds = append(r.result.Kinds, Kind{r.plan.Messages[i].Name, of.Counts, Histogram{of.latency}, of.disturbed})
	}
	r.result.Disturbed = &OwnDoing{b.disturbed, b.ended}
	r.result.Unasked = b.unasked
	r.result.FailIf = texts(r.plan.FailIf)
	res := r.finish(ended)
	res.Tables = append(res.Tables, res.scenarioTables()...)
	res.Plots = append(res.Plots, ratePlot(res, line), connsPlot(res, line))
	res.judge()
	return res
}

// texts gives conditions as they were written.
func texts(all []Threshold) (texts []string) {
	for _, t := range all {
		texts = append(texts, t.text)
	}
	return texts
}

// judge looks for what must not be.
func (r *Result) judge() {
	fail := func(all []string, of *Result, where string) {
		for _, text := range all {
			t, err := ParseThreshold(text)
			if err != nil {
				r.Failed = append(r.Failed, where+err.Error())
			} else if yes, is := t.Crossed(of); yes {
				r.Failed = append(r.Failed, where+is)
			}
		}
	}
	for i := range r.Phases {
		p := &r.Phases[i]
		as := &Result{Seconds: p.Seconds(), Counts: p.Counts, Latency: p.Latency, Refused: map[string]uint64{"": p.Refused}}
		fail(p.FailIf, as, fmt.Sprintf("phase %s: ", p.Name))
	}
	fail(r.FailIf, r, "")
}

// scenarioTables shows the phases, the kinds of messages, and what was disturbed.
func (r *Result) scenarioTables() []Table {
	all := []Table{phaseTable(r), kindTable(r)}
	if t := disturbedTable(r); len(t.Rows) > 0 {
		all = append(all, t)
	}
	return all
}

// The titles of these tables; the seed may follow that of the phases.
const (
	phasesTitle    = "phases"
	kindsTitle     = "messages"
	disturbedTitle = "our own doing: no errors, and not in the latencies"
)

// isOfScenario says whether a table is one of them.
func isOfScenario(t Table) bool {
	return t.Title == phasesTitle || strings.HasPrefix(t.Title, phasesTitle+" (seed ") || t.Title == kindsTitle || t.Title == disturbedTitle
}

func perSecond(v float64) string { return fmt.Sprintf("%.0f", v) }

// quantiles are the cells of p50, p99 and max.
func quantiles(h Histogram) []string {
	if h.Histogram == nil || h.TotalCount() == 0 {
		return []string{"-", "-", "-"}
	}
	return []string{fmt.Sprint(Round(h.At(50))), fmt.Sprint(Round(h.At(99))), fmt.Sprint(Round(h.At(100)))}
}

func phaseTable(r *Result) Table {
	title := phasesTitle
	if r.Seed != 0 {
		title = fmt.Sprintf("%s (seed %d)", phasesTitle, r.Seed)
	}
	t := Table{
		Title:   title,
		Columns: []string{"phase", "seconds", "asked/s", "sent/s", "p50", "p99", "max", "errors", "disturbed", "connections", "opened", "refused"},
	}
	for i := range r.Phases {
		p := &r.Phases[i]
		row := []string{p.Name, fmt.Sprintf("%.1f", p.Seconds()), perSecond(p.Asked), perSecond(float64(p.Counts.Sent) / max(p.Seconds(), 1e-9))}
		row = append(row, quantiles(p.Latency)...)
		t.Rows = append(t.Rows, append(row, fmt.Sprint(p.Counts.Errors()), fmt.Sprint(p.Disturbed), fmt.Sprint(p.Conns), fmt.Sprint(p.Opened), fmt.Sprint(p.Refused)))
	}
	return t
}

func kindTable(r *Result) Table {
	t := Table{Title: kindsTitle, Columns: []string{"message", "sent", "answered", "p50", "p99", "max", "wrong", "lost", "not sent", "disturbed"}}
	for i := range r.Kinds {
		k := &r.Kinds[i]
		row := []string{k.Name, fmt.Sprint(k.Counts.Sent), fmt.Sprint(k.Counts.Received)}
		row = append(row, quantiles(k.Latency)...)
		wrong := k.Counts.Corrupt + k.Counts.Reordered
		t.Rows = append(t.Rows, append(row, fmt.Sprint(wrong), fmt.Sprint(k.Counts.Lost), fmt.Sprint(k.Counts.NotSent), fmt.Sprint(k.Disturbed)))
	}
	if r.Unasked > 0 {
		t.Rows = append(t.Rows, []string{"(not asked for)", "", fmt.Sprint(r.Unasked)})
	}
	return t
}

func disturbedTable(r *Result) Table {
	t := Table{Title: disturbedTitle, Columns: []string{"what", "count"}}
	row := func(what string, n uint64) {
		if n > 0 {
			t.Rows = append(t.Rows, []string{what, fmt.Sprint(n)})
		}
	}
	var slow, resets, reconnects int
	for i := range r.Phases {
		slow, resets, reconnects = slow+r.Phases[i].Slow, resets+r.Phases[i].Resets, reconnects+r.Phases[i].Reconnects
	}
	c := &r.Disturbed.Counts
	row("connections made slow readers", uint64(slow))
	row("connections reset", uint64(resets))
	row("connections closed to come back", uint64(reconnects))
	row("of the slow, ended by the server", c.Dropped)
	for _, why := range slices.Sorted(maps.Keys(r.Disturbed.Ended)) {
		row("  "+why, r.Disturbed.Ended[why])
	}
	row("messages answered on them", c.Received)
	row("messages lost with them", c.Lost)
	row("messages not sent for them", c.NotSent)
	row("other errors on them", c.Corrupt+c.Duplicated+c.Reordered)
	return t
}

// ratePlot shows what was asked and what was reached.
func ratePlot(r *Result, line *timeline) Plot {
	asked, sent, back := Line{Name: "asked"}, Line{Name: "sent"}, Line{Name: "answered"}
	for _, p := range r.Series {
		from, to := seconds(max(0, p.At-p.Seconds)), seconds(p.At)
		asked.add(p.At, (line.due(to)-line.due(from))/max(p.Seconds, 1e-9))
		sent.add(p.At, float64(p.Sent)/max(p.Seconds, 1e-9))
		back.add(p.At, float64(p.Received)/max(p.Seconds, 1e-9))
	}
	return Plot{Title: "messages asked for, sent and answered", X: "seconds", Y: "messages a second", Lines: []Line{asked, sent, back}}
}

// connsPlot shows how many connections there were to be, and were.
func connsPlot(r *Result, line *timeline) Plot {
	asked, open := Line{Name: "asked"}, Line{Name: "open"}
	for _, p := range r.Series {
		asked.add(p.At, float64(line.conns(seconds(p.At))))
		open.add(p.At, float64(p.Conns))
	}
	return Plot{Title: "connections asked for and open", X: "seconds", Y: "connections", Lines: []Line{asked, open}}
}

func (l *Line) add(x, y float64) { l.X, l.Y = append(l.X, x), append(l.Y, y) }
