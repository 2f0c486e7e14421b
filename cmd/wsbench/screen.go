package main

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/headrace/headrace/bench"
)

// screen keeps a dashboard at the end of what stands on a terminal. It only writes: it
// reads no keys, hides no cursor and changes no mode, so there is nothing to restore
// however the program ends, and it may be stopped and go on in the background.
type screen struct {
	to      *os.File
	updates chan bench.Progress // the latest that is not shown yet
	ending  chan struct{}
	once    sync.Once
	done    chan struct{} // closed when nothing more is written

	// Of the goroutine that paints.
	colors  bool
	painted []int // how wide the lines are that stand there
}

func newScreen(to *os.File) *screen {
	s := &screen{
		to:      to,
		updates: make(chan bench.Progress, 1),
		ending:  make(chan struct{}),
		done:    make(chan struct{}),
		colors:  os.Getenv("NO_COLOR") == "",
	}
	go s.run()
	return s
}

// run paints. It waits where the terminal is slow, or is stopped with ^S.
func (s *screen) run() {
	defer close(s.done)
	var d dashboard
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGCONT)
	defer signal.Stop(signals)
	for {
		select {
		case p := <-s.updates:
			d.take(p)
		case sig := <-signals:
			if sig == syscall.SIGCONT { // the shell has written below
				s.painted = nil
			}
		case <-s.ending:
			s.paint(nil)
			return
		}
		width, height, err := term.GetSize(int(s.to.Fd()))
		if err != nil || width < narrowest || height < 2 {
			continue
		}
		d.width, d.height = width-1, height-1 // the last column is where terminals differ
		s.paint(d.lines())
	}
}

const narrowest = 20 // columns

// show leaves out what there is no time for. It is called by one goroutine.
func (s *screen) show(p bench.Progress) {
	select {
	case <-s.updates: // the one before has not been shown
	default:
	}
	s.updates <- p
}

// end takes the dashboard away. A terminal that takes nothing is not waited for. Safe
// from any goroutine.
func (s *screen) end() {
	s.once.Do(func() { close(s.ending) })
	select {
	case <-s.done:
	case <-time.After(terminalPatience):
	}
}

const terminalPatience = time.Second

// paint puts lines in the place of those before, at once where the terminal can
// (synchronized output, mode 2026). Every line is written anew: what somebody has typed
// between them goes away.
func (s *screen) paint(lines []line) {
	var b bytes.Buffer
	b.WriteString("\x1b[?2026h\r")
	if up := s.rows(); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	s.painted = s.painted[:0]
	for _, l := range lines {
		s.painted = append(s.painted, l.width())
		l.write(&b, s.colors)
		b.WriteString("\x1b[K\r\n")
	}
	b.WriteString("\x1b[J\x1b[?2026l")
	_, _ = s.to.Write(b.Bytes())
}

// rows is how many rows the painted lines take now: a terminal that was made narrower
// has wrapped them.
func (s *screen) rows() (n int) {
	width, _, err := term.GetSize(int(s.to.Fd()))
	if err != nil || width < 1 {
		return len(s.painted)
	}
	for _, w := range s.painted {
		n += max(1, (w+width-1)/width)
	}
	return n
}
