package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/bench/peers/echoes"
	"github.com/headrace/headrace/bench/peers/process"
)

// TestMain lets the servers and the load be this program too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == serveRole || os.Args[1] == loadRole) {
		main()
		return
	}
	os.Exit(m.Run())
}

// Every server in C and Go does small jobs of every kind that it is said to do, and the
// report has them all.
func TestEveryServerDoesEveryJob(t *testing.T) {
	t.Setenv("GORACE", "atexit_sleep_ms=0") // servers under the race detector wait a second before they end
	f, _, err := gather(nil, 4)
	if err != nil {
		t.Skip(err) // there is no C compiler
	}
	defer f.close()
	p := &plan{rounds: 1, per: 200 * time.Millisecond, text: filepath.Join(t.TempDir(), "r.md"), plot: t.TempDir(), json: filepath.Join(t.TempDir(), "r.json")}
	p.jobs = []job{
		{Kind: kindEcho, Conns: 3, Depth: 2, Bytes: 1024, ToRaw: 1, ToBest: 1},
		{Kind: kindEcho, Conns: 2, Depth: 1, Bytes: 1024, Text: ascii},
		{Kind: kindEcho, Conns: 2, Depth: 1, Bytes: 1024, Text: korean},
		{Kind: kindEcho, Conns: 2, Depth: 1, Bytes: 100, TLS: true},
		{Kind: kindEcho, Conns: 2, Depth: 2, Bytes: 1024, JSON: true, Way: echoes.Single},
		{Kind: kindEcho, Conns: 2, Depth: 1, Bytes: 1024, JSON: true, Way: echoes.Takeover},
		{Kind: kindShakes},
	}
	r := newReport(p, f, process.NoCores)
	for i := range p.jobs {
		j := &p.jobs[i]
		if err := p.compete(r, f, j, process.NoCores); err != nil {
			t.Fatal(err)
		}
		res := r.Jobs[i]
		for name, why := range res.Failed {
			t.Errorf("%s: %s: %s", j.name(), name, why)
		}
		for k := range f.all {
			c := &f.all[k]
			s := res.of(c.name)
			if (s != nil) != c.does(j) {
				t.Errorf("%s: %s: it does it: %v, and has: %v", j.name(), c.name, c.does(j), s != nil)
			}
			if s != nil && (s.Median.Messages == 0 || s.Median.ServerCPU <= 0) {
				t.Errorf("%s: %s: %+v", j.name(), c.name, s.Median)
			}
		}
		if us := res.of(ours); us == nil || us.ToBest <= 0 || j.Kind == kindEcho && !j.TLS && !j.deflates() && us.ToRaw <= 0 {
			t.Errorf("%s: Headrace stands at %+v", j.name(), us)
		}
	}
	if err := p.write(r); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(p.text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.jobs {
		if !strings.Contains(string(b), "## "+p.jobs[i].title()) {
			t.Errorf("the report lacks %q", p.jobs[i].title())
		}
	}
}

func TestRatiosAreWithinRounds(t *testing.T) {
	r := &jobResult{}
	raw, us, other := &contender{name: rawName, of: familyC}, &contender{name: ours, of: familyGo}, &contender{name: "gws", of: familyGo}
	for _, slow := range []float64{1, 10, 2} { // the machine is slower in some rounds
		r.add(raw, figuresOf{ServerCPU: 100 * slow})
		r.add(us, figuresOf{ServerCPU: 110 * slow})
		r.add(other, figuresOf{ServerCPU: 220 * slow})
	}
	r.sum()
	if s := r.of(ours); s.ToRaw < 1.099 || s.ToRaw > 1.101 || s.ToBest != 0.5 || r.Best != "gws" {
		t.Errorf("%+v, best %q", s, r.Best)
	}
}

func TestJobsByName(t *testing.T) {
	if _, err := choose([]string{"1000:1:20", "nonsense"}); err == nil || !strings.Contains(err.Error(), "memory-wss") {
		t.Errorf("an unknown job: %v", err)
	}
	for _, name := range []string{"7:2000:20", "0:1:20", "1:1:7", "1:1:20x", "-1:1:20"} {
		if _, err := choose([]string{name}); err == nil {
			t.Errorf("%s is a job", name)
		}
	}
	if own, err := choose([]string{"15000:1:20"}); err != nil || own[0].Conns != 15_000 {
		t.Errorf("a job of one's own: %+v, %v", own, err)
	}
	all, err := choose(allJobs())
	if err != nil || len(all) != len(jobs) {
		t.Errorf("%d of %d jobs by their names: %v", len(all), len(jobs), err)
	}
}

// What a run has not measured stays as an earlier one has written it, and the report says
// whose it is.
func TestKeepEarlierFigures(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	earlier := &report{Command: "make first", Rounds: 5, Per: 2, Seconds: 60, Jobs: []*jobResult{{Name: "a", Title: "old"}, {Name: "b", Title: "old"}}, Fanout: &fanReport{"old"}}
	if err := (&plan{json: file}).write(earlier); err != nil {
		t.Fatal(err)
	}
	now := &report{Command: "make second", Rounds: 1, Per: 1, Seconds: 6, Jobs: []*jobResult{{Name: "c", Title: "new"}, {Name: "b", Title: "new"}}}
	if err := now.keep(file); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, j := range now.Jobs {
		got = append(got, j.Name+" "+j.Title)
	}
	if want := []string{"a old", "b new", "c new"}; !slices.Equal(got, want) || now.Fanout.Text != "old" || now.Seconds != 66 || now.Rounds != 1 {
		t.Errorf("%v, want %v; %+v", got, want, now)
	}
	if len(now.Earlier) != 1 || !strings.Contains(now.Earlier[0], "make first") {
		t.Errorf("earlier: %q", now.Earlier)
	}
	if err := (&report{}).keep(file + "x"); err == nil {
		t.Error("a file that is not there is kept")
	}
}
