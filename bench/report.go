package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// WriteText writes the report for people. What is doubtful stands at the top.
func (r *Result) WriteText(w io.Writer) error {
	t := &textReport{w: w}
	for _, d := range r.Doubts {
		t.line("DOUBTFUL: %s", d)
	}
	t.line("%s %s", r.Job, r.URL)
	if r.Summary != nil {
		t.summary(r)
		return t.err
	}
	loop := fmt.Sprintf("closed loop, %d in flight on each", r.InFlight)
	if r.Rate > 0 {
		loop = fmt.Sprintf("open loop, %.0f messages/s", r.Rate)
	}
	t.line("%d connections, %s bytes, %s, %.1f s counted", r.Handshake.TotalCount(), r.Sizes, loop, r.Seconds)
	t.line("")
	c := &r.Counts
	t.line("messages    %12d sent  %12d back  %12.0f /s  %10.1f MB/s", c.Sent, c.Received, r.Throughput(), float64(c.Bytes)/max(r.Seconds, 1e-9)/1e6)
	t.times("latency", r.Latency)
	t.times("send lag", r.Lag)
	t.times("handshake", r.Handshake)
	t.line("client      %.2f processors of %d, %d loops", r.Client.Cores, r.Client.Allowed, r.Client.Loops)
	if u := r.Server; u != nil {
		t.line("server      %.2f processors, %.2f us a message, %.1f MB, %.0f B for each connection (process %d)",
			u.Cores, u.MicrosPerMessage, float64(u.Memory)/1e6, u.MemoryPerConn, u.PID)
	}
	t.line("")
	if c.Errors() == 0 && len(r.Refused) == 0 {
		t.line("errors      none: every byte of every message came back once, in order")
	} else {
		t.line("errors      %d lost, %d corrupt, %d duplicated, %d reordered, %d not sent, %d connections dropped",
			c.Lost, c.Corrupt, c.Duplicated, c.Reordered, c.NotSent, c.Dropped)
	}
	t.reasons("refused", r.Refused)
	t.reasons("ended", r.Ended)
	for i := range r.Tables {
		t.table(&r.Tables[i])
	}
	return t.err
}

// textReport keeps the first error of its writer.
type textReport struct {
	w   io.Writer
	err error
}

func (t *textReport) line(format string, a ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format+"\n", a...)
	}
}

// table writes a table, its columns as wide as they need be: the first to the left, the
// others to the right.
func (t *textReport) table(of *Table) {
	width := make([]int, len(of.Columns))
	all := append([][]string{of.Columns}, of.Rows...)
	for _, row := range all {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	t.line("\n%s", of.Title)
	for _, row := range all {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString("  " + cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		t.line("%s", strings.TrimRight(b.String(), " "))
	}
}

// times writes the quantiles of a histogram.
func (t *textReport) times(name string, h Histogram) {
	if h.Histogram == nil || h.TotalCount() == 0 {
		return
	}
	var b strings.Builder
	for _, q := range []float64{50, 90, 99, 99.9, 100} {
		label := fmt.Sprintf("p%v", q)
		if q == 100 {
			label = "max"
		}
		fmt.Fprintf(&b, "  %s %-9v", label, Round(h.At(q)))
	}
	t.line("%-10s%s", name, strings.TrimRight(b.String(), " "))
}

// reasons writes counts by reason, the most frequent first.
func (t *textReport) reasons(name string, counts map[string]uint64) {
	reasons := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return int(int64(counts[b]) - int64(counts[a]))
		}
		return strings.Compare(a, b)
	})
	for _, why := range reasons {
		t.line("%-11s %d: %s", name, counts[why], why)
	}
}

// WriteHgrm writes the latencies, of a storm those of handshakes, as a percentile log of
// HdrHistogram, in milliseconds, for its plotters.
func (r *Result) WriteHgrm(w io.Writer) error {
	of := r.Latency
	if r.Storm != nil {
		of = r.Handshake
	}
	_, err := of.PercentilesPrint(w, 5, float64(time.Millisecond))
	return err
}

// WriteCSV writes the series, a line a second.
func (r *Result) WriteCSV(w io.Writer) error {
	t := &textReport{w: w}
	t.line("second,sent,received,p50_ms,p99_ms,max_ms,connections,errors")
	for _, p := range r.Series {
		t.line("%.3f,%d,%d,%.3f,%.3f,%.3f,%d,%d", p.At, p.Sent, p.Received, p.P50, p.P99, p.Max, p.Conns, p.Errors)
	}
	return t.err
}
