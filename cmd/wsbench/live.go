package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/headrace/headrace/bench"
)

// live shows how a run gets on: one line that changes on a terminal, a line a second
// elsewhere.
type live struct {
	to       io.Writer
	terminal bool
	shown    bool
}

func newLive(to io.Writer) *live {
	f, ok := to.(*os.File)
	return &live{to: to, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

const barWidth = 20

func (l *live) show(p bench.Progress) {
	done := int(min(max(p.Done, 0), 1) * barWidth)
	bar := strings.Repeat("#", done) + strings.Repeat(".", barWidth-done)
	line := fmt.Sprintf("[%s] %-10s %d connections", bar, p.Phase, p.Conns)
	if p.Refused > 0 {
		line += fmt.Sprintf(", %d refused", p.Refused)
	}
	if p.Sent > 0 {
		line += fmt.Sprintf("  %d sent, %d back  p50 %v  p99 %v  max %v  errors %d", p.Sent, p.Received, bench.Round(p.P50), bench.Round(p.P99), bench.Round(p.Max), p.Errors)
	}
	if l.terminal {
		fmt.Fprintf(l.to, "\r\x1b[K%s", line)
		l.shown = true
	} else {
		fmt.Fprintln(l.to, line)
	}
}

// end leaves the line behind.
func (l *live) end() {
	if l.shown {
		fmt.Fprint(l.to, "\r\x1b[K")
	}
}
