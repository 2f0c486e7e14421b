package report

import (
	"io"
	"strings"
	"testing"

	"github.com/headrace/headrace/bench"
)

func TestDiff(t *testing.T) {
	a, b := sample(noon, 10), sample(noon, 10)
	same := Diff{"a.json", "b.json", a, b}
	if differ := same.Settings(); len(differ) != 0 {
		t.Errorf("the same differ: %q", differ)
	}
	b.Rate, b.Sizes, b.Conns, b.Machine.Kernel, b.Seconds = 50, "30", 11, "other", 5
	b.Server, b.Doubts = nil, []string{"too slow"}
	var out strings.Builder
	if err := same.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"DIFFERENT: rate: 100 and 50", "DIFFERENT: sizes: 20 and 30", "DIFFERENT: connections: 10 and 11", "DIFFERENT: kernel",
		"DIFFERENT: counted: 10s and 5s", "DOUBTFUL in b: too slow", "a.json", "wsbench compare", "2.00", "server cpu",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
}

func TestRegressions(t *testing.T) {
	slower := func(r *bench.Result) {
		for range 30 {
			_ = r.Latency.RecordValue(60e6)
		}
	}
	for _, c := range []struct {
		text    string
		change  func(*bench.Result)
		crossed bool
	}{
		{"p99>+10%", func(*bench.Result) {}, false},
		{"p99>+10%", slower, true},
		{"p99>+10000%", slower, false},
		{"rate<-5%", func(r *bench.Result) { r.Counts.Received = 900 }, true},
		{"rate<-5%", func(r *bench.Result) { r.Counts.Received = 960 }, false},
		{"errors>+0", func(r *bench.Result) { r.Counts.Lost = 1 }, true},
		{"errors>+1", func(r *bench.Result) { r.Counts.Lost = 1 }, false},
		{"server-cpu>+20%", func(r *bench.Result) { r.Server.MicrosPerMessage *= 1.3 }, true},
		{"server-memory > +20 %", func(r *bench.Result) { r.Server.Memory *= 2 }, true},
		{"client-cpu<-20%", func(r *bench.Result) { r.Client.Cores /= 2 }, true},
	} {
		r, err := ParseRegression(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		a, b := sample(noon, 10), sample(noon, 10)
		c.change(b)
		if crossed, is, err := r.Crossed(&Diff{"a", "b", a, b}); err != nil || crossed != c.crossed || !strings.Contains(is, "it was") {
			t.Errorf("%s: %v %s %v, want %v", c.text, crossed, is, err, c.crossed)
		}
	}
	for _, bad := range []string{"", "p99>10ms", "p99>10%", "p99>+10", "p98>+10%", "rate<-5.5.5%", "p99=+1%"} {
		if _, err := ParseRegression(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	r, _ := ParseRegression("server-cpu>+1%")
	a := sample(noon, 1)
	a.Server = nil
	if _, _, err := r.Crossed(&Diff{"a", "b", a, sample(noon, 1)}); err == nil {
		t.Error("a server that was not looked at was compared")
	}
}

func TestDiffOfJobs(t *testing.T) {
	of := func(change func(*bench.Result)) *bench.Result {
		r := sample(noon, 10)
		change(r)
		return r
	}
	for job, c := range map[string]struct {
		change func(*bench.Result)
		want   []string
		not    string
	}{
		"storm": {func(r *bench.Result) {
			r.Storm, r.Summary, r.Counts.Received = &bench.StormResult{PerSecond: 500}, &bench.Summary{Latency: "echo"}, 0
		}, []string{"opened", "500.0 /s", "handshake p50", "handshake p99", "refused", "p99 echo"}, "us/message"},
		"idle": {func(r *bench.Result) {
			r.Idle, r.Summary = &bench.IdleResult{Memory: &bench.Memory{PerConn: 4321}}, &bench.Summary{Latency: "ping"}
		}, []string{"server memory per connection", "4321 B", "p50 ping"}, "\n  rate"},
		"fanout": {func(r *bench.Result) {
			r.Fanout = &bench.FanoutResult{First: r.Latency, Median: r.Latency, Last: r.Latency, Gaps: 3}
		}, []string{"first p99", "median p99", "last p99", "gaps", "rate"}, "opened"},
	} {
		var out strings.Builder
		if err := (&Diff{"a", "b", of(c.change), of(c.change)}).WriteText(&out); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is missing in\n%s", job, want, &out)
			}
		}
		if strings.Contains(out.String(), c.not) {
			t.Errorf("%s: %q in\n%s", job, c.not, &out)
		}
	}
	for want, change := range map[string]func(*bench.Result){
		"different jobs: echo and idle": func(r *bench.Result) { r.Job = "idle" },
	} {
		if err := (&Diff{"a", "b", sample(noon, 1), of(change)}).WriteText(io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	compared := of(func(r *bench.Result) { r.Job, r.Compare = "compare", &bench.Compared{} })
	if err := (&Diff{"a", "b", compared, compared}).WriteText(io.Discard); err == nil || !strings.Contains(err.Error(), "results of compare are not for diff") {
		t.Errorf("two comparisons: %v", err)
	}
}
