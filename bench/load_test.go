package bench

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

// sample is a result of so many seconds, each with 100 messages, the slowest of which
// took as many milliseconds as it is the how manieth second.
func sample(began time.Time, secs int) *Result {
	r := &Result{
		Version: resultVersion, Job: "echo", URL: "ws://127.0.0.1:1/", Started: began, Counted: began.Add(time.Second),
		Conns: 10, Sizes: "20", Rate: 100, Seconds: float64(secs),
		Latency: Histogram{newHistogram()}, Lag: Histogram{newHistogram()}, Handshake: Histogram{newHistogram()},
		Refused: map[string]uint64{"no route": 2}, Ended: map[string]uint64{"closed with 1013 slow": 1},
		Client: Client{Cores: 0.5, Loops: 1, Allowed: 2, Memory: 20e6},
		Server: &Usage{PID: 7, Cores: 0.25, MicrosPerMessage: 2500, Memory: 30e6, MemoryBefore: 10e6, MemoryPerConn: 2e6},
	}
	r.Counts.Dropped = 1
	for s := 1; s <= secs; s++ {
		r.Series = append(r.Series, Point{At: float64(s), Seconds: 1, Sent: 100, Received: 100, P50: 1, P99: 2, Max: float64(s), Conns: 10})
		r.Counts.Sent += 100
		r.Counts.Received += 100
		for i := range 100 {
			record(r.Latency.Histogram, time.Duration(s)*time.Duration(i+1)*10*time.Microsecond)
			record(r.Lag.Histogram, time.Microsecond)
		}
	}
	for range 10 {
		record(r.Handshake.Histogram, time.Millisecond)
	}
	return r
}

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func encode(t testing.TB, r *Result) []byte {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// histogram encodes a header with a body of zeros, as hostile as is asked for.
func histogram(digits int32, least, most int64, length int32, body int) string {
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	for _, v := range []any{int32(0x1c849303), length, int32(0), digits, least, most, float64(1)} {
		_ = binary.Write(z, binary.BigEndian, v)
	}
	_, _ = io.CopyN(z, zeros{}, int64(body))
	_ = z.Close()
	all := binary.BigEndian.AppendUint32(nil, 0x1c849304)
	all = binary.BigEndian.AppendUint32(all, uint32(packed.Len()))
	return base64.StdEncoding.EncodeToString(append(all, packed.Bytes()...))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// damaged are files that are no good, and what is said about each.
func damaged(t testing.TB) map[string][2]string {
	good := string(encode(t, sample(noon, 2)))
	with := func(key, value string) string {
		var all map[string]json.RawMessage
		if err := json.Unmarshal([]byte(good), &all); err != nil {
			t.Fatal(err)
		}
		all[key] = json.RawMessage(value)
		b, _ := json.Marshal(all)
		return string(b)
	}
	quoted := func(s string) string { return fmt.Sprintf("%q", s) }
	return map[string][2]string{
		"empty":            {"", "no result"},
		"text":             {"messages 5 sent", "no result"},
		"cut off":          {good[:len(good)/2], "no result"},
		"other JSON":       {`{"version":3,"name":"x"}`, "no result"},
		"a list":           {`[1,2]`, "no result"},
		"null":             {`null`, "no result"},
		"of tomorrow":      {with("version", "7"), "version 7, and this wsbench reads version 1"},
		"of another kind":  {with("counts", `"many"`), "damaged"},
		"wide histogram":   {with("latency", quoted(histogram(5, 1, 1<<62, 0, 0))), "5 digits"},
		"long histogram":   {with("latency", quoted(histogram(3, 1000, 60e9, 1<<30, 1<<20))), "histogram"},
		"no digits":        {with("latency", quoted(histogram(0, 1, 1000, 0, 0))), "histogram"},
		"upside down":      {with("latency", quoted(histogram(3, 1000, 10, 0, 0))), "histogram"},
		"short histogram":  {with("lag", `"AAAA"`), "histogram"},
		"no base64":        {with("lag", `"?"`), "histogram"},
		"histogram of int": {with("lag", `5`), "damaged"},
		"negative":         {with("seconds", "-1"), "seconds"},
		"aeons":            {with("series", `[{"at":1e300,"seconds":1e300}]`), "series"},
		"many aeons":       {with("series", `[{"at":9e5,"seconds":9e5},{"at":9e5,"seconds":9e5}]`), "too long"},
		"disorder":         {with("series", `[{"at":2,"seconds":1},{"at":1,"seconds":1}]`), "order"},
		"long row":         {with("tables", `[{"title":"x","columns":["a"],"rows":[["1","2"]]}]`), "cells"},
		"crooked line":     {with("plots", `[{"lines":[{"x":[1,2],"y":[1]}]}]`), "plot 1"},
		"many connections": {with("conns", "-5"), "load"},
		"deep":             {strings.Repeat("[", 1<<20), "no result"},
	}
}

func TestDamagedResults(t *testing.T) {
	for name, c := range damaged(t) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := ReadResult(strings.NewReader(c[0]))
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), c[1]) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want a line with %q", name, err, c[1])
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
			t.Errorf("%s: took %d MiB of memory", name, took>>20)
		}
	}
	if _, err := ReadResult(zeros{}); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("an endless file: %v", err)
	}
	if _, err := LoadResult("/nonexistent/a.json"); err == nil || !strings.Contains(err.Error(), "a.json") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// Whatever can be read can be merged.
func FuzzReadResult(f *testing.F) {
	for _, c := range damaged(f) {
		if len(c[0]) < 1<<16 {
			f.Add([]byte(c[0]))
		}
	}
	f.Add(encode(f, sample(noon, 2)))
	f.Add([]byte(`{"version":1,"job":""}`))
	f.Add([]byte(`{"version":1,"job":"x","series":[{"at":0.5,"seconds":0.5,"sent":18446744073709551615}],"seconds":1e-9,"rate":1e-300,"latency":null,"plots":[{"logY":true,"lines":[{"x":[3,1,1],"y":[1e308,-1,0]}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ReadResult(bytes.NewReader(b))
		if err != nil {
			return
		}
		other, _ := ReadResult(bytes.NewReader(b))
		other.Started = other.Started.Add(time.Millisecond)
		other.Counted, _ = other.counted()
		other.Counted = other.Counted.Add(time.Millisecond)
		if sum, err := Merge([]Part{{"a", r}, {"b", other}}); err == nil && sum.Job != r.Job {
			t.Errorf("%q and %q have become %q", r.Job, r.Job, sum.Job)
		}
	})
}
