package report

import (
	"encoding/json"
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/headrace/headrace/bench"
)

func pageOf(t *testing.T, r *bench.Result) string {
	t.Helper()
	var b strings.Builder
	if err := WriteHTML(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What could make a browser ask somebody for something.
var fetches = regexp.MustCompile(`(?i)(?:\b(?:src|href|action|poster|srcset)\s*=\s*["']?|@import|url\(\s*["']?|\bfetch\(|\bimport\s*\(|new\s+(?:WebSocket|EventSource|XMLHttpRequest|Image|Worker))[^\s"'>)]*`)

func TestPageNeedsNothingElse(t *testing.T) {
	for _, found := range fetches.FindAllString(pageOf(t, sample(noon, 3)), -1) {
		if found != `href="data:,` {
			t.Errorf("the page asks for %q", found)
		}
	}
	if !strings.Contains(pageOf(t, sample(noon, 3)), uPlotLicence) {
		t.Error("the page has uPlot without its licence")
	}
}

var (
	policies = regexp.MustCompile(`http-equiv="Content-Security-Policy" content="([^"]*)"`)
	scripts  = regexp.MustCompile(`(?s)<script([^>]*)>(.*?)</script>`)
)

func TestPageAllowsItsOwnScriptsOnly(t *testing.T) {
	text := pageOf(t, sample(noon, 3))
	policy := html.UnescapeString(policies.FindStringSubmatch(text)[1])
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %s", policy)
	}
	runs := 0
	for _, s := range scripts.FindAllStringSubmatch(text, -1) {
		if s[1] == "" {
			runs++
			if !strings.Contains(policy, digest(s[2])) {
				t.Errorf("a script is not in the policy: %.60q", s[2])
			}
		}
	}
	if runs != 2 {
		t.Errorf("%d scripts", runs)
	}
}

func TestPageKeepsHostileTextText(t *testing.T) {
	const evil = `</script></title><script>alert(1)</script><img src=x onerror=alert(2)>"'`
	r := sample(noon, 3)
	r.URL, r.Job, r.Sizes, r.Machine.Kernel = "ws://"+evil, evil, evil, evil
	r.Refused, r.Ended = map[string]uint64{evil: 1}, map[string]uint64{evil: 1}
	r.Doubts = []string{evil}
	r.Tables = []bench.Table{{Title: evil, Columns: []string{evil}, Rows: [][]string{{evil}}}}
	r.Plots = []bench.Plot{{Title: evil, X: evil, Y: evil, Lines: []bench.Line{{Name: evil, X: []float64{1, 2}, Y: []float64{2, 1}}}}}
	text := pageOf(t, r)
	if strings.Contains(text, "<img") || strings.Contains(text, "<script>alert") || strings.Count(text, "<title>") != 1 {
		t.Error("text has become markup")
	}
	found := false
	for _, s := range scripts.FindAllStringSubmatch(text, -1) {
		if s[1] == "" {
			continue
		}
		var d drawing
		if err := json.Unmarshal([]byte(s[2]), &d); err != nil {
			t.Errorf("the figures of a plot: %v in %.80q", err, s[2])
		}
		found = found || d.Kind == "plain" && d.Lines[0].Name == evil
	}
	if !found {
		t.Error("the job's plot is missing")
	}
}

func TestPageSaysWhatIsDoubtful(t *testing.T) {
	r := sample(noon, 3)
	if text := pageOf(t, r); !strings.Contains(text, "No doubts") || strings.Contains(text, "DOUBTFUL") {
		t.Error("there are doubts, or it is not said that there are none")
	}
	r.Doubts = []string{"the client was busy"}
	if text := pageOf(t, r); strings.Contains(text, "No doubts") || !strings.Contains(text, "DOUBTFUL") || !strings.Contains(text, "the client was busy") {
		t.Error("there are no doubts")
	}
}

// A job without messages, and one that has measured nothing at all, have pages too.
func TestPageOfLittle(t *testing.T) {
	r := sample(noon, 3)
	r.Counts, r.Latency, r.Lag, r.Rate = bench.Counts{}, bench.Histogram{}, bench.Histogram{}, 0
	if text := pageOf(t, r); !strings.Contains(text, "p99 handshake") || strings.Contains(text, "Throughput") {
		t.Error("the figures of the handshakes are not the headline")
	}
	if text := pageOf(t, &bench.Result{}); !strings.Contains(text, "Errors") {
		t.Error("no page")
	}
}

// The client's part in the slowest messages is told beside them.
func TestPageTellsSendLag(t *testing.T) {
	r := sample(noon, 3)
	if strings.Contains(pageOf(t, r), "send lag 5") {
		t.Error("a client in time is told to be late")
	}
	_ = r.Lag.RecordValue(5e6)
	_ = r.Latency.RecordValue(6e6)
	if !strings.Contains(pageOf(t, r), ">send lag 5") {
		t.Error("it is not told that the slowest message was sent late")
	}
}

// What a job has found and what has failed stand at the top, and nothing is called good
// that has failed.
func TestPageTellsWhatWasFound(t *testing.T) {
	r := sample(noon, 3)
	r.Failed, r.Findings = []string{"p99>1ms: it is 2ms"}, []string{"p99<20ms is kept at 400 messages/s"}
	r.Summary = &bench.Summary{Lines: []string{"held for 3 s", "", "dropped     none: all 10 were open"}, Latency: "ping", Lag: "ping lag"}
	text := pageOf(t, r)
	for _, want := range []string{`<h2 id="failed">FAILED`, "it is 2ms", "kept at 400", "<dt>Dropped</dt><dd>none: all 10 were open</dd>", "Ping by percentile", "held for 3 s"} {
		if !strings.Contains(html.UnescapeString(text), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(text, "No doubts") {
		t.Error("what has failed is called good")
	}
}

// titles are those of the plots, of the tiles and of the tables, in their order.
func titles(r *bench.Result) string {
	var all []string
	of := view{r}
	for _, c := range of.charts() {
		all = append(all, c.Title)
	}
	for _, t := range of.tiles() {
		all = append(all, t.Name)
	}
	for _, t := range of.tables() {
		all = append(all, t.Title)
	}
	return strings.Join(all, "|")
}

func TestPageOfJobs(t *testing.T) {
	own := bench.Plot{Title: "Connections over time", X: "seconds", Lines: []bench.Line{{Name: "open", X: []float64{1, 2}, Y: []float64{1, 2}}}}
	for job, c := range map[string]struct {
		change   func(*bench.Result)
		has, not []string
	}{
		"storm": {func(r *bench.Result) {
			r.Storm, r.Plots, r.Summary = &bench.StormResult{PerSecond: 300, Asked: 10, Refused: 2}, []bench.Plot{own}, &bench.Summary{Latency: "echo", Lag: "start lag"}
		}, []string{"Opened", "p99 handshake", "Refused", "Handshake latency over time", "Echo by percentile"}, []string{"p99 latency", "Throughput", "Messages and connections"}},
		"idle": {func(r *bench.Result) {
			r.Idle, r.Plots, r.Summary = &bench.IdleResult{Left: 10, Memory: &bench.Memory{PerConn: 8000}}, []bench.Plot{own}, &bench.Summary{Latency: "ping", Lag: "ping lag"}
		}, []string{"Dropped", "Memory", "p99 ping", "Ping latency over time", "Pings over time"}, []string{"Throughput", "Errors"}},
		"compare": {func(r *bench.Result) {
			*r = bench.Result{Job: "compare", Compare: &bench.Compared{}, Findings: []string{"the same"}, Plots: []bench.Plot{own}}
		}, []string{"Connections over time"}, []string{"Errors", "Throughput", "by percentile", "Messages"}},
		"run": {func(r *bench.Result) {
			r.Phases, r.Plots = []bench.Phase{{Name: "a"}}, []bench.Plot{{Title: "messages asked for, sent and answered", Lines: own.Lines}}
		}, []string{"messages asked for", "Latency over time"}, []string{"Throughput over time", "Connections over time"}},
		"a second": {func(r *bench.Result) { r.Series = r.Series[:1] }, []string{"Latency by percentile"}, []string{"over time"}},
	} {
		r := sample(noon, 3)
		c.change(r)
		all := titles(r)
		for _, want := range c.has {
			if !strings.Contains(all, want) {
				t.Errorf("%s: no %s in %s", job, want, all)
			}
		}
		for _, no := range c.not {
			if strings.Contains(all, no) {
				t.Errorf("%s: %s in %s", job, no, all)
			}
		}
		if n := strings.Count(all, "Connections over time"); n > 1 {
			t.Errorf("%s: %d plots of connections", job, n)
		}
		_ = pageOf(t, r)
	}
}
