package bench

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/bench/host"
	"github.com/headrace/headrace/engine"
)

func TestTurns(t *testing.T) {
	starts := map[int]int{}
	for seed := range uint64(200) {
		all := turns(seed, 9)
		if !slices.Equal(all, turns(seed, 9)) {
			t.Fatal("a seed gives another order")
		}
		first := 0
		for i, turn := range all {
			if turn[0]+turn[1] != 1 {
				t.Fatalf("a round is %v", turn)
			}
			if i%2 == 1 && turn[0] == all[i-1][0] {
				t.Errorf("seed %d: rounds %d and %d begin with the same side", seed, i-1, i)
			}
			first += turn[0]
		}
		starts[all[0][0]]++
		if first < 4 || first > 5 {
			t.Errorf("seed %d: B is the first in %d of 9 rounds", seed, first)
		}
	}
	if starts[0] < 60 || starts[1] < 60 {
		t.Errorf("over all seeds, the first round begins with %v", starts)
	}
}

// roundsOf gives rounds in which B's CPU is so many times A's, and all else is equal.
func roundsOf(cpus ...float64) (all [][2]measured) {
	for i, v := range cpus {
		a := measured{throughput: 1000, median: 1 + float64(i), slowest: 5, cpu: 10 * float64(i+1)}
		b := a
		b[cpu] *= v
		all = append(all, [2]measured{a, b})
	}
	return all
}

func TestVerdicts(t *testing.T) {
	for says, cpus := range map[string][]float64{
		"B needs 0.82 times (0.79 to 0.86) the CPU for a message":                             {0.82, 0.86, 0.81, 0.79, 0.82, 0.84},
		"B needs 1.2 times (1.1 to 1.3, with a confidence of only 94%) the CPU for a message": {1.1, 1.2, 1.3, 1.2, 1.2},
		"CPU: no difference that 6 rounds could show (0.9 to 1.1)":                            {0.9, 0.95, 1.1, 0.99, 0.98, 0.9},
		"CPU: the same within half a percent":                                                 {1.001, 1.002, 0.999, 1.001, 1, 1.001},
		"B needs 0.5 times (0.4 to 0.6) the CPU for a message":                                {0.5, 0.4, 0.6, 0.5, 0.5, 0.5, 0.5, 9, 0.01},
		"CPU: no difference that 9 rounds could show (0.4 to 1.1)":                            {0.5, 0.4, 0.6, 0.5, 0.5, 1.1, 0.5, 9, 0.01},
		"B needs 1.01 times (1.01 to 1.02) the CPU for a message":                             {1.01, 1.015, 1.02, 1.01, 1.01, 1.01},
		"CPU: no difference that 7 rounds could show (0.99 to 1.2)":                           {0.99, 1.2, 1.2, 1.2, 1.2, 1.2, 1.2},
		"CPU: B/A is 1.1 to 1.2 in 4 rounds, which are too few to tell":                       {1.1, 1.2, 1.2, 1.1},
		"CPU: B/A is 0.9 to 1.2 in 2 rounds, which are too few to tell":                       {0.9, 1.2},
		"B needs 1e+03 times (1e+03 to 1.1e+03) the CPU for a message":                        {1000, 1100, 1000, 1000, 1000, 1000},
		"B needs 0.001 times (0.0009 to 0.0011) the CPU for a message":                        {0.001, 0.0009, 0.0011, 0.001, 0.001, 0.001},
		"B needs 1.25 times (1.2 to 1.3) the CPU for a message":                               {1.2, 1.3, 1.2, 1.3, 1.2, 1.3},
		"CPU: no difference that 8 rounds could show (0.8 to 1.3)":                            {0.8, 1.3, 1.2, 1.3, 1.2, 1.3, 1.2, 1.2},
		"B needs 1.3 times (1.2 to 1.4) the CPU for a message":                                {0.8, 1.3, 1.2, 1.3, 1.2, 1.3, 1.4, 1.4, 1.4},
		"CPU: no difference that 12 rounds could show (0.97 to 1.02)":                         {0.9, 1.1, 0.97, 1.02, 0.95, 1.05, 1, 1, 1, 1, 1, 1},
		"B needs 0.9 times (0.9 to 0.9) the CPU for a message":                                {0.9, 0.9, 0.9, 0.9, 0.9, 0.9},
		"CPU: no difference that 6 rounds could show (1 to 1.2)":                              {1, 1.1, 1.2, 1.1, 1.1, 1.1},
		"B needs 1.1 times (1.01 to 1.2) the CPU for a message":                               {1.01, 1.1, 1.2, 1.1, 1.1, 1.1},
	} {
		all := ratios(roundsOf(cpus...), true)
		if len(all) != 3 || all[2].What != "CPU" {
			t.Fatalf("%+v", all)
		}
		if got := all[2].Says(); got != says {
			t.Errorf("%v: %q, want %q", cpus, got, says)
		}
		if got := all[0].Says(); len(cpus) > 4 && !strings.HasPrefix(got, "p50: the same within half a percent") {
			t.Error(got)
		}
	}
	if all := ratios(roundsOf(1, 1), false); all[0].What != "throughput" || all[0].A != 1000 {
		t.Errorf("a closed loop: %+v", all)
	}
	unknown := roundsOf(1, 1)
	unknown[1][0][cpu] = 0
	if all := ratios(unknown, true); len(all) != 2 {
		t.Errorf("what one round does not know is compared: %+v", all)
	}
}

// quick is a short run.
func quick() Echo {
	return Echo{Sizes: Sizes{Min: 20, Max: 20}, Conns: 5, Rate: 200, Loops: 1, Warmup: 20 * time.Millisecond, Duration: 150 * time.Millisecond}
}

// opens is an echo that calls f for every connection.
func opens(t *testing.T, f func()) string {
	t.Helper()
	return serve(t, engine.Endpoint{Handler: engine.HandlerFuncs{Message: echoes, Open: func(*engine.Conn) { f() }}})
}

func TestCompareOfTwo(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var opened strings.Builder // the side, for every connection
	noting := func(side string) string {
		return opens(t, func() {
			mu.Lock()
			defer mu.Unlock()
			opened.WriteString(side)
		})
	}
	p := Compare{Echo: quick(), A: Side{URL: noting("A"), PID: os.Getpid()}, B: Side{URL: noting("B"), PID: os.Getpid()}, Rounds: 4, Seed: 5}
	r, err := p.Run(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "AAAAABBBBB" // the warm-up
	for i, turn := range turns(5, 4) {
		for _, side := range turn {
			want += strings.Repeat("AB"[side:side+1], 5)
		}
		if first := "AB"[turn[0] : turn[0]+1]; r.Compare.First[i] != first {
			t.Errorf("round %d began with %s: %v", i+1, first, r.Compare.First)
		}
	}
	if opened.String() != want {
		t.Errorf("it went %s, want %s", opened.String(), want)
	}
	if len(r.Compare.Ratios) != 3 || len(r.Findings) != 3 || len(r.Tables) != 3 || len(r.Tables[2].Rows) != 4 || len(r.Plots[0].Lines) != 3 {
		t.Errorf("%+v", r)
	}
	for _, x := range r.Compare.Ratios {
		if len(x.Rounds) != 4 || x.Low > x.Median || x.Median > x.High || x.A <= 0 || x.B <= 0 {
			t.Errorf("%+v", x)
		}
	}
	if !strings.HasPrefix(r.URL, "A ws://") {
		t.Errorf("it is of %s", r.URL)
	}
	var back Result
	if b, err := json.Marshal(r); err != nil || json.Unmarshal(b, &back) != nil || back.Compare.Ratios[0].Median != r.Compare.Ratios[0].Median {
		t.Errorf("%v: %+v", err, back.Compare)
	}
}

// family is how many processes there are of this one and what it has started.
func family(t *testing.T) int {
	t.Helper()
	self, err := host.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return len(self.Members())
}

// Two that listen at the same address are started one after the other, and ended.
func TestCompareStartsServers(t *testing.T) {
	t.Parallel()
	c, target := asProcess(t, "")
	c.Stop = 10 * time.Second
	p := Compare{Echo: quick(), A: Side{URL: target.URL, Command: c}, B: Side{URL: target.URL, Command: c}, Rounds: 2, Restart: true}
	before := family(t)
	r, err := p.Run(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.Compare.Ratios); n < 3 || r.Compare.Ratios[2].What != "CPU" {
		t.Errorf("%+v", r.Compare.Ratios)
	}
	if now := family(t); now != before {
		t.Errorf("%d processes of ours, and %d before", now, before)
	}
	// One that does not come up ends the other.
	p.Restart, p.Rounds = false, 2
	p.B = Side{URL: "ws://127.0.0.1:1/", Command: Command{Args: []string{"sh", "-c", "echo no >&2; exit 1"}}}
	if _, err := p.Run(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "B: \"sh\" ended before") || !strings.HasSuffix(err.Error(), "\n  no") {
		t.Errorf("%v", err)
	}
	if now := family(t); now != before {
		t.Errorf("%d processes of ours, and %d before", now, before)
	}
}

func TestCompareIsStopped(t *testing.T) {
	t.Parallel()
	for at, wants := range map[int32]string{21: "stopped after 1 rounds", 41: ""} { // in the second round, and the fourth
		ctx, cancel := context.WithCancel(context.Background())
		var n atomic.Int32
		url := opens(t, func() {
			if n.Add(1) == at {
				cancel()
			}
		})
		p := Compare{Echo: quick(), A: Side{URL: url}, B: Side{URL: url}, Rounds: 9, Seed: 1}
		r, err := p.Run(ctx, nil)
		switch {
		case wants != "" && (err == nil || !strings.Contains(err.Error(), wants)):
			t.Errorf("%v", err)
		case wants == "" && (err != nil || len(r.Compare.First) != 3 || !strings.Contains(strings.Join(r.Doubts, "\n"), "stopped after 3 rounds of 9")):
			t.Errorf("%v %+v", err, r)
		}
	}
}

// A round that fails is left out, and told; so is a side that answers nothing.
func TestCompareKeepsCompleteRounds(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	url := serve(t, engine.Endpoint{
		Handler: engine.HandlerFuncs{Message: echoes},
		Admit: func(*engine.Request) error {
			if i := n.Add(1); i > 20 && i <= 25 { // those of the first run of round 2
				return &engine.Refusal{Status: 503}
			}
			return nil
		},
	})
	p := Compare{Echo: quick(), A: Side{URL: url}, B: Side{URL: url}, Rounds: 4, Seed: 1}
	r, err := p.Run(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Failed) != 1 || !strings.Contains(r.Failed[0], "round 2 failed: ") || len(r.Compare.First) != 3 || r.Tables[2].Rows[1][0] != "3" || len(r.Doubts) > 0 && strings.Contains(r.Doubts[0], "stopped") {
		t.Errorf("%q, %+v, %v", r.Failed, r.Compare, r.Tables[2].Rows)
	}
	p.Rounds, p.B.URL, p.Echo.Grace = 2, serve(t, onMessage(func(*engine.Conn, engine.Op, []byte) {})), 50*time.Millisecond
	if r, err = p.Run(context.Background(), nil); err != nil || len(r.Failed) != 1 || !strings.Contains(r.Failed[0], "B has answered nothing") {
		t.Errorf("%v: %+v", err, r)
	}
}

func TestComparePlansAreChecked(t *testing.T) {
	started := Command{Args: []string{"x"}}
	for wants, spoil := range map[string]func(*Compare){
		"2 to 1000":      func(p *Compare) { p.Rounds = 1 },
		"no ws://":       func(p *Compare) { p.B.URL = "http://h/" },
		"one of both":    func(p *Compare) { p.A.Command, p.A.PID = started, 1 },
		"cannot be boun": func(p *Compare) { p.B.Command.CPUs = host.CPUs{0} },
		"started anew":   func(p *Compare) { p.Restart = true },
		"same address":   func(p *Compare) { p.B.URL, p.A.Command, p.B.Command = p.A.URL, started, started },
		"a duration":     func(p *Compare) { p.Echo.Duration = 0 },
	} {
		p := Compare{Echo: quick(), A: Side{URL: "ws://a/"}, B: Side{URL: "ws://b/"}, Rounds: 6}
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		spoil(&p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), wants) {
			t.Errorf("%s: %v", wants, err)
		}
	}
}
