package bench

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// subtitle says what the load was.
func (r *Result) subtitle() string {
	parts := []string{r.connections()}
	if r.Sizes != "" {
		parts = append(parts, r.Sizes+" bytes")
	}
	switch {
	case r.Rate > 0:
		parts = append(parts, "open loop at "+groupedFloat(r.Rate)+" messages/s")
	case r.InFlight > 0:
		parts = append(parts, fmt.Sprintf("closed loop, %d in flight on each", r.InFlight))
	}
	return strings.Join(append(parts, fmt.Sprintf("%.1f s counted", r.Seconds)), " · ")
}

// tiles are the headline figures: of the messages if there were any, else of the
// connections.
func (r *Result) tiles() (all []tile) {
	h, of := r.Latency, "latency"
	if c := r.Counts; c.Sent > 0 || c.Received > 0 {
		t := tile{Name: "Throughput", Value: groupedFloat(r.Throughput()), Unit: "/s", Note: fmt.Sprintf("messages, %.2f MB/s", float64(c.Bytes)/max(r.Seconds, 1e-9)/1e6)}
		if r.Rate > 0 {
			t.Note = groupedFloat(r.Rate) + "/s asked for"
		}
		all = append(all, t)
	}
	if h.Histogram == nil || h.TotalCount() == 0 {
		h, of = r.Handshake, "handshake"
	}
	if h.Histogram != nil && h.TotalCount() > 0 {
		for _, q := range []struct {
			name string
			at   float64
			note string
		}{{"p50", 50, "half were quicker"}, {"p99", 99, "1 in 100 was slower"}, {"p99.9", 99.9, "1 in 1000 was slower"}, {"Max", 100, "the slowest"}} {
			value, unit := timeAndUnit(h.At(q.at))
			if lag := r.Lag.At(q.at); of == "latency" && lag > time.Millisecond && lag > h.At(q.at)/2 {
				q.note = "send lag " + Round(lag).String()
			}
			all = append(all, tile{Name: q.name + " " + of, Value: value, Unit: unit, Note: q.note})
		}
	}
	errors := tile{Name: "Errors", Value: grouped(r.Counts.Errors()), Note: "none"}
	if r.Counts.Received > 0 {
		errors.Note = "every byte was right"
	}
	if n := r.refusals(); n > 0 {
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
	s := Round(d).String()
	at := strings.LastIndexAny(s, "0123456789") + 1
	if strings.ContainsAny(s[:at], "hm") { // 1m3s, 2h
		return s, ""
	}
	return s[:at], s[at:]
}

// htmlTables are the tables below the plots.
func (r *Result) htmlTables() (all []Table) {
	quantiles := Table{Title: "Latencies", Columns: []string{"", "p50", "p90", "p99", "p99.9", "p99.99", "max", "mean", "count"}}
	for _, x := range []struct {
		name string
		h    Histogram
	}{{"Latency", r.Latency}, {"Send lag", r.Lag}, {"Handshake", r.Handshake}} {
		if x.h.Histogram == nil || x.h.TotalCount() == 0 {
			continue
		}
		row := []string{x.name}
		for _, q := range []float64{50, 90, 99, 99.9, 99.99, 100} {
			row = append(row, Round(x.h.At(q)).String())
		}
		quantiles.Rows = append(quantiles.Rows, append(row, Round(time.Duration(x.h.Mean())).String(), grouped(uint64(x.h.TotalCount()))))
	}
	c := &r.Counts
	counts := Table{Title: "Messages and connections", Columns: []string{"", "count"}}
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
		{"Connections refused", r.refusals()},
	} {
		counts.Rows = append(counts.Rows, []string{x.name, grouped(x.n)})
	}
	all = append(append(all, quantiles), r.Tables...)
	all = append(all, reasonTable("Refused, by reason", r.Refused), reasonTable("Ended, by reason", r.Ended), counts)
	return slices.DeleteFunc(all, func(t Table) bool { return len(t.Rows) == 0 })
}

func reasonTable(title string, counts map[string]uint64) Table {
	t := Table{Title: title, Columns: []string{"reason", "count"}}
	for _, why := range byCount(counts) {
		t.Rows = append(t.Rows, []string{why, grouped(counts[why])})
	}
	return t
}

// facts are what was used, and what with.
func (r *Result) facts() (all []facts) {
	client := facts{Title: "The client used", Rows: [][2]string{
		{"Processors", fmt.Sprintf("%.2f of %d", r.Client.Cores, r.Client.Allowed)},
		{"Event loops", fmt.Sprint(r.Client.Loops)},
		{"Memory", fmt.Sprintf("%.1f MB", float64(r.Client.Memory)/1e6)},
	}}
	if us, ok := clientMicros(r); ok {
		client.Rows = append(client.Rows, [2]string{"CPU for a message", fmt.Sprintf("%.2f µs", us)})
	}
	all = append(all, client)
	if u := r.Server; u != nil {
		all = append(all, facts{Title: "The server used", Rows: [][2]string{
			{"Processors", fmt.Sprintf("%.2f", u.Cores)},
			{"CPU for a message", fmt.Sprintf("%.2f µs", u.MicrosPerMessage)},
			{"Memory", fmt.Sprintf("%.1f MB, %.1f MB before", float64(u.Memory)/1e6, float64(u.MemoryBefore)/1e6)},
			{"For each connection", groupedFloat(u.MemoryPerConn) + " B"},
			{"Process", fmt.Sprint(u.PID)},
		}})
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
