package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/vbauerster/mpb/v8/cwriter"

	"github.com/headrace/headrace/bench"
)

// live shows how a run gets on: a screen on a terminal, a line a second elsewhere. The
// report goes elsewhere, to the standard output.
type live struct {
	to     io.Writer
	screen *screen // nil: lines
}

func newLive(to io.Writer) *live {
	f, ok := to.(*os.File)
	if !ok || !cwriter.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return &live{to: to}
	}
	return &live{to: to, screen: newScreen(f)}
}

// show shows what a run tells. It does not wait for the terminal.
func (l *live) show(p bench.Progress) {
	if l.screen != nil {
		l.screen.show(p)
		return
	}
	fmt.Fprintln(l.to, progressLine(p))
}

// end leaves no trace on a terminal. Safe from any goroutine, and more than once.
func (l *live) end() {
	if l.screen != nil {
		l.screen.end()
	}
}

const barWidth = 20

// progressLine is what is told in one line.
func progressLine(p bench.Progress) string {
	done := int(min(max(p.Done, 0), 1) * barWidth)
	bar := strings.Repeat("#", done) + strings.Repeat(".", barWidth-done)
	line := fmt.Sprintf("[%s] %-10s %d connections", bar, p.Phase, p.Conns)
	if p.Refused > 0 {
		line += fmt.Sprintf(", %d refused", p.Refused)
	}
	if p.Sent > 0 {
		line += fmt.Sprintf("  %d sent, %d back  p50 %v  p99 %v  max %v  errors %d", p.Sent, p.Received, bench.Round(p.P50), bench.Round(p.P99), bench.Round(p.Max), p.Errors)
	}
	return line
}
