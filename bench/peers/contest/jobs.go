package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/headrace/headrace/bench/peers/echoes"
)

// job is something that every server does.
type job struct {
	Kind  kind
	Conns int
	Depth int // messages on their way on each connection
	Bytes int
	Text  text // which servers check; binary otherwise
	JSON  bool // text in JSON
	TLS   bool
	Way   echoes.Deflate

	// What Headrace wants to need at most, over the raw echo and over the best other
	// library in Go; 0: nothing is asked.
	ToRaw, ToBest float64
}

// text is a language, whose letters take one byte or three in UTF-8.
type text string

const (
	ascii  text = "ASCII"
	korean text = "Korean"
)

// words are what a message is filled with.
func (t text) words() string {
	if t == korean {
		return "물레방아로흘러드는물길처"
	}
	return "the water that falls to the mill wheel. "
}

type kind string

const (
	kindEcho   kind = "echo"
	kindMemory kind = "memory"     // of idle connections
	kindShakes kind = "handshakes" // opening ones, as many as there can be
)

// jobs are all there are, in the order of the report.
var jobs = []job{
	{Kind: kindEcho, Conns: 1, Depth: 1, Bytes: 20},
	{Kind: kindEcho, Conns: 100, Depth: 1, Bytes: 20},
	{Kind: kindEcho, Conns: 1000, Depth: 1, Bytes: 20, ToRaw: 1.15, ToBest: 0.78},
	{Kind: kindEcho, Conns: 10_000, Depth: 1, Bytes: 20},
	{Kind: kindEcho, Conns: 1000, Depth: 1, Bytes: 1024},
	{Kind: kindEcho, Conns: 1000, Depth: 1, Bytes: 16 << 10, ToRaw: 1.15, ToBest: 0.70},
	{Kind: kindEcho, Conns: 100, Depth: 16, Bytes: 20, ToRaw: 1.05, ToBest: 0.10},
	{Kind: kindEcho, Conns: 100, Depth: 1, Bytes: 1 << 20, ToRaw: 0.85, ToBest: 0.55},
	{Kind: kindEcho, Conns: 1000, Depth: 1, Bytes: 16 << 10, Text: ascii},
	{Kind: kindEcho, Conns: 1000, Depth: 1, Bytes: 16 << 10, Text: korean, ToRaw: 1.25, ToBest: 0.60},
	{Kind: kindEcho, Conns: 1000, Depth: 1, Bytes: 20, TLS: true, ToBest: 0.85},
	{Kind: kindEcho, Conns: 1000, Depth: 1, Bytes: 16 << 10, TLS: true},
	{Kind: kindEcho, Conns: 1000, Depth: 1, Bytes: 1024, JSON: true, Way: echoes.Single, ToBest: 0.80},
	{Kind: kindEcho, Conns: 1000, Depth: 1, Bytes: 1024, JSON: true, Way: echoes.Takeover, ToBest: 0.80},
	{Kind: kindMemory, Conns: 15_000, Bytes: 1024, ToBest: 1},
	{Kind: kindMemory, Conns: 15_000, Bytes: 1024, TLS: true},
	{Kind: kindMemory, Conns: 15_000, Bytes: 1024, Way: echoes.Takeover},
	{Kind: kindShakes, ToBest: 1},
}

// quick are those for a look before and after a change.
var quick = []string{"1000:1:20", "100:16:20", "1000:1:16384"}

// name is how a job is called on the command line.
func (j *job) name() string {
	var marks []string
	switch {
	case j.Kind == kindShakes:
		return string(kindShakes)
	case j.Kind == kindMemory:
		marks = append(marks, string(kindMemory))
	default:
		marks = append(marks, fmt.Sprintf("%d:%d:%d", j.Conns, j.Depth, j.Bytes))
	}
	if j.Text != "" {
		marks = append(marks, strings.ToLower(string(j.Text)))
	}
	if j.TLS {
		marks = append(marks, "wss")
	}
	if j.deflates() {
		marks = append(marks, "deflate-"+string(j.Way))
	}
	return strings.Join(marks, "-")
}

// title is how it stands in the report.
func (j *job) title() string {
	var extra string
	if j.Text != "" {
		extra += ", text in " + string(j.Text) + ", checked"
	}
	if j.JSON {
		extra += " of JSON"
	}
	if j.TLS {
		extra += ", wss"
	}
	switch j.Way {
	case echoes.Single:
		extra += ", deflate, each message for itself"
	case echoes.Takeover:
		extra += ", deflate with context takeover"
	case echoes.Plain:
	}
	switch j.Kind {
	case kindMemory:
		return fmt.Sprintf("Memory of %d idle connections%s", j.Conns, extra)
	case kindShakes:
		return "Opening handshakes, 64 at a time, each connection closed at once"
	case kindEcho:
	}
	return fmt.Sprintf("Echo: %s, %d in flight on each, %s%s", count(j.Conns, "connection"), j.Depth, size(j.Bytes), extra)
}

func (j *job) deflates() bool { return j.Way == echoes.Single || j.Way == echoes.Takeover }

func (j *job) options() echoes.Options {
	o := echoes.Options{Deflate: j.Way}
	if o.Deflate == "" {
		o.Deflate = echoes.Plain
	}
	return o
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func size(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// choose gives the jobs with these names, or all. A name of three numbers is an echo, also
// one that no report has.
func choose(names []string) (chosen []job, err error) {
	if len(names) == 0 {
		return jobs, nil
	}
	for _, name := range names {
		i := slices.IndexFunc(jobs, func(j job) bool { return j.name() == name })
		if i >= 0 {
			chosen = append(chosen, jobs[i])
			continue
		}
		j := job{Kind: kindEcho}
		_, err := fmt.Sscanf(name, "%d:%d:%d", &j.Conns, &j.Depth, &j.Bytes)
		if err != nil || j.name() != name || j.Conns < 1 || j.Depth < 1 || j.Depth > mostDepth || j.Bytes < leastBytes || j.Bytes > mostBytes {
			return nil, fmt.Errorf("there is no job %q: there are %s, and CONNECTIONS:IN_FLIGHT:BYTES with up to %d in flight and %d to %d bytes",
				name, strings.Join(allJobs(), ", "), mostDepth, leastBytes, mostBytes)
		}
		chosen = append(chosen, j)
	}
	return chosen, nil
}

// What bench/limit/client.c takes.
const (
	mostDepth  = 1024
	leastBytes = 8
	mostBytes  = 1 << 20
)

func allJobs() (names []string) {
	for i := range jobs {
		names = append(names, jobs[i].name())
	}
	return names
}
