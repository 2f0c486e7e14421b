package bench

import (
	"strings"
	"testing"
	"time"
)

// resultOf is a result with latencies of 1, 2, … n milliseconds, of which some more were
// sent and did not come back.
func resultOf(n, lost int) *Result {
	r := &Result{Conns: 10, Seconds: 1, Latency: Histogram{newHistogram()}, Lag: Histogram{newHistogram()}}
	for i := range n {
		record(r.Latency.Histogram, time.Duration(i+1)*time.Millisecond)
	}
	r.Counts = Counts{Sent: uint64(n + lost), Received: uint64(n), Lost: uint64(lost)}
	return r
}

func TestSLO(t *testing.T) {
	for _, c := range []struct {
		slo           string
		n, lost       int
		kept, isClose bool
		is            string
	}{
		{"p50<60ms", 100, 0, true, true, "p50 is 50"},
		{"p50<100ms", 100, 0, true, false, ""},
		{"p50<45ms", 100, 0, false, true, "p50 is 50"},
		{"p50<=20ms", 100, 0, false, false, ""},
		{"max<1s", 100, 0, true, false, "max is 100"},
		{"max<1s", 100, 1, false, false, "1 of 101 messages have not come back"},
		{"p99<90ms", 80, 0, true, true, ""},
		{"p90<90ms", 80, 20, false, false, "20 of 100"},
		{"p80<90ms", 80, 20, true, true, "p80 is 80"}, // the slowest that came back
		{"p99<1s", 0, 5, false, false, "nothing has come back"},
		{"errors=0", 100, 0, true, false, "errors is 0"},
		{"errors=0", 100, 2, false, true, "errors is 2"},
		{"errors<1", 100, 50, false, false, ""},
		{"lost<5%", 96, 4, true, false, "lost is 4%"},
		{"lost<0.1%", 90, 10, false, false, "lost is 10%"},
		{"dropped=0", 1, 0, true, false, ""},
	} {
		o, err := ParseSLO(c.slo)
		if err != nil {
			t.Fatal(err)
		}
		if kept, isClose, is := o.kept(resultOf(c.n, c.lost)); kept != c.kept || isClose != c.isClose || !strings.Contains(is, c.is) {
			t.Errorf("%s of %d and %d lost: %v, close %v, %q", c.slo, c.n, c.lost, kept, isClose, is)
		}
	}
	for text, wants := range map[string]string{
		"p99": "is like", "p99>10ms": "what must not be", "rate<5": "searched for", "p99=1ms": "less than", "p99<0s": "above 0",
		"p101<1s": "percentile", "p99<5": "no time", "p99<5%": "no time", "errors<few": "no number", "": "is like",
	} {
		if _, err := ParseSLO(text); err == nil || !strings.Contains(err.Error(), wants) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestThreshold(t *testing.T) {
	for text, crossed := range map[string]bool{
		"p50>10ms": true, "p50>60ms": false, "max>1s": false, "lost>1%": true, "lost>10%": false, "errors>4": false, "errors>=4": true,
		"rate<97": true, "rate<96": false, "errors=4": true, "refused>0": false,
	} {
		o, err := ParseThreshold(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, is := o.Crossed(resultOf(96, 4)); got != crossed {
			t.Errorf("%s: %v (%s)", text, got, is)
		}
	}
}

// Of echoes, what has not come back is slower than any limit.
func TestThresholdOnLatencyCountsLosses(t *testing.T) {
	for _, c := range []struct {
		text    string
		n, lost int
		crossed bool
		says    string
	}{
		{"p99>1s", 90, 10, true, "p99>1s: 10 of 100 messages have not come back"},
		{"p80>85ms", 90, 10, false, "it is 80"},
		{"p99>1s", 0, 5, true, "5 of 5"},
		{"p99<1s", 0, 5, false, "5 of 5"},
		{"p99>1s", 100, 0, false, "it is 99"},
		{"p99>1s", 0, 0, true, "not measured"},
	} {
		r := resultOf(c.n, c.lost)
		r.Job = "echo"
		limit, err := ParseThreshold(c.text)
		if err != nil {
			t.Fatal(err)
		}
		if crossed, is := limit.Crossed(r); crossed != c.crossed || !strings.Contains(is, c.says) {
			t.Errorf("%+v: %v, %q", c, crossed, is)
		}
	}
}

// What chance or the beginning of a loop has done is not doubted, and what is said has
// digits that say something.
func TestDoubtsOfTheRate(t *testing.T) {
	for _, c := range []struct {
		rate     float64
		sent     int
		byChance bool
		doubt    string
	}{
		{40, 39, true, ""},
		{40, 39, false, ""},
		{40, 22, true, ""},
		{40, 20, true, "20 of 40 messages a second"},
		{40, 37, false, "37 of 40 messages a second"},
		{10_000, 9_750, true, ""},
		{10_000, 9_750, false, "9750 of 10000 messages"},
	} {
		r := resultOf(c.sent, 0)
		r.Rate, r.byChance, r.Client.Loops = c.rate, c.byChance, 1
		r.doubt()
		if said := strings.Join(r.Doubts, "\n"); (said == "") != (c.doubt == "") || !strings.Contains(said, c.doubt) {
			t.Errorf("%+v: %q", c, said)
		}
	}
	r := resultOf(0, 0)
	r.Rate, r.Seconds = 0.1, 100
	r.Handshake = Histogram{newHistogram()}
	record(r.Lag.Histogram, time.Second)
	r.doubt()
	said := strings.Join(r.Doubts, "\n")
	if !strings.Contains(said, "0 of 0.1 messages a second") || strings.Contains(said, "p99 of 0s") || !strings.Contains(said, "nothing came back") {
		t.Errorf("%q", said)
	}
}
