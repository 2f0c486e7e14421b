package bench

import (
	"strings"
	"testing"
	"time"
)

// acted gives the result of a scenario with two phases and a condition for each: the first
// has so many errors and takes that long, the other has none.
func acted(at time.Time, lost uint64, took time.Duration) *Result {
	h := Histogram{newHistogram()}
	for range 1000 {
		record(h.Histogram, took)
	}
	r := sample(at, 10)
	r.Job, r.Seed = "run", 7
	r.Counts.Lost, r.Unasked = lost, 2
	r.FailIf = []string{"errors>100"}
	r.Phases = []Phase{
		{
			Name: "ramp", To: 5, Asked: 200, Counts: Counts{Sent: 1000, Lost: lost}, Latency: h, FailIf: []string{"lost>5", "p99>15ms"},
			Conns: 10, Opened: 10, Refused: 1, Disturbed: 3, Slow: 1, Resets: 2, Reconnects: 3,
		},
		{Name: "hold", From: 5, To: 10, Counts: Counts{Sent: 10}, Latency: h, FailIf: []string{"errors>0"}},
	}
	r.Kinds = []Kind{{Name: "ping", Counts: Counts{Sent: 1010, Lost: lost}, Latency: h, Disturbed: 3}}
	r.Disturbed = &OwnDoing{Counts: Counts{Lost: 3}, Ended: map[string]uint64{"reset": 1}}
	r.Tables = append(r.scenarioTables(), Table{Title: "of another kind"})
	r.judge()
	return r
}

func TestMergeScenarios(t *testing.T) {
	// Neither part has lost more than 5 messages of a phase, both together have; one is
	// slow, and so are they together.
	a, b := acted(noon, 4, 10*time.Millisecond), acted(noon.Add(time.Millisecond), 3, 20*time.Millisecond)
	if len(a.Failed) != 0 || len(b.Failed) != 1 {
		t.Fatalf("of the parts have failed: %q and %q", a.Failed, b.Failed)
	}
	sum, err := Merge([]Part{{"a", clone(t, a)}, {"b", clone(t, b)}})
	if err != nil {
		t.Fatal(err)
	}
	p := sum.Phases
	if len(p) != 2 || p[0].Asked != 400 || p[0].Counts.Sent != 2000 || p[0].Counts.Lost != 7 || p[0].Latency.TotalCount() != 2000 || p[0].To != 5 || p[1].From != 5 {
		t.Errorf("phases: %+v", p)
	}
	if p[0].Conns != 20 || p[0].Opened != 20 || p[0].Refused != 2 || p[0].Disturbed != 6 || p[0].Slow != 2 || p[0].Resets != 4 || p[0].Reconnects != 6 {
		t.Errorf("connections of the first phase: %+v", p[0])
	}
	if k := sum.Kinds; len(k) != 1 || k[0].Counts.Sent != 2020 || k[0].Latency.TotalCount() != 2000 || k[0].Disturbed != 6 {
		t.Errorf("kinds: %+v", k)
	}
	if sum.Disturbed.Counts.Lost != 6 || sum.Disturbed.Ended["reset"] != 2 || sum.Unasked != 4 || a.Disturbed.Ended["reset"] != 1 {
		t.Errorf("disturbed: %+v, unasked %d", sum.Disturbed, sum.Unasked)
	}
	if got := strings.Join(sum.Failed, "; "); got != "phase ramp: lost>5: it is 7; phase ramp: p99>15ms: it is 20ms" {
		t.Errorf("failed: %s", got)
	}
	var titles []string
	for _, table := range sum.Tables {
		titles = append(titles, table.Title)
	}
	if got := strings.Join(titles, "; "); got != "parts; phases (seed 7); messages; "+disturbedTitle+"; a: of another kind; b: of another kind" {
		t.Errorf("tables: %s", got)
	}
	if row := sum.Tables[1].Rows[0]; row[0] != "ramp" || row[2] != "400" || row[3] != "400" {
		t.Errorf("the first phase is %q", row)
	}
	if len(sum.Doubts) != 0 {
		t.Errorf("doubts: %q", sum.Doubts)
	}
}

// A merged scenario can be merged with one more part.
func TestMergeScenariosAgain(t *testing.T) {
	some, err := Merge([]Part{{"a", acted(noon, 1, time.Millisecond)}, {"b", acted(noon.Add(time.Millisecond), 1, time.Millisecond)}})
	if err != nil {
		t.Fatal(err)
	}
	sum, err := Merge([]Part{{"ab", clone(t, some)}, {"c", acted(noon.Add(2*time.Millisecond), 4, time.Millisecond)}})
	if err != nil {
		t.Fatal(err)
	}
	if p := sum.Phases[0]; p.Counts.Sent != 3000 || p.Latency.TotalCount() != 3000 || len(sum.Failed) != 1 {
		t.Errorf("%+v, failed %q", p, sum.Failed)
	}
}

// What is not the same scenario stays apart, with what was judged of each part.
func TestMergeDifferentScenarios(t *testing.T) {
	for name, change := range map[string]func(*Result){
		"another name":      func(r *Result) { r.Phases[1].Name = "spike" },
		"another time":      func(r *Result) { r.Phases[1].From = 3 },
		"one phase less":    func(r *Result) { r.Phases = r.Phases[:1] },
		"another kind":      func(r *Result) { r.Kinds[0].Name = "pong" },
		"another condition": func(r *Result) { r.Phases[0].FailIf = r.Phases[0].FailIf[:1] },
		"another whole":     func(r *Result) { r.FailIf = nil },
	} {
		a, b := acted(noon, 6, time.Millisecond), acted(noon.Add(time.Millisecond), 0, time.Millisecond)
		change(b)
		sum, err := Merge([]Part{{"a", a}, {"b", b}})
		if err != nil {
			t.Fatal(err)
		}
		if len(sum.Phases)+len(sum.Kinds) != 0 || sum.Seed != 0 || len(sum.Failed) != 1 || sum.Failed[0] != "a: phase ramp: lost>5: it is 6" {
			t.Errorf("%s: %+v, failed %q", name, sum.Phases, sum.Failed)
		}
		if len(sum.Tables) != 9 || sum.Tables[1].Title != "a: phases (seed 7)" || len(sum.Doubts) != 1 || !strings.Contains(sum.Doubts[0], "same phases") {
			t.Errorf("%s: %d tables, doubts %q", name, len(sum.Tables), sum.Doubts)
		}
	}
}

// A result of before, which does not say what its conditions were, keeps what failed.
func TestMergeScenariosWithoutConditions(t *testing.T) {
	a, b := acted(noon, 6, time.Millisecond), acted(noon.Add(time.Millisecond), 0, time.Millisecond)
	for _, r := range []*Result{a, b} {
		r.FailIf, r.Phases[0].FailIf, r.Phases[1].FailIf = nil, nil, nil
	}
	sum, err := Merge([]Part{{"a", a}, {"b", b}})
	if err != nil || len(sum.Phases) != 2 || len(sum.Failed) != 1 || sum.Failed[0] != "a: phase ramp: lost>5: it is 6" {
		t.Errorf("%v, failed %q", err, sum.Failed)
	}
}
