package bench

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// chart is a plot of the page: what its script draws, and the same as a table.
type chart struct {
	Title string
	Note  string
	Wide  bool
	Table Table
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

// charts are all plots of the page.
func (r *Result) charts() (all []chart) {
	if c, ok := percentiles("Latency by percentile", "Every further division is ten times rarer.", map[string]Histogram{"latency": r.Latency, "send lag": r.Lag}, "latency", "send lag"); ok {
		if r.Rate == 0 {
			c.Note += " A closed loop: a server that stalls is asked nothing meanwhile, so these say little."
		}
		c.Wide = true
		all = append(all, c)
	}
	for i := range r.Plots {
		all = append(all, r.Plots[i].chart())
	}
	if len(r.Series) > 0 {
		all = append(all, r.overTime()...)
	}
	if c, ok := percentiles("Handshakes by percentile", "From when a connection was due to when it was open.", map[string]Histogram{"handshake": r.Handshake}, "handshake"); ok {
		all = append(all, c)
	}
	return all
}

// percentiles draws histograms over 1/(1-p). It is nothing when they are empty.
func percentiles(title, note string, of map[string]Histogram, names ...string) (chart, bool) {
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
			c.Table.Rows[i] = append(c.Table.Rows[i], Round(h.At(q)).String())
		}
	}
	return c, len(c.Draw.Lines) > 0
}

func (l *drawingLine) add(x, y float64) {
	l.X = append(l.X, x)
	if math.IsNaN(y) || math.IsInf(y, 0) {
		l.Y = append(l.Y, nil)
	} else {
		l.Y = append(l.Y, &y)
	}
}

// overTime draws the series.
func (r *Result) overTime() (all []chart) {
	rate := func(of func(*Point) uint64) func(*Point) float64 {
		return func(p *Point) float64 { return float64(of(p)) / max(p.Seconds, 1e-3) }
	}
	if r.Counts.Sent > 0 || r.Counts.Received > 0 {
		lines := []seriesLine{
			{"sent", "", 1, rate(func(p *Point) uint64 { return p.Sent })},
			{"came back", "", 0, rate(func(p *Point) uint64 { return p.Received })},
		}
		if r.Rate > 0 {
			lines = append(lines, seriesLine{"asked for", "dashed", 4, func(*Point) float64 { return r.Rate }})
		}
		latency := r.seconds("Latency over time", drawing{Unit: "ms", Label: "time", LogY: true},
			seriesLine{"max", "", 2, func(p *Point) float64 { return p.Max }},
			seriesLine{"p99", "", 1, func(p *Point) float64 { return p.P99 }},
			seriesLine{"p50", "", 0, func(p *Point) float64 { return p.P50 }})
		latency.Wide = true
		all = append(all, latency, r.seconds("Throughput over time", drawing{Unit: "count", Label: "messages/s"}, lines...))
	}
	return append(all,
		r.seconds("Connections over time", drawing{Unit: "count", Label: "connections"},
			seriesLine{"connections", "steps", 0, func(p *Point) float64 { return float64(p.Conns) }}),
		r.seconds("Errors over time", drawing{Unit: "count", Label: "errors"},
			seriesLine{"errors", "bars", 3, func(p *Point) float64 { return float64(p.Errors) }}))
}

// seconds draws lines of the series.
func (r *Result) seconds(title string, how drawing, lines ...seriesLine) chart {
	points, rows := thin(r.Series, mostPoints), thin(r.Series, tableRows)
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
	of          func(*Point) float64
}

// cell shows a value in a table.
func cell(v float64, unit string) string {
	if unit == "ms" && v < 1e12 {
		return Round(time.Duration(v * float64(time.Millisecond))).String()
	}
	return strconv.FormatFloat(v, 'g', 5, 64)
}

// chart draws what a job has besides.
func (p *Plot) chart() chart {
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
