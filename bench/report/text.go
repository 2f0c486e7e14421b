package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/bench"
)

// WriteText writes a report for people. What is doubtful stands at the top.
func WriteText(w io.Writer, r *bench.Result) error {
	t := &textReport{w: w}
	for _, d := range r.Doubts {
		t.line("DOUBTFUL: %s", d)
	}
	for _, f := range r.Failed {
		t.line("FAILED: %s", f)
	}
	t.line("%s %s", r.Job, r.URL)
	for _, f := range r.Findings {
		t.line("  %s", f)
	}
	switch {
	case r.Compare != nil: // the tables have it all
	case r.Summary != nil:
		t.summary(r)
	default:
		t.measured(r)
	}
	for i := range r.Tables {
		t.table(&r.Tables[i])
	}
	return t.err
}

// measured writes what one stretch of messages has shown.
func (t *textReport) measured(r *bench.Result) {
	loop := fmt.Sprintf("closed loop, %d in flight on each", r.InFlight)
	if r.Rate > 0 || len(r.Phases) > 0 {
		loop = fmt.Sprintf("open loop, %s messages/s", bench.FormatRate(r.Rate))
	}
	t.line("%s, %s bytes, %s, %.1f s counted", connections(r), r.Sizes, loop, r.Seconds)
	t.line("")
	c := &r.Counts
	back := "back"
	if r.Fanout != nil {
		back = "delivered"
	}
	t.line("messages    %12d sent  %12d %s  %12.0f /s  %10.1f MB/s", c.Sent, c.Received, back, r.Throughput(), float64(c.Bytes)/max(r.Seconds, 1e-9)/1e6)
	t.times("latency", r.Latency)
	t.times("send lag", r.Lag)
	t.times("handshake", r.Handshake)
	t.line("client      %.2f processors of %d, %d loops", r.Client.Cores, r.Client.Allowed, r.Client.Loops)
	if u := r.Server; u != nil {
		each := "unknown"
		if u.MemoryPerConn > 0 {
			each = fmt.Sprintf("%.0f B", u.MemoryPerConn)
		}
		t.line("server      %.2f processors, %.2f us a message, %.1f MB, %s for each connection (process %d)",
			u.Cores, u.MicrosPerMessage, float64(u.Memory)/1e6, each, u.PID)
	}
	t.line("")
	switch {
	case c.Errors() > 0 || len(r.Refused) > 0:
		t.line("errors      %d lost, %d corrupt, %d duplicated, %d reordered, %d not sent, %d connections dropped",
			c.Lost, c.Corrupt, c.Duplicated, c.Reordered, c.NotSent, c.Dropped)
	case c.Sent == 0:
		t.line("errors      nothing was measured: no message was sent")
	default:
		t.line("errors      none: %s", flawless(r))
	}
	t.reasons("refused", r.Refused)
	t.reasons("ended", r.Ended)
}

// summary writes the report of a job that is not about messages.
func (t *textReport) summary(r *bench.Result) {
	for _, line := range r.Summary.Lines {
		t.line("%s", line)
	}
	t.line("")
	t.times("handshake", r.Handshake)
	if r.Storm != nil {
		t.times("refusal", r.Storm.Refusal)
		t.times("closing", r.Storm.Closing)
	}
	t.times(r.Summary.Latency, r.Latency)
	t.times(r.Summary.Lag, r.Lag)
	t.line("client      %.2f processors of %d, %d loops, %.1f MB", r.Client.Cores, r.Client.Allowed, r.Client.Loops, float64(r.Client.Memory)/1e6)
	if u := r.Server; u != nil {
		t.line("server      %.2f processors, %.1f MB (process %d)", u.Cores, float64(u.Memory)/1e6, u.PID)
	}
	t.reasons("refused", r.Refused)
	if r.Idle == nil { // else a table has them
		t.reasons("ended", r.Ended)
	}
}

// connections says how many connections there were.
func connections(r *bench.Result) string {
	opened, refused := r.Handshake.Count(), r.Refusals()
	switch {
	case len(r.Phases) > 0 || r.Compare != nil: // they come and go
		return fmt.Sprintf("%d connections", r.Conns)
	case refused == 0:
		return fmt.Sprintf("%d connections", opened)
	}
	return fmt.Sprintf("%d connections asked, %d opened, %d refused", r.Conns, opened, refused)
}

// flawless says what it means that there are no errors.
func flawless(r *bench.Result) string {
	switch {
	case len(r.Phases) > 0:
		return "every message that was to be answered was, as expected and in time"
	case r.Fanout == nil:
		return "every byte of every message came back once, in order"
	case r.Fanout.Conflated > 0:
		return "every byte of every message that the server did not conflate reached every subscriber once, in order"
	}
	return "every byte of every message reached every subscriber once, in order"
}

// textReport keeps the first error of its writer.
type textReport struct {
	w   io.Writer
	err error
}

func (t *textReport) line(format string, a ...any) {
	for i := range a {
		if s, ok := a[i].(string); ok {
			a[i] = inLine(s)
		}
	}
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format+"\n", a...)
	}
}

// inLine is bench.Printable for what is to stay in one line.
func inLine(s string) string { return strings.ReplaceAll(bench.Printable(s), "\n", "?") }

// table writes a table, its columns as wide as they need be: words to the left, numbers
// to the right.
func (t *textReport) table(of *bench.Table) {
	width := make([]int, len(of.Columns))
	all := append([][]string{of.Columns}, of.Rows...)
	for _, row := range all {
		for i, cell := range row {
			width[i] = max(width[i], min(utf8.RuneCountInString(cell), widest))
		}
	}
	t.line("\n%s", of.Title)
	for _, row := range all {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", max(0, width[i]-utf8.RuneCountInString(cell)))
			if i == 0 || hasWords(of, i) {
				b.WriteString("  " + cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		t.line("%s", strings.TrimRight(b.String(), " "))
	}
}

// hasWords says whether a column has anything but numbers.
func hasWords(t *bench.Table, column int) bool {
	return slices.ContainsFunc(t.Rows, func(row []string) bool {
		return column < len(row) && row[column] != "" && !strings.ContainsAny(row[column][:1], "0123456789+-.<>")
	})
}

const widest = 100 // characters that a column is padded to

// times writes the quantiles of a histogram.
func (t *textReport) times(name string, h bench.Histogram) {
	if h.Histogram == nil || h.TotalCount() == 0 {
		return
	}
	var b strings.Builder
	for _, q := range []float64{50, 90, 99, 99.9, 100} {
		label := fmt.Sprintf("p%v", q)
		if q == 100 {
			label = "max"
		}
		fmt.Fprintf(&b, "  %s %-9v", label, bench.Round(h.At(q)))
	}
	t.line("%-10s%s", name, strings.TrimRight(b.String(), " "))
}

// reasons writes counts by reason, the most frequent first.
func (t *textReport) reasons(name string, counts map[string]uint64) {
	for _, why := range byCount(counts) {
		t.line("%-11s %d: %s", name, counts[why], why)
	}
}

// byCount gives reasons, the most frequent first.
func byCount(counts map[string]uint64) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
}

// WriteHgrm writes the latencies, of a storm those of handshakes, as a percentile log of
// HdrHistogram, in milliseconds, for its plotters.
func WriteHgrm(w io.Writer, r *bench.Result) error {
	of := r.Latency
	if r.Storm != nil {
		of = r.Handshake
	}
	_, err := of.PercentilesPrint(w, 5, float64(time.Millisecond))
	return err
}

// WriteCSV writes the series, a line a second.
func WriteCSV(w io.Writer, r *bench.Result) error {
	t := &textReport{w: w}
	t.line("second,sent,received,p50_ms,p99_ms,max_ms,connections,errors")
	for _, p := range r.Series {
		t.line("%.3f,%d,%d,%.3f,%.3f,%.3f,%d,%d", p.At, p.Sent, p.Received, p.P50, p.P99, p.Max, p.Conns, p.Errors)
	}
	return t.err
}
