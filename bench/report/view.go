package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headrace/headrace/bench"
)

// view is a result as its page shows it.
type view struct{ *bench.Result }

// subtitle says what the load was.
func (r view) subtitle() string {
	if s := r.Summary; s != nil && len(s.Lines) > 0 {
		return s.Lines[0]
	}
	parts := []string{connections(r.Result)}
	if r.Sizes != "" {
		parts = append(parts, r.Sizes+" bytes")
	}
	switch {
	case r.Rate > 0:
		parts = append(parts, "open loop at "+groupedFloat(r.Rate)+" messages/s")
	case r.InFlight > 0:
		parts = append(parts, fmt.Sprintf("closed loop, %d in flight on each", r.InFlight))
	}
	if r.Compare == nil {
		parts = append(parts, fmt.Sprintf("%.1f s counted", r.Seconds))
	}
	return strings.Join(parts, " · ")
}

// summaryLines are those of the text report but for the one that is the subtitle: a name
// and what it is.
func (r view) summaryLines() (all [][2]string) {
	const named = 12 // characters that the name has in a line
	if r.Summary == nil || len(r.Summary.Lines) == 0 {
		return nil
	}
	for _, line := range r.Summary.Lines[1:] {
		switch {
		case len(line) > named && line[named-1] == ' ':
			name := strings.TrimSpace(line[:named])
			all = append(all, [2]string{capital(name), strings.TrimSpace(line[named:])})
		case line != "":
			all = append(all, [2]string{"", line})
		}
	}
	return all
}

// tiles are the headline figures: what the job is about.
func (r view) tiles() []tile {
	switch {
	case r.Compare != nil: // of two servers, which the tables have
		return nil
	case r.Storm != nil:
		return r.stormTiles()
	case r.Idle != nil:
		return r.idleTiles()
	}
	return r.messageTiles()
}

func (r view) stormTiles() []tile {
	s := r.Storm
	opened := tile{Name: "Opened", Value: groupedFloat(s.PerSecond), Unit: "/s", Note: grouped(s.Opened) + " of " + grouped(s.Asked) + " asked for"}
	if s.Rate > 0 {
		opened.Note = groupedFloat(s.Rate) + "/s asked for"
	}
	all := append([]tile{opened}, r.quantileTiles(r.Handshake, "handshake")...)
	all = append(all, countTile("Refused", s.Refused, "of "+grouped(s.Asked)+" handshakes"))
	if s.NotBegun > 0 {
		all = append(all, countTile("Not begun", s.NotBegun, "of "+grouped(s.Asked)+" handshakes"))
	}
	if n := s.Dropped; n > 0 {
		all = append(all, countTile("Dropped", n, "of "+grouped(s.Opened)+" connections"))
	}
	if n := r.Counts.Lost + r.Counts.Corrupt; n > 0 {
		all = append(all, countTile("Echoes wrong", n, "of "+grouped(r.Counts.Sent)))
	}
	return all
}

func (r view) idleTiles() []tile {
	i := r.Idle
	all := []tile{
		{Name: "Connections", Value: grouped(i.Left), Note: "at the end, of " + grouped(i.Asked)},
		countTile("Dropped", i.Dropped, "of "+grouped(i.Opened)+" opened"),
	}
	if i.Refused > 0 {
		all = append(all, countTile("Refused", i.Refused, "of "+grouped(i.Asked)+" handshakes"))
	}
	if m := i.Memory; m != nil {
		value, unit, _ := strings.Cut(bench.FormatBytes(m.PerConn), " ")
		all = append(all, tile{Name: "Memory", Value: value, Unit: unit, Note: "for each connection"})
	}
	return append(all, r.quantileTiles(r.Latency, "ping")...)
}

// countTile is the number of something that should not be.
func countTile(name string, n uint64, of string) tile {
	if n == 0 {
		return tile{Name: name, Value: "0", Note: "none"}
	}
	return tile{Name: name, Value: grouped(n), Note: of, Bad: true}
}

// quantileTiles are those of times; none if there are none.
func (r view) quantileTiles(h bench.Histogram, of string) (all []tile) {
	if h.Count() == 0 {
		return nil
	}
	for _, q := range []struct {
		name string
		at   float64
		note string
	}{{"p50", 50, "half were quicker"}, {"p99", 99, "1 in 100 was slower"}, {"p99.9", 99.9, "1 in 1000 was slower"}, {"Max", 100, "the slowest"}} {
		value, unit := timeAndUnit(h.At(q.at))
		if lag := r.Lag.At(q.at); of == "latency" && lag > time.Millisecond && lag > h.At(q.at)/2 {
			q.note = "send lag " + bench.Round(lag).String()
		}
		all = append(all, tile{Name: q.name + " " + of, Value: value, Unit: unit, Note: q.note})
	}
	return all
}

// messageTiles are of the messages if there were any, else of the connections.
func (r view) messageTiles() (all []tile) {
	if c := r.Counts; c.Sent > 0 || c.Received > 0 {
		t := tile{Name: "Throughput", Value: groupedFloat(r.Throughput()), Unit: "/s", Note: fmt.Sprintf("messages, %.2f MB/s", float64(c.Bytes)/max(r.Seconds, 1e-9)/1e6)}
		if r.Rate > 0 {
			t.Note = groupedFloat(r.Rate) + "/s asked for"
		}
		all = append(all, t)
	}
	if r.Latency.Count() > 0 {
		all = append(all, r.quantileTiles(r.Latency, "latency")...)
	} else {
		all = append(all, r.quantileTiles(r.Handshake, "handshake")...)
	}
	errors := tile{Name: "Errors", Value: grouped(r.Counts.Errors()), Note: "none"}
	if r.Counts.Received > 0 {
		errors.Note = "every byte was right"
	}
	if n := r.Refusals(); n > 0 {
		errors.Note, errors.Bad = grouped(n)+" connections refused", true
	}
	if n := r.Counts.Errors(); n > 0 {
		errors.Bad = true
		errors.Note = fmt.Sprintf("of %s messages", grouped(r.Counts.Sent))
	}
	return append(all, errors)
}

// timeAndUnit gives a time as a figure and its unit.
func timeAndUnit(d time.Duration) (value, unit string) {
	s := bench.Round(d).String()
	at := strings.LastIndexAny(s, "0123456789") + 1
	if strings.ContainsAny(s[:at], "hm") { // 1m3s, 2h
		return s, ""
	}
	return s[:at], s[at:]
}

// tables are the tables below the plots.
func (r view) tables() (all []bench.Table) {
	quantiles := bench.Table{Title: "Latencies", Columns: []string{"", "p50", "p90", "p99", "p99.9", "p99.99", "max", "mean", "count"}}
	type times struct {
		name string
		h    bench.Histogram
	}
	latency, lag := r.latencyNames()
	measured := []times{{latency, r.Latency}, {lag, r.Lag}, {"handshake", r.Handshake}}
	if r.Storm != nil {
		measured = append(measured, times{"refusal", r.Storm.Refusal}, times{"closing", r.Storm.Closing})
	}
	for _, x := range measured {
		if x.h.Count() == 0 {
			continue
		}
		row := []string{capital(x.name)}
		for _, q := range []float64{50, 90, 99, 99.9, 99.99, 100} {
			row = append(row, bench.Round(x.h.At(q)).String())
		}
		quantiles.Rows = append(quantiles.Rows, append(row, bench.Round(time.Duration(x.h.Mean())).String(), grouped(uint64(x.h.TotalCount()))))
	}
	c := &r.Counts
	counts := bench.Table{Title: "Messages and connections", Columns: []string{"", "count"}}
	for _, x := range []struct {
		name string
		n    uint64
	}{
		{"Sent", c.Sent},
		{"Came back", c.Received},
		{"Lost", c.Lost},
		{"Corrupt", c.Corrupt},
		{"Duplicated", c.Duplicated},
		{"Reordered", c.Reordered},
		{"Not sent", c.NotSent},
		{"Connections dropped", c.Dropped},
		{"Connections refused", r.Refusals()},
	} {
		counts.Rows = append(counts.Rows, []string{x.name, grouped(x.n)})
	}
	all = append(append(all, quantiles), r.Tables...)
	all = append(all, reasonTable("Refused, by reason", r.Refused))
	if r.Idle == nil { // else a table has them
		all = append(all, reasonTable("Ended, by reason", r.Ended))
	}
	if r.Summary == nil && r.Compare == nil { // else the lines, or the tables, have what counts
		all = append(all, counts)
	}
	all = slices.DeleteFunc(all, func(t bench.Table) bool { return len(t.Rows) == 0 })
	slices.SortStableFunc(all, func(a, b bench.Table) int { // those that have the whole width are first
		switch {
		case len(a.Columns) >= broad && len(b.Columns) < broad:
			return -1
		case len(a.Columns) < broad && len(b.Columns) >= broad:
			return 1
		}
		return 0
	})
	return all
}

// broad is how many columns, or more, a table has that takes the whole width of the page;
// the template says the same.
const broad = 4

func reasonTable(title string, counts map[string]uint64) bench.Table {
	t := bench.Table{Title: title, Columns: []string{"reason", "count"}}
	for _, why := range byCount(counts) {
		t.Rows = append(t.Rows, []string{why, grouped(counts[why])})
	}
	return t
}

// facts are what was used, and what with.
func (r view) facts() (all []facts) {
	client := facts{Title: "The client used", Rows: [][2]string{
		{"Processors", fmt.Sprintf("%.2f of %d", r.Client.Cores, r.Client.Allowed)},
		{"Event loops", fmt.Sprint(r.Client.Loops)},
		{"Memory", fmt.Sprintf("%.1f MB", float64(r.Client.Memory)/1e6)},
	}}
	if us, ok := clientMicros(r.Result); ok && r.Summary == nil {
		client.Rows = append(client.Rows, [2]string{"CPU for a message", fmt.Sprintf("%.2f µs", us)})
	}
	if r.Compare == nil { // else it is of no run
		all = append(all, client)
	}
	if u := r.Server; u != nil {
		used := facts{Title: "The server used", Rows: [][2]string{{"Processors", fmt.Sprintf("%.2f", u.Cores)}}}
		row := func(name, value string) { used.Rows = append(used.Rows, [2]string{name, value}) }
		if u.MicrosPerMessage > 0 && r.Summary == nil {
			row("CPU for a message", fmt.Sprintf("%.2f µs", u.MicrosPerMessage))
		}
		row("Memory", fmt.Sprintf("%.1f MB, %.1f MB before", float64(u.Memory)/1e6, float64(u.MemoryBefore)/1e6))
		if each, _ := memoryPerConn(r.Result); each > 0 {
			row("For each connection", groupedFloat(each)+" B")
		}
		row("Process", fmt.Sprint(u.PID))
		all = append(all, used)
	}
	m := &r.Machine
	return append(all, facts{Title: "The load came from", Rows: [][2]string{
		{"Processor", fmt.Sprintf("%s, %d to use", m.Processor, m.Processors)},
		{"Memory", fmt.Sprintf("%.1f GB", float64(m.Memory)/1e9)},
		{"Kernel", m.Kernel},
		{"wsbench", m.Version + ", " + m.Go},
	}})
}

// grouped gives 1234567 as 1,234,567.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// groupedFloat does that with a rounded figure; one below 10 keeps two decimals.
func groupedFloat(f float64) string {
	switch {
	case f < 10:
		return strconv.FormatFloat(math.Round(f*100)/100, 'f', -1, 64)
	case f < 1e18:
		return grouped(uint64(f + 0.5))
	default:
		return fmt.Sprintf("%.3g", f)
	}
}
