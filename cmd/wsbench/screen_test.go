package main

import (
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// paper is a terminal without an end: it knows what a screen writes, and wraps rows anew
// when its width changes.
type paper struct {
	rows          [][]rune
	row, col      int
	width, height int
}

var piece = regexp.MustCompile("(?s)\x1b\\[([0-9;?]*)([A-Za-z])|.")

func (p *paper) write(text string) {
	for _, m := range piece.FindAllStringSubmatch(text, -1) {
		switch {
		case m[0] == "\r":
			p.col = 0
		case m[0] == "\n":
			p.row++
		case m[2] == "A":
			n, _ := strconv.Atoi(m[1])
			p.row = max(p.row-n, len(p.rows)-p.height, 0)
		case m[2] == "J", m[2] == "K":
			if m[2] == "J" {
				p.rows = p.rows[:min(p.row+1, len(p.rows))]
			}
			if p.row < len(p.rows) {
				p.rows[p.row] = p.rows[p.row][:min(p.col, len(p.rows[p.row]))]
			}
		case m[2] == "":
			p.put([]rune(m[0])[0])
		}
		for len(p.rows) <= p.row {
			p.rows = append(p.rows, nil)
		}
	}
}

func (p *paper) put(r rune) {
	if p.col == p.width {
		p.row, p.col = p.row+1, 0
	}
	for len(p.rows) <= p.row {
		p.rows = append(p.rows, nil)
	}
	for len(p.rows[p.row]) <= p.col {
		p.rows[p.row] = append(p.rows[p.row], ' ')
	}
	p.rows[p.row][p.col] = r
	p.col++
}

// resize wraps the rows that are too wide now.
func (p *paper) resize(width int) {
	var rows [][]rune
	cursor := 0
	for i, row := range p.rows {
		if i == p.row {
			cursor = len(rows)
		}
		wrapped := slices.Collect(slices.Chunk(row, width))
		if len(wrapped) == 0 {
			wrapped = [][]rune{nil}
		}
		rows = append(rows, wrapped...)
	}
	p.rows, p.row, p.width = rows, cursor, width
}

func (p *paper) String() string {
	var b strings.Builder
	for _, row := range p.rows {
		if s := strings.TrimRight(string(row), " "); s != "" {
			b.WriteString(s + "\n")
		}
	}
	return b.String()
}

// awaitMore waits for so many redraws from now on.
func (o *onTerminal) awaitMore(redraws int) {
	o.t.Helper()
	o.awaitTimes(erase, strings.Count(o.text(), erase)+redraws)
}

// measuringOnATerminal is a run whose first figures are there, and drawn to the last row.
func measuringOnATerminal(t *testing.T) *onTerminal {
	o := startOnTerminal(t, nil, "echo", serveEcho(t, 0), "--rate=100", "--conns=1", "--warmup=0s", "--duration=10m")
	o.await(" sent ")
	o.awaitMore(1)
	for end := time.Now().Add(time.Minute); !strings.HasSuffix(o.text(), " back\r\n"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the terminal has got %q at the end", o.text())
		}
	}
	return o
}

// isDashboard says whether there is one on paper, whole, and nothing beside it.
func isDashboard(t *testing.T, p *paper) {
	t.Helper()
	if got := p.String(); !regexp.MustCompile(`^(measuring|warming up)  .*%\nconns .*\nrate .*\n.*/s .*\nlatency .*\n +p99 .*\nmessages .*back\n$`).MatchString(got) {
		t.Errorf("on the terminal stands\n%s", got)
	}
}

// endsClean interrupts a run: of its dashboard nothing is left on paper, on which stands
// what the terminal has got until read.
func (o *onTerminal) endsClean(p *paper, read int) {
	o.t.Helper()
	o.key(ctrlC)
	code, out, screen := o.end()
	p.write(screen[read:])
	if got := strings.ReplaceAll(p.String(), "\n", ""); code != exitOK || out == "" || got != "wsbench: interrupted; this is what was measured until then" {
		o.t.Errorf("code %d; at the end on the terminal stands\n%s", code, got)
	}
}

// What is typed goes away with the next redraw, and leaves no row of figures behind.
func TestTypedOnATerminal(t *testing.T) {
	o := measuringOnATerminal(t)
	for range 3 {
		o.key("abc\rxyz")
		o.awaitMore(2) // the first may have been on its way
	}
	p, text := &paper{width: 80, height: 24}, o.text()
	p.write(text[:strings.LastIndex(text, erase)])
	isDashboard(t, p)
	o.endsClean(&paper{width: 80, height: 24}, 0)
}

func TestTerminalMadeNarrower(t *testing.T) {
	o := measuringOnATerminal(t)
	p, before := &paper{width: 80, height: 24}, o.text()
	if err := pty.Setsize(o.pty, &pty.Winsize{Rows: 24, Cols: 40}); err != nil {
		t.Fatal(err)
	}
	p.write(before)
	isDashboard(t, p)
	p.resize(40)
	o.awaitMore(4)
	text := o.text()
	read := strings.LastIndex(text, "\x1b[8A"+erase)
	p.write(text[len(before):read])
	isDashboard(t, p)
	for _, row := range p.rows {
		if len(row) > 40 {
			t.Errorf("%d columns: %q", len(row), string(row))
		}
	}
	o.endsClean(p, read)
}

// The shell writes below a dashboard that is stopped; there it stays, and another
// dashboard below it.
func TestStoppedOnATerminal(t *testing.T) {
	o := measuringOnATerminal(t)
	_ = o.cmd.Process.Signal(syscall.SIGSTOP)
	o.key("fg\r")
	o.await("fg\r\n")
	_ = o.cmd.Process.Signal(syscall.SIGCONT)
	o.awaitMore(3)
	p, text := &paper{width: 80, height: 24}, o.text()
	p.write(text[:strings.LastIndex(text, "\x1b[8A"+erase)])
	if above, below, ok := strings.Cut(p.String(), "fg\n"); !ok || strings.Count(above, "conns ") != 1 || strings.Count(below, "conns ") != 1 {
		t.Errorf("on the terminal stands\n%s", p)
	}
	o.key(ctrlC)
	if code, out, _ := o.end(); code != exitOK || out == "" {
		t.Errorf("code %d, report %q", code, out)
	}
}

// A shell with job control gives a run in the background a process group of its own, which
// the kernel stops when it reads, or changes the terminal.
func TestInTheBackgroundOfATerminal(t *testing.T) {
	c := command(t, "echo", serveEcho(t, 0), "--rate=100", "--conns=1", "--warmup=0s", "--duration=2s")
	c.Args = append([]string{"sh", "-mc", `"$0" "$@" & wait $!`}, c.Args...)
	path, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	c.Path = path
	o := startCommand(t, c)
	if code, out, screen := o.end(); code != exitOK || !strings.Contains(out, "1 connections") || !strings.Contains(screen, "asked") {
		t.Errorf("code %d, report %q, terminal %.500q", code, out, screen)
	}
}
