package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/bench"
)

// together gives the files of two short runs that have begun together.
func together(t *testing.T) (a, b string, at time.Time) {
	t.Helper()
	url := serveEcho(t, 0)
	dir := t.TempDir()
	at = time.Now().Add(2 * time.Second)
	done := make(chan string, 2)
	for _, name := range []string{"a.json", "b.json"} {
		go func() {
			file := filepath.Join(dir, name)
			var out, errs bytes.Buffer
			if code := run([]string{"echo", url, "--rate=200", "--warmup=0s", "--duration=2s", "--conns=3", "--start-at=" + at.Format(time.RFC3339Nano), "--json", file}, &out, &errs); code != exitOK {
				t.Errorf("code %d: %s", code, &errs)
			}
			done <- file
		}()
	}
	<-done
	<-done
	return filepath.Join(dir, "a.json"), filepath.Join(dir, "b.json"), at
}

func TestFilesOfResults(t *testing.T) {
	a, b, at := together(t)
	began, err := bench.LoadResult(a)
	if err != nil {
		t.Fatal(err)
	}
	if began.Counted.Before(at) {
		t.Errorf("it counts since %v, and was to begin at %v", began.Counted, at)
	}
	dir := filepath.Dir(a)
	damaged := filepath.Join(dir, "damaged.json")
	if text, err := os.ReadFile(a); err != nil || os.WriteFile(damaged, text[:len(text)/2], 0o600) != nil {
		t.Fatal(err)
	}
	all, page := filepath.Join(dir, "all.json"), filepath.Join(dir, "all.html")
	for _, c := range []struct {
		args  []string
		code  int
		wants string
	}{
		{[]string{"report", a}, exitOK, "latency"},
		{[]string{"report", a, "--csv"}, exitOK, "second,sent"},
		{[]string{"report", a, "--hgrm"}, exitOK, "Percentile"},
		{[]string{"report", a, "--html", filepath.Join(dir, "a.html")}, exitOK, ""},
		{[]string{"report", damaged}, exitFailed, "damaged.json: it is no result"},
		{[]string{"report", filepath.Join(dir, "none.json")}, exitFailed, "no such file"},
		{[]string{"report"}, exitUsage, "result.json"},
		{[]string{"diff", a, b}, exitOK, "wsbench compare"},
		{[]string{"diff", a, b, "--fail-if", "p99>10ms"}, exitUsage, "p99>+10%"},
		{[]string{"diff", a, b, "--fail-if", "rate>-90%"}, exitCrossed, "it was"},
		{[]string{"diff", a, b, "--fail-if", "server-cpu>+1%"}, exitFailed, "not both"},
		{[]string{"diff", a, damaged}, exitFailed, "damaged.json"},
		{[]string{"merge", a, b, "--json", all, "--html", page}, exitOK, "parts"},
		{[]string{"merge", a, b, "--fail-if", "rate<1000000"}, exitCrossed, "rate<"},
		{[]string{"merge", a, a}, exitFailed, "the same part"},
		{[]string{"merge", a}, exitFailed, "two"},
		{[]string{"merge", a, damaged}, exitFailed, "damaged.json"},
		{[]string{"report", all}, exitOK, "6 connections"},
		{[]string{"echo", "ws://127.0.0.1:1/", "--start-at=00:00:00"}, exitUsage, "past"},
	} {
		var out, errs bytes.Buffer
		if code := run(c.args, &out, &errs); code != c.code || !strings.Contains(out.String()+errs.String(), c.wants) {
			t.Errorf("wsbench %s: code %d, want %d with %q in\n%s%s", strings.Join(c.args, " "), code, c.code, c.wants, &out, &errs)
		}
	}
	if text, err := os.ReadFile(page); err != nil || !bytes.HasPrefix(text, []byte("<!doctype html>")) {
		t.Errorf("the page: %v", err)
	}
	var sum bench.Result
	if text, err := os.ReadFile(all); err != nil || json.Unmarshal(text, &sum) != nil || sum.Rate != 400 {
		t.Errorf("the sum: %v, %v/s", err, sum.Rate)
	}
}
