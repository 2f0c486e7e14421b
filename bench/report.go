package bench

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// WriteText writes the report for people. What is doubtful stands at the top.
func (r *Result) WriteText(w io.Writer) error {
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
func (t *textReport) measured(r *Result) {
	loop := fmt.Sprintf("closed loop, %d in flight on each", r.InFlight)
	if r.Rate > 0 || len(r.Phases) > 0 {
		loop = fmt.Sprintf("open loop, %s messages/s", inASecond(r.Rate))
	}
	t.line("%s, %s bytes, %s, %.1f s counted", r.connections(), r.Sizes, loop, r.Seconds)
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
		t.line("errors      none: %s", r.flawless())
	}
	t.reasons("refused", r.Refused)
	t.reasons("ended", r.Ended)
}

// flawless says what it means that there are no errors.
func (r *Result) flawless() string {
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

// inASecond shows a rate, with three digits at least.
func inASecond(rate float64) string {
	if rate >= 100 {
		return fmt.Sprintf("%.0f", rate)
	}
	return fmt.Sprintf("%.3g", rate)
}

// textReport keeps the first error of its writer.
type textReport struct {
	w   io.Writer
	err error
}

func (t *textReport) line(format string, a ...any) {
	for i := range a {
		if s, ok := a[i].(string); ok {
			a[i] = printable(s)
		}
	}
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format+"\n", a...)
	}
}

// Printable gives a text without what could steer a terminal: servers and files of results
// have a say in it. Its lines stay apart.
func Printable(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return strings.Join(lines, "\n")
}

// said gives the words of a server as results and errors have them: in one line, without
// what could steer a terminal, and without {line}, which says that conceal has been there.
func said(words string) string { return strings.ReplaceAll(printable(words), "{line}", notLine) }

const notLine = "{ line }"

// printable is Printable for one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError || unicode.Is(unicode.Bidi_Control, r) {
			return '?'
		}
		return r
	}, s)
}

// table writes a table, its columns as wide as they need be: words to the left, numbers
// to the right.
func (t *textReport) table(of *Table) {
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
			if i == 0 || of.hasWords(i) {
				b.WriteString("  " + cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		t.line("%s", strings.TrimRight(b.String(), " "))
	}
}

// hasWords says whether a column has anything but numbers.
func (t *Table) hasWords(column int) bool {
	return slices.ContainsFunc(t.Rows, func(row []string) bool {
		return column < len(row) && row[column] != "" && !strings.ContainsAny(row[column][:1], "0123456789+-.<>")
	})
}

const widest = 100 // characters that a column is padded to

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
