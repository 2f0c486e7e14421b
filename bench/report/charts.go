package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/headrace/headrace/bench"
)

// chart is a plot of the page: what its script draws, and the same as a table.
type chart struct {
	Title string
	Note  string
	Wide  bool
	Table bench.Table
	Draw  drawing
}

// drawing is a chart in the words of the page's script.
type drawing struct {
	Kind  string        `json:"kind"`  // of the x axis: percentiles, seconds, plain
	X     string        `json:"x"`     // what stands on it
	Unit  string        `json:"unit"`  // of y: ms, count, plain
	Label string        `json:"label"` // what stands on y
	LogY  bool          `json:"logY"`
	Lines []drawingLine `json:"lines"`
}

type drawingLine struct {
	Name   string     `json:"name"`
	Style  string     `json:"style,omitempty"` // dashed, steps, bars
	Colour int        `json:"colour"`
	X      []float64  `json:"x"`
	Y      []*float64 `json:"y"` // null: no value
}

const (
	mostPoints = 3000 // of a line over time
	tableRows  = 24   // of a plot as a table
)

// charts are all plots of the page that have anything to show. Where a job has drawn
// something itself, its plot stands for ours of the same title.
func (r view) charts() (all []chart) {
	latency, lag := r.latencyNames()
	if c, ok := percentiles(capital(latency)+" by percentile", "Every further division is ten times rarer.", map[string]bench.Histogram{latency: r.Latency, lag: r.Lag}, latency, lag); ok && r.Storm == nil {
		if r.Rate == 0 && r.Summary == nil {
			c.Note += " A closed loop: a server that stalls is asked nothing meanwhile, so these say little."
		}
		c.Wide = true
		all = append(all, c)
	}
	handshakes := r.handshakeChart()
	if r.Storm != nil { // they are what it is about
		handshakes.Wide = true
		all = append(all, handshakes)
	}
	for i := range r.Plots {
		all = append(all, plotChart(&r.Plots[i]))
	}
	for _, c := range r.overTime() {
		if !slices.ContainsFunc(all, func(own chart) bool { return own.Title == c.Title }) {
			all = append(all, c)
		}
	}
	if r.Storm == nil {
		all = append(all, handshakes)
	} else if c, ok := percentiles("Echo by percentile", "", map[string]bench.Histogram{"echo": r.Latency}, "echo"); ok {
		all = append(all, c)
	}
	return slices.DeleteFunc(all, func(c chart) bool { return !c.Draw.shows() })
}

func (r view) handshakeChart() chart {
	of := map[string]bench.Histogram{"handshake": r.Handshake}
	names := []string{"handshake"}
	if r.Storm != nil {
		of["start lag"], of["refusal"], of["closing"] = r.Lag, r.Storm.Refusal, r.Storm.Closing
		names = append(names, "start lag", "refusal", "closing")
	}
	c, _ := percentiles("Handshakes by percentile", "From when a connection was due to when it was open.", of, names...)
	return c
}

// latencyNames says what Result.Latency and Result.Lag are the time of.
func (r view) latencyNames() (latency, lag string) {
	if s := r.Summary; s != nil {
		return cmp.Or(s.Latency, "latency"), cmp.Or(s.Lag, "send lag")
	}
	return "latency", "send lag"
}

// capital gives a name as a title begins.
func capital(name string) string {
	first, n := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(first)) + name[n:]
}

// shows says whether there is more to see than a point, or a line at 0.
func (d *drawing) shows() bool {
	return slices.ContainsFunc(d.Lines, func(l drawingLine) bool { return len(l.X) > 1 }) &&
		slices.ContainsFunc(d.Lines, func(l drawingLine) bool {
			return slices.ContainsFunc(l.Y, func(y *float64) bool { return y != nil && *y != 0 })
		})
}

// percentiles draws histograms over 1/(1-p). It is nothing when they are empty.
func percentiles(title, note string, of map[string]bench.Histogram, names ...string) (chart, bool) {
	c := chart{Title: title, Note: note, Draw: drawing{Kind: "percentiles", X: "percentile", Unit: "ms", Label: "time", LogY: true}}
	c.Table.Columns = []string{"percentile"}
	marks := []float64{50, 75, 90, 99, 99.9, 99.99, 99.999, 100}
	c.Table.Rows = make([][]string, len(marks))
	for i, q := range marks {
		c.Table.Rows[i] = []string{strconv.FormatFloat(q, 'f', -1, 64) + " %"}
	}
	for i, name := range names {
		h := of[name]
		if h.Histogram == nil || h.TotalCount() == 0 || h.Max() == 0 {
			continue
		}
		line := drawingLine{Name: name, Colour: i}
		const perDecade = 40
		most := float64(h.TotalCount())
		for step := 0; ; step++ {
			x := math.Pow(10, float64(step)/perDecade)
			if x >= most {
				break
			}
			line.add(x, inMS(h.At(100*(1-1/x))))
		}
		line.add(most, inMS(h.At(100)))
		c.Draw.Lines = append(c.Draw.Lines, line)
		c.Table.Columns = append(c.Table.Columns, name)
		for i, q := range marks {
			c.Table.Rows[i] = append(c.Table.Rows[i], bench.Round(h.At(q)).String())
		}
	}
	return c, len(c.Draw.Lines) > 0
}

func inMS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (l *drawingLine) add(x, y float64) {
	l.X = append(l.X, x)
	if math.IsNaN(y) || math.IsInf(y, 0) {
		l.Y = append(l.Y, nil)
	} else {
		l.Y = append(l.Y, &y)
	}
}

// overTime draws the series.
func (r view) overTime() (all []chart) {
	rate := func(of func(*bench.Point) uint64) func(*bench.Point) float64 {
		return func(p *bench.Point) float64 { return float64(of(p)) / max(p.Seconds, 1e-3) }
	}
	if slices.ContainsFunc(r.Series, func(p bench.Point) bool { return p.Max > 0 }) {
		name := "Latency over time"
		switch {
		case r.Storm != nil:
			name = "Handshake latency over time"
		case r.Summary != nil:
			of, _ := r.latencyNames()
			name = capital(of) + " latency over time"
		}
		latency := r.seconds(name, drawing{Unit: "ms", Label: "time", LogY: true},
			seriesLine{"max", "", 2, func(p *bench.Point) float64 { return p.Max }},
			seriesLine{"p99", "", 1, func(p *bench.Point) float64 { return p.P99 }},
			seriesLine{"p50", "", 0, func(p *bench.Point) float64 { return p.P50 }})
		latency.Wide = true
		all = append(all, latency)
	}
	if len(r.Phases) > 0 && len(r.Parts) == 0 { // a scenario draws the rest itself, with what was asked for
		return append(all, r.errorsOverTime())
	}
	if (r.Counts.Sent > 0 || r.Counts.Received > 0) && r.Storm == nil { // its series is of handshakes, which it draws itself
		lines := []seriesLine{
			{"sent", "", 1, rate(func(p *bench.Point) uint64 { return p.Sent })},
			{"came back", "", 0, rate(func(p *bench.Point) uint64 { return p.Received })},
		}
		if r.Rate > 0 && len(r.Phases) == 0 { // else it is another in each
			lines = append(lines, seriesLine{"asked for", "dashed", 4, func(*bench.Point) float64 { return r.Rate }})
		}
		title, what := "Throughput over time", "messages/s"
		if r.Idle != nil {
			title, what = "Pings over time", "pings/s"
		}
		all = append(all, r.seconds(title, drawing{Unit: "count", Label: what}, lines...))
	}
	return append(all,
		r.seconds("Connections over time", drawing{Unit: "count", Label: "connections"},
			seriesLine{"connections", "steps", 0, func(p *bench.Point) float64 { return float64(p.Conns) }}),
		r.errorsOverTime())
}

func (r view) errorsOverTime() chart {
	return r.seconds("Errors over time", drawing{Unit: "count", Label: "errors"},
		seriesLine{"errors", "bars", 3, func(p *bench.Point) float64 { return float64(p.Errors) }})
}

// seconds draws lines of the series.
func (r view) seconds(title string, how drawing, lines ...seriesLine) chart {
	points, rows := bench.Thin(r.Series, mostPoints), bench.Thin(r.Series, tableRows)
	how.Kind, how.X = "seconds", "time"
	c := chart{Title: title, Draw: how}
	if len(points) < len(r.Series) {
		c.Note = fmt.Sprintf("A point stands for %d s, and shows the highest latency in them.", (len(r.Series)+mostPoints-1)/mostPoints)
	}
	c.Table.Columns = []string{"second"}
	for i := range rows {
		c.Table.Rows = append(c.Table.Rows, []string{fmt.Sprintf("%.1f", rows[i].At)})
	}
	for _, l := range lines {
		line := drawingLine{Name: l.name, Style: l.style, Colour: l.colour}
		for i := range points {
			line.add(points[i].At, l.of(&points[i]))
		}
		c.Draw.Lines = append(c.Draw.Lines, line)
		c.Table.Columns = append(c.Table.Columns, l.name)
		for i := range rows {
			c.Table.Rows[i] = append(c.Table.Rows[i], cell(l.of(&rows[i]), how.Unit))
		}
	}
	return c
}

// seriesLine is a line that is drawn of a series.
type seriesLine struct {
	name, style string
	colour      int
	of          func(*bench.Point) float64
}

// cell shows a value in a table.
func cell(v float64, unit string) string {
	if unit == "ms" && v < 1e12 {
		return bench.Round(time.Duration(v * float64(time.Millisecond))).String()
	}
	return strconv.FormatFloat(v, 'g', 5, 64)
}

// plotChart draws what a job has besides.
func plotChart(p *bench.Plot) chart {
	c := chart{Title: p.Title, Note: p.Y, Draw: drawing{Kind: "plain", X: p.X, Unit: "plain", Label: p.Y, LogY: p.LogY}}
	c.Table.Columns = []string{"line", p.X, p.Y}
	for i := range p.Lines {
		l := &p.Lines[i]
		line := drawingLine{Name: l.Name, Colour: i % 6}
		order := make([]int, min(len(l.X), len(l.Y)))
		for k := range order {
			order[k] = k
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(l.X[a], l.X[b]) })
		every := len(order)/tableRows + 1
		for n, k := range order {
			if math.IsNaN(l.X[k]) || math.IsInf(l.X[k], 0) || n > 0 && l.X[k] == l.X[order[n-1]] {
				continue
			}
			line.add(l.X[k], l.Y[k])
			if n%every == 0 {
				c.Table.Rows = append(c.Table.Rows, []string{l.Name, cell(l.X[k], ""), cell(l.Y[k], "")})
			}
		}
		c.Draw.Lines = append(c.Draw.Lines, line)
	}
	return c
}
