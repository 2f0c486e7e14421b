package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/bench"
)

// shown is what a dashboard has in its lines, without styles.
func shown(d *dashboard) string {
	var b bytes.Buffer
	for _, l := range d.lines() {
		l.write(&b, false)
		b.WriteByte('\n')
	}
	return b.String()
}

// full is a dashboard after ten seconds of a run.
func full(width, height int) *dashboard {
	d := &dashboard{width: width, height: height}
	for i := range 10 {
		d.take(bench.Progress{
			Phase: "measuring", Done: 0.625, Conns: 1000, Refused: 12, Asked: 20000, Rate: float64(19000 + 100*i), Sent: 123456, Received: 123450, Errors: 3,
			P50: 120 * time.Microsecond, P99: time.Duration(i) * time.Millisecond, Max: 12345 * time.Microsecond,
		})
	}
	return d
}

func TestDashboardIn80Columns(t *testing.T) {
	want := `
measuring   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━───────────────────────  62%
conns       1000  12 refused
rate        19900/s of 20000/s asked
    19900/s ██████████
latency     p50 120µs  p99 9ms  max 12.3ms
    p99 9ms ▁▂▃▄▅▅▆▇██
messages    123456 sent  123450 back  3 errors
`[1:]
	if got := shown(full(79, 23)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestDashboardIn40Columns(t *testing.T) {
	want := `
measuring   ━━━━━━━━━━━━━─────────  62%
conns       1000  12 refused
rate        19900/s of 20000/s asked
latency     p50 120µs  p99 9ms  max 12…
messages    123456 sent  123450 back  …
`[1:]
	if got := shown(full(39, 6)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// No terminal is too small, and no run too long or too short.
func TestDashboardFits(t *testing.T) {
	for width := 1; width < 200; width += 3 {
		for height := 1; height < 9; height++ {
			d := full(width, height)
			for i := range 100 {
				d.take(bench.Progress{Phase: "waiting for what is on its way", Done: float64(i), Sent: 1, Rate: float64(i % 7), P99: -1})
			}
			lines := d.lines()
			if len(lines) > height {
				t.Fatalf("%d lines in %d", len(lines), height)
			}
			for _, l := range lines {
				if l.width() > width {
					t.Fatalf("%d columns in %d: %v", l.width(), width, l)
				}
			}
		}
	}
	if got := shown(&dashboard{width: 79, height: 23}); got != "" {
		t.Errorf("before the first word of the run: %q", got)
	}
	d := &dashboard{width: 79, height: 23}
	d.take(bench.Progress{Phase: "connecting", Done: 0.5, Conns: 7})
	if got := strings.Count(shown(d), "\n"); got != 2 {
		t.Errorf("while connecting: %q", shown(d))
	}
}

func TestCurvesGoBackAMinute(t *testing.T) {
	d := full(200, 20)
	for i := range 100 {
		d.take(bench.Progress{Phase: "measuring", Sent: 1, Rate: float64(100 - i)})
	}
	curve := strings.Split(shown(d), "\n")[3]
	if _, blocks, _ := strings.Cut(strings.TrimLeft(curve, " "), " "); utf8.RuneCountInString(blocks) != minute || !strings.HasPrefix(strings.TrimSpace(curve), "60/s █") {
		t.Errorf("%q", curve)
	}
}

func TestStyles(t *testing.T) {
	l := line{{"a", plain}, {"b", red}, {"", green}}
	for colors, want := range map[bool]string{true: "a\x1b[31mb\x1b[0m", false: "ab"} {
		var b bytes.Buffer
		if l.write(&b, colors); b.String() != want {
			t.Errorf("%q", b.String())
		}
	}
}
