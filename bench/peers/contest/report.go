package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/headrace/headrace/bench/host"
	"github.com/headrace/headrace/bench/peers/process"
)

// report is everything that a run has measured. It goes to JSON.
type report struct {
	Began                  time.Time
	Command                string
	Earlier                []string `json:",omitempty"` // what has measured the rest, where figures of earlier runs were kept
	Machine                host.Machine
	ServerCore, ClientCore int
	Procs                  int // GOMAXPROCS of the servers in Go
	Rounds                 int
	Per                    float64 // seconds of a turn
	Versions               []version
	Jobs                   []*jobResult
	Fanout                 *fanReport `json:",omitempty"`
	Seconds                float64    // that all of it took
}

type version struct{ Name, Version string }

func newReport(p *plan, f *field, cores process.Cores) *report {
	r := &report{
		Began: time.Now().UTC().Truncate(time.Second), Command: p.command, Machine: host.ThisMachine(), ServerCore: cores.Server, ClientCore: cores.Client,
		Procs: p.procs, Rounds: p.rounds, Per: p.per.Seconds(),
	}
	for i := range f.all {
		r.Versions = append(r.Versions, version{f.all[i].name, f.all[i].version})
	}
	return r
}

// run is the command that has measured, and when.
func (r *report) run() string {
	return fmt.Sprintf("`%s`, on %s", r.Command, r.Began.Format(time.DateOnly))
}

// keep takes what this run has not measured from the JSON of an earlier one.
func (r *report) keep(file string) error {
	if file == "" {
		return nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var earlier report
	if err := json.Unmarshal(b, &earlier); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if len(r.Jobs) == 0 {
		r.Rounds, r.Per = earlier.Rounds, earlier.Per
	}
	r.Seconds += earlier.Seconds
	kept := r.Fanout == nil && earlier.Fanout != nil
	if kept {
		r.Fanout = earlier.Fanout
	}
	all, replaced := earlier.Jobs, 0
	for _, now := range r.Jobs {
		if i := slices.IndexFunc(all, func(j *jobResult) bool { return j.Name == now.Name }); i >= 0 {
			all[i] = now
			replaced++
		} else {
			all = append(all, now)
		}
	}
	kept = kept || replaced < len(earlier.Jobs)
	order := allJobs()
	place := func(j *jobResult) uint { return uint(slices.Index(order, j.Name)) } // -1, of one that is not there, comes last
	slices.SortStableFunc(all, func(a, b *jobResult) int { return cmp.Compare(place(a), place(b)) })
	if r.Jobs = all; kept {
		r.Earlier = append(earlier.Earlier, earlier.run())
	}
	return nil
}

// print writes the report for a terminal.
func (r *report) print(to io.Writer) {
	for _, j := range r.Jobs {
		fmt.Fprintf(to, "\n%s (%s)\n", j.Title, j.Name)
		w := tabwriter.NewWriter(to, 0, 8, 2, ' ', tabwriter.AlignRight)
		columns, rows := j.table()
		fmt.Fprintln(w, strings.Join(columns, "\t")+"\t")
		for _, row := range rows {
			fmt.Fprintln(w, strings.Join(row, "\t")+"\t")
		}
		_ = w.Flush()
		for name, why := range j.Failed {
			fmt.Fprintf(to, "  %s does not do it: %s\n", name, why)
		}
		if verdict := j.verdict(); verdict != "" {
			fmt.Fprintln(to, verdict)
		}
	}
	if r.Fanout != nil {
		fmt.Fprint(to, r.Fanout.Text)
	}
}

// table is the figures of a job, as they are shown.
func (r *jobResult) table() (columns []string, rows [][]string) {
	f := func(format string, v float64) string { return fmt.Sprintf(format, v) }
	switch r.Job.Kind {
	case kindMemory:
		columns = []string{"server", "B idle", "B after an echo", "B without garbage"}
	case kindShakes:
		columns = []string{"server", "us of CPU", "/s"}
	case kindEcho:
		columns = []string{"server", "over raw", "least..most", "us of CPU", "messages/s", "p50 ms", "p99 ms", "p99.9 ms", "load's core"}
	}
	for _, s := range r.Servers {
		m := &s.Median
		row := []string{s.Name}
		switch r.Job.Kind {
		case kindMemory:
			collected := ""
			if m.Collected > 0 {
				collected = f("%.0f", m.Collected)
			}
			row = append(row, f("%.0f", m.Idle), f("%.0f", m.After), collected)
		case kindShakes:
			row = append(row, f("%.1f", m.ServerCPU/1e3), f("%.0f", float64(m.Messages)/m.Seconds))
		case kindEcho:
			ratio, spread := "", ""
			if s.ToRaw != noRatio {
				ratio, spread = f("%.2f", s.ToRaw), spreadOf(s.Ratios)
			}
			row = append(row, ratio, spread, f("%.2f", m.ServerCPU/1e3), f("%.0f", float64(m.Messages)/m.Seconds),
				f("%.2f", m.P50/1e6), f("%.2f", m.P99/1e6), f("%.2f", m.P999/1e6), f("%.0f %%", 100*m.Cores))
		}
		rows = append(rows, row)
	}
	return columns, rows
}

func spreadOf(ratios []float64) string {
	least, most := ratios[0], ratios[0]
	for _, x := range ratios {
		least, most = min(least, x), max(most, x)
	}
	return fmt.Sprintf("%.2f..%.2f", least, most)
}

// verdict says how Headrace stands, beside what it wants.
func (r *jobResult) verdict() string {
	us := r.of(ours)
	if us == nil {
		return ""
	}
	var parts []string
	if us.ToRaw != noRatio && r.of(rawName) != nil {
		parts = append(parts, asked(fmt.Sprintf("%.2f of the raw echo", us.ToRaw), us.ToRaw, r.Job.ToRaw))
	}
	if us.ToBest != noRatio {
		parts = append(parts, asked(fmt.Sprintf("%.2f of the best other library in Go, %s", us.ToBest, r.Best), us.ToBest, r.Job.ToBest))
	}
	if len(parts) == 0 {
		return ""
	}
	return "headrace needs " + strings.Join(parts, ", and ")
}

func asked(is string, v, most float64) string {
	switch {
	case most == 0:
		return is
	case v <= most:
		return fmt.Sprintf("%s (asked: at most %.2f)", is, most)
	}
	return fmt.Sprintf("%s (asked: at most %.2f, MISSED)", is, most)
}

// write writes the files that were asked for.
func (p *plan) write(r *report) error {
	if p.json != "" {
		b, err := json.MarshalIndent(r, "", "\t")
		if err == nil {
			err = os.WriteFile(p.json, append(b, '\n'), 0o644)
		}
		if err != nil {
			return err
		}
	}
	var plots []string
	if p.plot != "" {
		if err := os.MkdirAll(p.plot, 0o755); err != nil {
			return err
		}
		var err error
		if plots, err = r.draw(p.plot); err != nil {
			return err
		}
	}
	if p.text == "" {
		return nil
	}
	for i, name := range plots { // as the report links to them
		if relative, err := filepath.Rel(filepath.Dir(p.text), name); err == nil {
			plots[i] = filepath.ToSlash(relative)
		}
	}
	var b strings.Builder
	r.markdown(&b, plots)
	return os.WriteFile(p.text, []byte(b.String()), 0o644)
}
