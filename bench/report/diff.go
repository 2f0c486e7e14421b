package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/headrace/headrace/bench"
)

// Diff is two results side by side: what was, and what is now.
type Diff struct {
	NameA, NameB string
	A, B         *bench.Result
}

// difference is one thing that is compared.
type difference struct {
	name  string // in the table, and in conditions
	of    func(*bench.Result) (v float64, ok bool)
	shown func(v float64) string
}

// differences are what a Diff compares, in this order.
func differences() []difference {
	latency := func(q float64) func(*bench.Result) (float64, bool) {
		return func(r *bench.Result) (float64, bool) {
			return r.Latency.At(q).Seconds(), r.Latency.Histogram != nil && r.Latency.TotalCount() > 0
		}
	}
	ofServer := func(of func(*bench.Usage) float64) func(*bench.Result) (float64, bool) {
		return func(r *bench.Result) (float64, bool) {
			if r.Server == nil {
				return 0, false
			}
			return of(r.Server), true
		}
	}
	handshake := func(q float64) func(*bench.Result) (float64, bool) {
		return func(r *bench.Result) (float64, bool) { return r.Handshake.At(q).Seconds(), r.Handshake.Count() > 0 }
	}
	ofFanout := func(of func(*bench.FanoutResult) bench.Histogram) func(*bench.Result) (float64, bool) {
		return func(r *bench.Result) (float64, bool) {
			if r.Fanout == nil {
				return 0, false
			}
			h := of(r.Fanout)
			return h.At(99).Seconds(), h.Count() > 0
		}
	}
	return []difference{
		{"rate", func(r *bench.Result) (float64, bool) { return r.Throughput(), r.Storm == nil && r.Idle == nil }, plain("%.0f /s")},
		{"opened", opened, plain("%.1f /s")},
		{"handshake-p50", handshake(50), asTime},
		{"handshake-p99", handshake(99), asTime},
		{"p50", latency(50), asTime},
		{"p90", latency(90), asTime},
		{"p99", latency(99), asTime},
		{"p99.9", latency(99.9), asTime},
		{"max", latency(100), asTime},
		{"first-p99", ofFanout(func(f *bench.FanoutResult) bench.Histogram { return f.First }), asTime},
		{"median-p99", ofFanout(func(f *bench.FanoutResult) bench.Histogram { return f.Median }), asTime},
		{"last-p99", ofFanout(func(f *bench.FanoutResult) bench.Histogram { return f.Last }), asTime},
		{"gaps", func(r *bench.Result) (float64, bool) {
			if r.Fanout == nil {
				return 0, false
			}
			return float64(r.Fanout.Gaps), true
		}, plain("%.0f")},
		{"errors", func(r *bench.Result) (float64, bool) { return float64(r.Counts.Errors()), true }, plain("%.0f")},
		{"refused", func(r *bench.Result) (float64, bool) { return float64(r.Refusals()), true }, plain("%.0f")},
		{"client-cpu", clientMicros, plain("%.2f us/message")},
		{"client-memory", func(r *bench.Result) (float64, bool) { return float64(r.Client.Memory), true }, megabytes},
		{"server-cpu", func(r *bench.Result) (float64, bool) {
			if r.Server == nil || r.Counts.Received == 0 {
				return 0, false
			}
			return r.Server.MicrosPerMessage, true
		}, plain("%.2f us/message")},
		{"server-memory", ofServer(func(u *bench.Usage) float64 { return float64(u.Memory) }), megabytes},
		{"server-memory-per-connection", memoryPerConn, plain("%.0f B")},
	}
}

// opened is how many handshakes a second got through, where that is what was measured.
func opened(r *bench.Result) (float64, bool) {
	switch {
	case r.Storm != nil:
		return r.Storm.PerSecond, true
	case r.Idle != nil:
		return r.Idle.PerSecond, true
	}
	return 0, false
}

// memoryPerConn is what the server needs for a connection.
func memoryPerConn(r *bench.Result) (float64, bool) {
	switch {
	case r.Idle != nil && r.Idle.Memory != nil:
		return r.Idle.Memory.PerConn, true
	case r.Server != nil:
		return r.Server.MemoryPerConn, true
	}
	return 0, false
}

func plain(format string) func(float64) string {
	return func(v float64) string { return fmt.Sprintf(format, v) }
}

func asTime(v float64) string { return fmt.Sprint(bench.Round(duration(v))) }

// duration gives seconds as a time, a nanosecond at least.
func duration(seconds float64) time.Duration {
	return time.Duration(max(1, math.Round(seconds*float64(time.Second))))
}

func megabytes(v float64) string { return fmt.Sprintf("%.1f MB", v/1e6) }

// clientMicros is the CPU of the client for each message that came back.
func clientMicros(r *bench.Result) (float64, bool) {
	if r.Counts.Received == 0 {
		return 0, false
	}
	return r.Client.Cores * r.Seconds * 1e6 / float64(r.Counts.Received), true
}

// Settings says in which settings the two differ: what is compared then is two loads,
// not two servers.
func (d *Diff) Settings() (differ []string) {
	both := func(what string, a, b any) {
		if as, bs := fmt.Sprint(a), fmt.Sprint(b); as != bs {
			differ = append(differ, fmt.Sprintf("%s: %s and %s", what, as, bs))
		}
	}
	a, b := d.A, d.B
	both("url", a.URL, b.URL)
	both("connections", a.Conns, b.Conns)
	both("sizes", a.Sizes, b.Sizes)
	both("load", a.Loop(), b.Loop())
	both("rate", a.Rate, b.Rate)
	both("in flight", a.InFlight, b.InFlight)
	if math.Abs(a.Seconds-b.Seconds) > 0.05*max(a.Seconds, b.Seconds) {
		both("counted", bench.Round(duration(a.Seconds)), bench.Round(duration(b.Seconds)))
	}
	both("loops of the client", a.Client.Loops, b.Client.Loops)
	both("processor", a.Machine.Processor, b.Machine.Processor)
	both("processors", a.Machine.Processors, b.Machine.Processors)
	both("kernel", a.Machine.Kernel, b.Machine.Kernel)
	both("version of wsbench", a.Machine.Version, b.Machine.Version)
	return differ
}

// Check says why two results cannot stand side by side.
func (d *Diff) Check() error {
	if d.A.Job != d.B.Job {
		return fmt.Errorf("they are results of different jobs: %s and %s", inLine(d.A.Job), inLine(d.B.Job))
	}
	if d.A.Compare != nil || d.A.Search != nil || d.B.Compare != nil || d.B.Search != nil {
		return fmt.Errorf("results of %s are not for diff: each is of many runs", inLine(d.A.Job))
	}
	return nil
}

// WriteText writes both, and how many times of the first the second is.
func (d *Diff) WriteText(w io.Writer) error {
	if err := d.Check(); err != nil {
		return err
	}
	t := &textReport{w: w}
	for _, s := range d.Settings() {
		t.line("DIFFERENT: %s", s)
	}
	for _, side := range []struct {
		name string
		r    *bench.Result
	}{{"a", d.A}, {"b", d.B}} {
		for _, doubt := range side.r.Doubts {
			t.line("DOUBTFUL in %s: %s", side.name, doubt)
		}
		for _, failed := range side.r.Failed {
			t.line("FAILED in %s: %s", side.name, failed)
		}
	}
	t.line("a  %s  %s %s  %s", d.NameA, d.A.Job, d.A.URL, d.A.Started.Format(time.DateTime))
	t.line("b  %s  %s %s  %s", d.NameB, d.B.Job, d.B.URL, d.B.Started.Format(time.DateTime))
	table := bench.Table{Title: "b/a is how many times of a b is", Columns: []string{"", "a", "b", "b/a"}}
	for _, f := range differences() {
		a, inA := f.of(d.A)
		b, inB := f.of(d.B)
		if !inA && !inB {
			continue
		}
		name := strings.ReplaceAll(f.name, "-", " ")
		if s := d.A.Summary; s != nil && (f.name[0] == 'p' || f.name == "max") {
			name += " " + s.Latency
		}
		row := []string{name, "-", "-", "-"}
		if inA {
			row[1] = f.shown(a)
		}
		if inB {
			row[2] = f.shown(b)
		}
		if inA && inB && a > 0 {
			row[3] = fmt.Sprintf("%.2f", b/a)
		}
		table.Rows = append(table.Rows, row)
	}
	t.table(&table)
	t.line("")
	t.line("One run of each proves nothing: runs of the same server differ too. wsbench compare runs two in turn, and tells chance from difference.")
	return t.err
}
