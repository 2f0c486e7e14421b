package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/acarl005/stripansi"
	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/headrace/headrace/bench"
)

// dashboard is what stands on a terminal while a run gets on.
type dashboard struct {
	styles      styles
	bar         mpb.BarFiller
	last        bench.Progress
	rates, p99s []float64 // of the last minute, a value a second
}

func newDashboard(colors bool) dashboard {
	s := styles(colors)
	bar := mpb.BarStyle().Lbound("").Rbound("").Filler("━").Tip("━").Padding("─").
		FillerMeta(s.green).TipMeta(s.green).PaddingMeta(s.faint)
	return dashboard{styles: s, bar: bar.Build()}
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

const narrowest = 20 // columns

// rows are what fits into so many columns and rows. The curves go first where it does
// not.
func (d *dashboard) rows(width, height int) []string {
	p := &d.last
	if p.Phase == "" || width < narrowest || height < 1 {
		return nil
	}
	all := []string{d.progress(width), d.row("conns", fmt.Sprint(p.Conns), p.Refused, "refused")}
	if len(d.rates) > 0 {
		rate := fmt.Sprintf("%.0f/s", p.Rate)
		if p.Asked > 0 {
			rate += fmt.Sprintf(" of %.0f/s asked", p.Asked)
		}
		latency := fmt.Sprintf("p50 %v  p99 %v  max %v", bench.Round(p.P50), bench.Round(p.P99), bench.Round(p.Max))
		all = append(all,
			d.row("rate", rate, 0, ""),
			d.curve(width, d.rates, func(top float64) string { return fmt.Sprintf("%.0f/s", top) }),
			d.row("latency", latency, 0, ""),
			d.curve(width, d.p99s, func(top float64) string { return "p99 " + bench.Round(time.Duration(top)).String() }),
			d.row("messages", fmt.Sprintf("%d sent  %d back", p.Sent, p.Received), int(p.Errors), "errors"),
		)
		if len(all) > height {
			all = slices.Delete(slices.Delete(all, 5, 6), 3, 4)
		}
	}
	for i := range all {
		all[i] = cut(all[i], width)
	}
	return all[:min(len(all), height)]
}

const labelWidth = 11

// row is a label, a text, and in red how many there are of what should not be.
func (d *dashboard) row(label, text string, wrong int, what string) string {
	s := d.styles.faint(fmt.Sprintf("%-*s ", labelWidth, label)) + text
	if wrong > 0 {
		s += d.styles.red(fmt.Sprintf("  %d %s", wrong, what))
	}
	return s
}

// progress is the row that says how far the run is.
func (d *dashboard) progress(width int) string {
	const thousand = 1000
	done := min(max(d.last.Done, 0), 1)
	percent := fmt.Sprintf(" %3.0f%%", math.Floor(100*done))
	phase := cut(runewidth.FillRight(d.last.Phase, labelWidth)+" ", width-len(percent)-4)
	var bar strings.Builder
	_ = d.bar.Fill(&bar, decor.Statistics{ // a Builder takes everything
		AvailableWidth: min(width-columns(phase)-len(percent), minute),
		Total:          thousand,
		Current:        int64(thousand * done),
	})
	return phase + bar.String() + percent
}

// curve draws values as high as they are, the latest to the right; what the highest is
// stands before it.
func (d *dashboard) curve(width int, values []float64, name func(top float64) string) string {
	values = values[max(0, len(values)-max(width-labelWidth-1, 0)):]
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	blocks := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, v := range values {
		b.WriteRune(blocks[int(math.Ceil(max(v, 0)/max(top, 1e-9)*float64(len(blocks)-1)))])
	}
	return d.styles.faint(fmt.Sprintf("%*s ", labelWidth, name(top))) + d.styles.cyan(b.String())
}

// columns is how wide a row is.
func columns(row string) int { return runewidth.StringWidth(stripansi.Strip(row)) }

// cut leaves so many columns of a row, of which the last says that there was more, and
// then no styles.
func cut(row string, width int) string {
	if columns(row) <= width {
		return row
	}
	return runewidth.Truncate(stripansi.Strip(row), width, "…")
}

// styles puts texts into the styles of ECMA-48, if there are to be any.
type styles bool

func (s styles) faint(text string) string { return s.set("2", text) }
func (s styles) red(text string) string   { return s.set("31", text) }
func (s styles) green(text string) string { return s.set("32", text) }
func (s styles) cyan(text string) string  { return s.set("36", text) }

func (s styles) set(style, text string) string {
	if !s || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}
