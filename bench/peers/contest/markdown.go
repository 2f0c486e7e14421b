package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// markdown writes the report as it stands in bench/RESULTS.md.
func (r *report) markdown(b *strings.Builder, plots []string) {
	line := func(format string, a ...any) { fmt.Fprintf(b, format+"\n", a...) }
	line("# Headrace and its peers\n")
	line("What was measured, and written, by %s. It is not edited by hand.\n", r.run())
	for _, run := range slices.Backward(r.Earlier) {
		line("What that did not measure is of %s.\n", run)
	}
	line("Every server runs in a process of its own on one core, and is loaded from another. What counts is **CPU time of the server for")
	line("each message**, from the scheduler's accounting over all of its threads, over that of a raw epoll echo in C in the same round,")
	line("which sends bytes back as they come and knows nothing of WebSockets. Servers take turns within each round; a ratio is the median")
	line("over rounds of the ratio within a round. Throughput and latency (closed loop, in ms) stand beside it; they move with what else")
	line("the machine does. `gnet` sends bytes back as `raw` does, on the event loops that Headrace stands on.\n")
	line("- Machine: %s, %d processors, %s, %s; servers on core %d, load on core %d.", r.Machine.Processor, r.Machine.Processors, r.Machine.Kernel, r.Machine.Go, r.ServerCore, r.ClientCore)
	line("- %d rounds of %.1f s for each server and job; GOMAXPROCS=%d for servers in Go, with one event loop where they have loops. It took %.0f min.", r.Rounds, r.Per, r.Procs, r.Seconds/60)
	line("- The load: `bench/limit/client.c`, which polls, so that no server pays for waking it; with TLS or compression Headrace's client (`bench/peers/contest/load.go`), which is slower than some servers.")
	line("- Servers, each set up as its documentation advises (`bench/peers/echoes`, `bench/peers/js`, `bench/limit`):")
	for _, v := range r.Versions {
		line("  - %s: %s", v.Name, v.Version)
	}
	line("\n## In short\n")
	line("| job | over raw | asked | over the best other library in Go | asked |")
	line("|---|---|---|---|---|")
	for _, j := range r.Jobs {
		if us := j.of(ours); us != nil {
			line("| [%s](#%s) | %s | %s | %s | %s |", j.Title, anchor(j.Title), ratio(us.ToRaw, j.Job.ToRaw, ""), most(j.Job.ToRaw), ratio(us.ToBest, j.Job.ToBest, j.Best), most(j.Job.ToBest))
		}
	}
	line("\n**Bold**: more than was asked.")
	for _, name := range plots {
		line("\n![CPU of the server for each message](%s)", name)
	}
	for _, j := range r.Jobs {
		line("\n## %s\n", j.Title)
		columns, rows := j.table()
		line("| %s |", strings.Join(columns, " | "))
		line("|---|%s", strings.Repeat("---:|", len(columns)-1))
		for _, row := range rows {
			line("| %s |", strings.Join(row, " | "))
		}
		for _, name := range slices.Sorted(maps.Keys(j.Failed)) {
			line("\n%s does not do it: %s", name, j.Failed[name])
		}
		line("\n`make bench-peers ARGS=\"-jobs %s\"`", j.Name)
	}
	if r.Fanout != nil {
		line("\n## Fan-out\n\nOne message to many subscribers, CPU for each delivery, over a bare loop in C that writes the same bytes.\n\n```\n%s```\n\n`make bench-fanout`", strings.TrimLeft(r.Fanout.Text, "\n"))
	}
}

// anchor is what a heading is called in a link.
func anchor(title string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(title) {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-':
			b.WriteRune(c)
		case c == ' ':
			b.WriteByte('-')
		}
	}
	return b.String()
}

func ratio(v, asked float64, of string) string {
	if v == noRatio {
		return ""
	}
	text := fmt.Sprintf("%.2f", v)
	if asked > 0 && v > asked {
		text = "**" + text + "**"
	}
	if of != "" {
		text += " (" + of + ")"
	}
	return text
}

func most(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("≤ %.2f", v)
}
