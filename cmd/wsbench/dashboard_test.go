package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/bench"
)

// shown is what a dashboard has in its rows.
func shown(d *dashboard, width, height int) string {
	var b strings.Builder
	for _, row := range d.rows(width, height) {
		b.WriteString(row + "\n")
	}
	return b.String()
}

// full is a dashboard after ten seconds of a run, without styles.
func full() *dashboard {
	d := newDashboard(false)
	for i := range 10 {
		d.take(bench.Progress{
			Phase: "measuring", Done: 0.625, Conns: 1000, Refused: 12, Asked: 20000, Rate: float64(19000 + 100*i), Sent: 123456, Received: 123450, Errors: 3,
			P50: 120 * time.Microsecond, P99: time.Duration(i) * time.Millisecond, Max: 12345 * time.Microsecond,
		})
	}
	return &d
}

func TestDashboardIn80Columns(t *testing.T) {
	want := `
measuring   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━──────────────────────  62%
conns       1000  12 refused
rate        19900/s of 20000/s asked
    19900/s ██████████
latency     p50 120µs  p99 9ms  max 12.3ms
    p99 9ms ▁▂▃▄▅▅▆▇██
messages    123456 sent  123450 back  3 errors
`[1:]
	if got := shown(full(), 80, 22); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestDashboardIn40Columns(t *testing.T) {
	want := `
measuring   ━━━━━━━━━━━━━━────────  62%
conns       1000  12 refused
rate        19900/s of 20000/s asked
latency     p50 120µs  p99 9ms  max 12…
messages    123456 sent  123450 back  …
`[1:]
	if got := shown(full(), 39, 6); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// No terminal is too small, and no run too long or too short.
func TestDashboardFits(t *testing.T) {
	for width := range 200 {
		for height := range 9 {
			d := full()
			for i := range 100 {
				d.take(bench.Progress{Phase: "waiting for what is on its way", Done: float64(i), Sent: 1, Rate: float64(i % 7), P99: -1})
			}
			rows := d.rows(width, height)
			if len(rows) > height {
				t.Fatalf("%d rows in %d", len(rows), height)
			}
			for _, row := range rows {
				if columns(row) > width {
					t.Fatalf("%d columns in %d: %q", columns(row), width, row)
				}
			}
		}
	}
	d := newDashboard(false)
	if got := shown(&d, 79, 23); got != "" {
		t.Errorf("before the first word of the run: %q", got)
	}
	d.take(bench.Progress{Phase: "connecting", Done: 0.5, Conns: 7})
	if got := shown(&d, 79, 23); strings.Count(got, "\n") != 2 {
		t.Errorf("while connecting: %q", got)
	}
}

func TestCurvesGoBackAMinute(t *testing.T) {
	d := full()
	for i := range 100 {
		d.take(bench.Progress{Phase: "measuring", Sent: 1, Rate: float64(100 - i)})
	}
	curve := d.rows(200, 20)[3]
	if _, blocks, _ := strings.Cut(strings.TrimLeft(curve, " "), " "); utf8.RuneCountInString(blocks) != minute || !strings.HasPrefix(strings.TrimSpace(curve), "60/s █") {
		t.Errorf("%q", curve)
	}
}

func TestStyles(t *testing.T) {
	for colors, want := range map[bool]string{true: "a\x1b[31mb\x1b[0m", false: "ab"} {
		s := styles(colors)
		if got := "a" + s.red("b") + s.green(""); got != want || columns(got) != 2 {
			t.Errorf("%q", got)
		}
	}
}
