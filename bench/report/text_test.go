package report

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/bench"
)

func textOf(t *testing.T, r *bench.Result) string {
	t.Helper()
	var b strings.Builder
	if err := WriteText(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestResultComesBack(t *testing.T) {
	r := sample(noon, 3)
	back, err := bench.ReadResult(bytes.NewReader(encode(t, r)))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := textOf(t, r), textOf(t, back); a != b || !back.Counted.Equal(r.Counted) {
		t.Errorf("it was\n%s\nand is\n%s", a, b)
	}
}

func TestConnectionsAreCountedOnce(t *testing.T) {
	r := sample(noon, 3)
	r.Conns, r.Refused = 12, map[string]uint64{"no route": 2}
	const want = "12 connections asked, 10 opened, 2 refused"
	if text := textOf(t, r); !strings.Contains(text, want) || !strings.Contains(pageOf(t, r), want) {
		t.Errorf("%q is missing in the page or in\n%s", want, text)
	}
}

// Nothing that was measured is not without errors.
func TestNothingIsNotFlawless(t *testing.T) {
	if text := textOf(t, empty()); strings.Contains(text, "errors      none") || !strings.Contains(text, "nothing was measured") {
		t.Error(text)
	}
}

func TestRatesHaveDigits(t *testing.T) {
	r := empty()
	r.Rate, r.Seconds = 0.1, 100
	if text := textOf(t, r); !strings.Contains(text, "open loop, 0.1 messages/s") {
		t.Error(text)
	}
}

// Of two servers there are no figures of one, and of a search that has found nothing in
// time there is a report too.
func TestTextOfJobs(t *testing.T) {
	compared := empty()
	compared.Job, compared.URL, compared.Compare = "compare", "A ws://a/, B ws://b/", &bench.Compared{}
	if text := textOf(t, compared); !strings.Contains(text, "compare A ws://") || strings.Contains(text, "messages  ") {
		t.Error(text)
	}
	searched := empty()
	searched.Job, searched.Search, searched.Failed = "search", &bench.Found{}, []string{"nothing was found within 600ms"}
	if text := textOf(t, searched); !strings.Contains(text, "FAILED: nothing was found") || !strings.Contains(pageOf(t, searched), "nothing was found") {
		t.Error(text)
	}
}

// Whatever can be read can be reported, merged and compared.
func FuzzReports(f *testing.F) {
	f.Add(encode(f, sample(noon, 2)))
	f.Add([]byte(`{"version":1,"job":""}`))
	f.Add([]byte(`{"version":1,"job":"x","series":[{"at":0.5,"seconds":0.5,"sent":18446744073709551615}],"seconds":1e-9,"rate":1e-300,"latency":null,"plots":[{"logY":true,"lines":[{"x":[3,1,1],"y":[1e308,-1,0]}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := bench.ReadResult(bytes.NewReader(b))
		if err != nil {
			return
		}
		other, _ := bench.ReadResult(bytes.NewReader(b))
		other.Started = other.Started.Add(time.Millisecond)
		if other.Counted.IsZero() {
			other.Counted = other.Started
		}
		other.Counted = other.Counted.Add(time.Millisecond)
		if err := (&Diff{"a", "b", r, other}).WriteText(io.Discard); err != nil && (&Diff{"a", "b", r, other}).Check() == nil {
			t.Error(err)
		}
		all := []*bench.Result{r}
		if sum, err := bench.Merge([]bench.Part{{Name: "a", Result: r}, {Name: "b", Result: other}}); err == nil {
			all = append(all, sum)
		}
		for _, r := range all {
			for _, write := range []func(io.Writer, *bench.Result) error{WriteText, WriteHTML, WriteCSV, WriteHgrm} {
				if err := write(io.Discard, r); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
