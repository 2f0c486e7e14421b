package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/cwriter"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/headrace/headrace/bench"
)

// screen keeps a dashboard at the end of what stands on a terminal. Its library only
// writes: it reads no keys, hides no cursor and changes no mode, so there is nothing to
// restore however the program ends, and it may be stopped and go on in the background.
type screen struct {
	to        *os.File
	container *mpb.Progress
	bar       *mpb.Bar
	begun     chan struct{} // closed when there is something to show
	begin     sync.Once
	continued chan os.Signal
	ending    sync.Once
	done      chan struct{} // closed when nothing more is written

	mu   sync.Mutex
	last dashboard

	// Of the goroutine that draws.
	width int   // of the terminal, when it was drawn on last
	drawn []int // how wide the rows are that stand there
}

const (
	// redraw is how often a dashboard is drawn anew. What somebody has typed into it stands
	// there so long.
	redraw = 250 * time.Millisecond
	// signalDelay is how much sooner than a signal the timer may be that has it drawn. When
	// the program is stopped and goes on, both are due.
	signalDelay = 50 * time.Millisecond
)

func newScreen(to *os.File) *screen {
	s := &screen{
		to:        to,
		begun:     make(chan struct{}),
		continued: make(chan os.Signal, 1),
		done:      make(chan struct{}),
		last:      newDashboard(os.Getenv("NO_COLOR") == ""),
	}
	signal.Notify(s.continued, syscall.SIGCONT)
	s.container = mpb.New(mpb.WithOutput(to), mpb.WithRefreshRate(redraw), mpb.WithRenderDelay(s.begun))
	s.bar = s.container.MustAdd(0, mpb.BarFillerFunc(s.head), mpb.BarFillerTrim(), mpb.BarExtender(mpb.BarFillerFunc(s.body), false))
	return s
}

// show has what a run tells stand there soon. It does not wait for the terminal.
func (s *screen) show(p bench.Progress) {
	s.mu.Lock()
	s.last.take(p)
	s.mu.Unlock()
	s.begin.Do(func() { close(s.begun) })
}

// end takes the dashboard away. A terminal that takes nothing is not waited for. Safe
// from any goroutine.
func (s *screen) end() {
	s.ending.Do(func() {
		go func() {
			s.bar.Abort(true)
			s.container.Wait()
			signal.Stop(s.continued)
			close(s.done)
		}()
	})
	select {
	case <-s.done:
	case <-time.After(terminalPatience):
	}
}

const terminalPatience = time.Second

// head writes the first row, before which the library goes up by as many rows as it has
// written, and erases what follows. The row is empty: it is what stays above when somebody
// has typed Enter. The library begins it in the column where the cursor is: what was typed
// may have moved it.
func (s *screen) head(w io.Writer, at decor.Statistics) error {
	up := s.wrapped(at.AvailableWidth)
	select {
	case <-s.continued: // the shell has written below: what the library goes up by is new
		fmt.Fprint(s.to, strings.Repeat("\n", len(s.drawn)))
		up = 0
	case <-time.After(signalDelay):
	}
	fmt.Fprint(w, "\r\x1b[K")
	if up > 0 {
		fmt.Fprintf(w, "\x1b[%dA\x1b[J\n", up) // as to the \n, see others
	}
	s.width, s.drawn = at.AvailableWidth, append(s.drawn[:0], 0)
	return nil
}

// wrapped is how many rows more the rows take now: a terminal that was made narrower has
// wrapped them.
func (s *screen) wrapped(width int) (n int) {
	if width < 1 || width >= s.width {
		return 0
	}
	for _, w := range s.drawn {
		n += max(0, w-1) / width
	}
	return n
}

// others are the rows that are not drawn on: the cursor stands in one below, and one above
// keeps the dashboard away from the first, because tmux puts into its history whatever is
// erased from there on.
const others = 2

// body writes the other rows.
func (s *screen) body(w io.Writer, at decor.Statistics) error {
	_, height, err := cwriter.GetSize(int(s.to.Fd()))
	if err != nil {
		return err
	}
	s.mu.Lock()
	rows := s.last.rows(at.AvailableWidth, height-len(s.drawn)-others)
	s.mu.Unlock()
	for _, row := range rows {
		s.drawn = append(s.drawn, columns(row))
		fmt.Fprintln(w, row)
	}
	return nil
}
