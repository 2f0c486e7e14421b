package bench

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// clone gives a result that shares nothing.
func clone(t *testing.T, r *Result) *Result {
	t.Helper()
	back, err := ReadResult(bytes.NewReader(encode(t, r)))
	if err != nil {
		t.Fatal(err)
	}
	return back
}

func TestMerge(t *testing.T) {
	a, b := sample(noon, 10), sample(noon.Add(300*time.Millisecond), 10)
	b.Doubts = []string{"the client was busy"}
	b.Tables = []Table{{Title: "topics", Columns: []string{"a"}}}
	b.Refused["answered with 503"] = 4
	sum, err := Merge([]Part{{"a.json", clone(t, a)}, {"b.json", clone(t, b)}})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Counts.Sent != 2000 || sum.Rate != 200 || sum.Conns != 20 || sum.Latency.TotalCount() != 2000 || sum.Handshake.TotalCount() != 20 || sum.Throughput() != 200 {
		t.Errorf("counts: %+v, %v/s, %d latencies", sum.Counts, sum.Throughput(), sum.Latency.TotalCount())
	}
	if sum.Refused["no route"] != 4 || sum.Refused["answered with 503"] != 4 || sum.Ended["closed with 1013 slow"] != 2 {
		t.Errorf("reasons: %v, %v", sum.Refused, sum.Ended)
	}
	if len(sum.Doubts) != 1 || sum.Doubts[0] != "b.json: the client was busy" {
		t.Errorf("doubts: %q", sum.Doubts)
	}
	if len(sum.Tables) != 2 || len(sum.Tables[0].Rows) != 2 || sum.Tables[1].Title != "b.json: topics" {
		t.Errorf("tables: %+v", sum.Tables)
	}
	if sum.Client.Cores != 1 || sum.Server.Cores != 0.25 || sum.Server.MicrosPerMessage != 1250 || sum.Server.MemoryPerConn != 1e6 {
		t.Errorf("use: %+v, %+v: the one server has served both", sum.Client, sum.Server)
	}
	if !sum.Counted.Equal(a.Counted) {
		t.Errorf("it counts since %v", sum.Counted)
	}
	// Second 0 has all of a and 0.7 of b, second 10 the last 0.3 of b.
	s := sum.Series
	if len(s) != 11 || s[0].Sent != 170 || s[5].Sent != 200 || s[10].Sent != 30 || s[5].Conns != 20 || s[10].Conns != 10 || s[5].Max != 6 || s[5].P50 != 1 {
		t.Errorf("series: %+v", s)
	}
	if _, err := json.Marshal(sum); err != nil {
		t.Error(err)
	}
}

func TestMergeLosesNothingToRounding(t *testing.T) {
	r := sample(noon, 20)
	for i := range r.Series {
		r.Series[i].At, r.Series[i].Seconds = float64(i+1)*1.037, 1.037
	}
	r.Seconds = 20 * 1.037
	other := clone(t, r)
	other.Counted = other.Counted.Add(777 * time.Millisecond)
	other.Started = other.Started.Add(time.Millisecond)
	sum, err := Merge([]Part{{"a", r}, {"b", other}})
	if err != nil {
		t.Fatal(err)
	}
	var sent uint64
	var long float64
	for _, p := range sum.Series {
		sent += p.Sent
		long += p.Seconds
	}
	if last := sum.Series[len(sum.Series)-1].At; sent != 4000 || long < last-1e-6 || long > last+1e-6 {
		t.Errorf("%d messages in %v seconds until %v", sent, long, last)
	}
}

func TestMergeRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Result)
		want   string
	}{
		"another job":     {func(r *Result) { r.Job = "idle" }, "the job is echo in a and idle in b"},
		"another version": {func(r *Result) { r.Machine.Version = "v9" }, "version"},
		"another loop":    {func(r *Result) { r.Rate = 0 }, "open loop"},
		"another time":    {func(r *Result) { r.Counted = r.Counted.Add(time.Hour) }, "--start-at"},
		"the same":        {func(*Result) {}, "the same part"},
	} {
		a := sample(noon, 2)
		b := clone(t, a)
		if name != "the same" {
			b.Started = b.Started.Add(time.Millisecond)
		}
		c.change(b)
		if _, err := Merge([]Part{{"a", a}, {"b", b}}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Merge([]Part{{"a", sample(noon, 1)}}); err == nil {
		t.Error("one part was merged")
	}
}

func TestMergeDoubts(t *testing.T) {
	a, b := sample(noon, 10), sample(noon.Add(4*time.Second), 10)
	b.Sizes = "4000"
	sum, err := Merge([]Part{{"a", a}, {"b", b}})
	if err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(sum.Doubts, "\n"); !strings.Contains(all, "together for 6s of 10s") || !strings.Contains(all, "20 and 4000") {
		t.Errorf("doubts:\n%s", all)
	}
}

func TestThin(t *testing.T) {
	r := sample(noon, 100)
	some := Thin(r.Series, 30)
	if len(some) != 25 || some[0].Sent != 400 || some[0].Max != 4 || some[24].At != 100 || some[0].Seconds != 4 {
		t.Errorf("%d points: %+v", len(some), some[0])
	}
}

func TestMergeKnowsItsParts(t *testing.T) {
	a, b := sample(noon, 10), sample(noon.Add(300*time.Millisecond), 10)
	b.URL, b.Failed, b.Interrupted = "ws://127.0.0.1:2/", []string{"p99>1ms: it is 2ms"}, true
	sum, err := Merge([]Part{{"a.json", a}, {"b.json", b}})
	if err != nil {
		t.Fatal(err)
	}
	if len(sum.Parts) != 2 || sum.Parts[1].Name != "b.json" || !sum.Interrupted || len(sum.Failed) != 1 {
		t.Errorf("parts %+v, interrupted %v, failed %q", sum.Parts, sum.Interrupted, sum.Failed)
	}
	if all := strings.Join(sum.Doubts, "\n"); !strings.Contains(all, "different URLs") {
		t.Errorf("doubts:\n%s", all)
	}
	_, err = Merge([]Part{{"all.json", clone(t, sum)}, {"b.json", b}})
	if err == nil || !strings.Contains(err.Error(), "all.json and b.json both hold b.json") {
		t.Errorf("a part was merged twice: %v", err)
	}
	for _, job := range []string{"idle", "storm", "search", "compare"} {
		a.Job, b.Job = job, job
		if _, err := Merge([]Part{{"a", a}, {"b", b}}); err == nil || !strings.Contains(err.Error(), "results of "+job+" cannot be merged") {
			t.Errorf("%s: %v", job, err)
		}
	}
}

func TestMergeFanouts(t *testing.T) {
	parts := make([]Part, 2)
	for i := range parts {
		r := sample(noon.Add(time.Duration(i)*time.Millisecond), 10)
		h := func(d time.Duration) Histogram {
			h := Histogram{newHistogram()}
			record(h.Histogram, d)
			return h
		}
		last := time.Duration(i+1) * time.Second
		r.Job = "fanout"
		r.Fanout = &FanoutResult{
			Preset: "echo", Subscribers: 5, Publishers: 1, Rooms: 1, Complete: 900, Expected: 1000, Gaps: 7,
			First: h(time.Millisecond), Median: h(time.Millisecond), Last: h(last), Skew: h(last),
			Slowest: []Subscriber{{Number: i, P99: float64(i)}},
		}
		parts[i] = Part{string(rune('a' + i)), r}
	}
	sum, err := Merge(parts)
	if err != nil {
		t.Fatal(err)
	}
	f := sum.Fanout
	if f == nil || f.Gaps != 14 || f.Complete != 1800 || f.Last.TotalCount() != 2 || Round(f.Last.At(100)) != 2*time.Second || f.Slowest[0].Number != 1 {
		t.Errorf("%+v", f)
	}
}
