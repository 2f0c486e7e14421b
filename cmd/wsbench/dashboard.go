package main

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/bench"
)

// dashboard is what stands on a terminal while a run gets on.
type dashboard struct {
	width, height int // that there are
	last          bench.Progress
	rates, p99s   []float64 // of the last minute, a value a second
}

// minute is how many seconds the curves go back.
const minute = 60

// take takes in what a run tells.
func (d *dashboard) take(p bench.Progress) {
	d.last = p
	if p.Sent > 0 {
		d.rates = lately(d.rates, p.Rate)
		d.p99s = lately(d.p99s, float64(p.P99))
	}
}

// lately appends a value, and forgets what is older than a minute.
func lately(values []float64, v float64) []float64 {
	values = append(values, v)
	return values[max(0, len(values)-minute):]
}

// lines are what fits. The curves go first where it does not.
func (d *dashboard) lines() []line {
	p := &d.last
	if p.Phase == "" {
		return nil
	}
	all := []line{d.bar(), row("conns", fmt.Sprint(p.Conns), some(p.Refused, "  %d refused"))}
	if len(d.rates) > 0 {
		rate := fmt.Sprintf("%.0f/s", p.Rate)
		if p.Asked > 0 {
			rate += fmt.Sprintf(" of %.0f/s asked", p.Asked)
		}
		times := []any{bench.Round(p.P50), bench.Round(p.P99), bench.Round(p.Max)}
		all = append(all,
			row("rate", rate),
			d.curve(d.rates, func(top float64) string { return fmt.Sprintf("%.0f/s", top) }),
			row("latency", fmt.Sprintf("p50 %v  p99 %v  max %v", times...)),
			d.curve(d.p99s, func(top float64) string { return "p99 " + bench.Round(time.Duration(top)).String() }),
			row("messages", fmt.Sprintf("%d sent  %d back", p.Sent, p.Received), some(int(p.Errors), "  %d errors")),
		)
		if len(all) > d.height {
			all = slices.Delete(slices.Delete(all, 5, 6), 3, 4)
		}
	}
	for i := range all {
		all[i] = all[i].cut(d.width)
	}
	return all[:min(len(all), d.height)]
}

const labelWidth = 11

// row is a line with a label before it.
func row(label, text string, more ...span) line {
	return append(line{{fmt.Sprintf("%-*s ", labelWidth, label), faint}, {text, plain}}, more...)
}

// bar is the line that says how far the run is.
func (d *dashboard) bar() line {
	phase := fmt.Sprintf("%-*s ", labelWidth, d.last.Phase)
	width := min(max(d.width-len(phase)-len(" 100%"), 4), minute)
	done := min(max(d.last.Done, 0), 1)
	full := int(done * float64(width))
	return line{
		{phase, plain},
		{strings.Repeat("━", full), green},
		{strings.Repeat("─", width-full), faint},
		{fmt.Sprintf(" %3.0f%%", math.Floor(100*done)), plain},
	}
}

// curve draws values as high as they are, the latest to the right; what the highest is
// stands before it.
func (d *dashboard) curve(values []float64, name func(top float64) string) line {
	values = values[max(0, len(values)-max(d.width-labelWidth-1, 0)):]
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	blocks := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, v := range values {
		b.WriteRune(blocks[int(math.Ceil(max(v, 0)/max(top, 1e-9)*float64(len(blocks)-1)))])
	}
	return line{{fmt.Sprintf("%*s ", labelWidth, name(top)), faint}, {b.String(), cyan}}
}

// some says in red how many there are of something, if there are any.
func some(n int, format string) span {
	if n == 0 {
		return span{}
	}
	return span{fmt.Sprintf(format, n), red}
}

// line is what stands in one row of a terminal. All of its characters are one column
// wide.
type line []span

// span is a piece of a line in one style.
type span struct {
	text  string
	style style
}

type style string

// The styles, as ECMA-48 has them.
const (
	plain style = ""
	faint style = "2"
	red   style = "31"
	green style = "32"
	cyan  style = "36"
)

func (l line) width() (n int) {
	for _, s := range l {
		n += utf8.RuneCountInString(s.text)
	}
	return n
}

// cut leaves so many columns of a line, of which the last says that there was more.
func (l line) cut(width int) line {
	if l.width() <= width {
		return l
	}
	var short line
	left := width - 1
	for _, s := range l {
		runes := []rune(s.text)
		runes = runes[:min(len(runes), left)]
		left -= len(runes)
		short = append(short, span{string(runes), s.style})
	}
	return append(short, span{"…", plain})
}

func (l line) write(b *bytes.Buffer, colors bool) {
	for _, s := range l {
		if s.style == plain || s.text == "" || !colors {
			b.WriteString(s.text)
		} else {
			fmt.Fprintf(b, "\x1b[%sm%s\x1b[0m", s.style, s.text)
		}
	}
}
