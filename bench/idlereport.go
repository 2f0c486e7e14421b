package bench

import (
	"fmt"
	"time"
)

// idleReport makes what the reports show of r.Idle.
func (r *Result) idleReport(looks []look) *Result {
	i := r.Idle
	r.Summary = &Summary{Lines: i.lines(r), Latency: "ping", Lag: "ping lag"}
	if len(i.Ends) > 0 {
		r.Tables = append(r.Tables, endedTable(i.Ends))
	}
	if i.Memory != nil {
		r.Tables = append(r.Tables, i.Memory.table())
	}
	r.Plots = append(r.Plots, looksPlots(looks, i.Memory != nil)...)
	return r
}

func (i *IdleResult) lines(r *Result) []string {
	say := fmt.Sprintf
	all := []string{
		say("%d handshakes asked for: %d opened, %d refused, %d not begun; opened in %.1f s (%.0f /s), held for %.1f s",
			i.Asked, i.Opened, i.Refused, i.NotBegun, i.Connecting, i.PerSecond, r.Seconds),
		"",
	}
	switch {
	case i.Dropped == 0:
		all = append(all, say("dropped     none: all %d were open at the end", i.Left))
	case i.DroppedBefore > 0:
		all = append(all, say("dropped     %d, of which %d while others were still being opened; %d open at the end", i.Dropped, i.DroppedBefore, i.Left))
	default:
		all = append(all, say("dropped     %d; %d open at the end", i.Dropped, i.Left))
	}
	if i.Pings > 0 {
		all = append(all, say("its pings   %d, %d to %d on a connection that stayed; between two p50 %v, max %v",
			i.Pings, i.PingsLeft.Min, i.PingsLeft.Max, Round(i.PingGap.At(50)), Round(i.PingGap.At(100))))
	} else {
		all = append(all, "its pings   none")
	}
	if i.Messages > 0 {
		all = append(all, say("messages    %d came unasked", i.Messages))
	}
	if c := r.Counts; c.Sent+c.NotSent > 0 {
		all = append(all, say("our pings   %d sent, %d answered, %d not; %d not sent (the one before was not answered)", c.Sent, c.Received, c.Lost, c.NotSent))
	}
	if m := i.Memory; m != nil {
		all = append(all, say("memory      %s for each of %d connections (resident, %s)", FormatBytes(m.PerConn), m.Conns, m.Source))
	}
	if i.Gauge >= 0 {
		all = append(all, say("its count   %.0f connections at most", i.Gauge))
	}
	return all
}

func (m *Memory) table() Table {
	t := Table{Title: "The server's resident memory: pages, so its buffers, garbage and reserves too", Columns: []string{"", "bytes", "connections"}}
	row := func(name, bytes, conns string) { t.Rows = append(t.Rows, []string{name, bytes, conns}) }
	row("before", FormatBytes(float64(m.Before)), "0")
	row("with the most of them open", FormatBytes(float64(m.With)), fmt.Sprint(m.Conns))
	row("for each connection: the difference, divided", FormatBytes(m.PerConn), "")
	if m.Slope != 0 {
		row(fmt.Sprintf("for each connection: slope while opening, R² %.3f", m.Fit), FormatBytes(m.Slope), "")
	}
	if m.After > 0 {
		row(fmt.Sprintf("%v after all were closed", releasePatience), FormatBytes(float64(m.After)), "0")
	}
	return t
}

// looksPlots draws what was seen.
func looksPlots(looks []look, withMemory bool) []Plot {
	conns, memory := Line{Name: "open"}, Line{Name: "resident"}
	gauge := Line{Name: "by the server's own count"}
	for _, k := range looks {
		at := k.at.Round(time.Millisecond).Seconds()
		conns.X, conns.Y = append(conns.X, at), append(conns.Y, float64(k.conns))
		memory.grow(float64(k.conns), float64(k.resident)/1e6)
		if k.gauge >= 0 {
			gauge.X, gauge.Y = append(gauge.X, at), append(gauge.Y, k.gauge)
		}
	}
	plot := Plot{Title: "Connections over time", X: "seconds since the first was opened", Y: "connections", Lines: []Line{conns}}
	if len(gauge.X) > 0 {
		plot.Lines = append(plot.Lines, gauge)
	}
	all := []Plot{plot}
	if withMemory {
		all = append(all, Plot{Title: "Memory over connections", X: "connections", Y: "resident MB", Lines: []Line{memory}})
	}
	return all
}

// grow adds a point to the right, or has it take the place of the last, and leaves out one
// to the left.
func (l *Line) grow(x, y float64) {
	switch n := len(l.X); {
	case n == 0 || x > l.X[n-1]:
		l.X, l.Y = append(l.X, x), append(l.Y, y)
	case x == l.X[n-1]:
		l.Y[n-1] = y
	}
}
