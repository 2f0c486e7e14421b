package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestJobsAreRead(t *testing.T) {
	jobs, err := parseJobs(defaultJobs)
	if err != nil || len(jobs) != 5 {
		t.Fatal(jobs, err)
	}
	var said []string
	for _, j := range jobs {
		said = append(said, j.String())
	}
	if got := strings.Join(said, ","); got != defaultJobs {
		t.Errorf("%s is read as %s", defaultJobs, got)
	}
	for _, bad := range []string{"", "100", "1:1:20x", "0:1:20", "1:2000:20", "1:1:7", "1:1:70000", "1@0:20", "1@x:20"} {
		if _, err := parseJobs(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// Both clients do each kind of job, and the report has them.
func TestBothClientsMeasure(t *testing.T) {
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no C compiler: ", err)
	}
	file := filepath.Join(t.TempDir(), "a.json")
	var out bytes.Buffer
	if err := mainErr([]string{"-rounds", "2", "-per", "100ms", "-jobs", "5:4:20,3:1:65536,5@500:1024", "-json", file}, &out); err != nil {
		t.Fatal(err)
	}
	var r report
	b, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(b, &r) != nil || len(r.Jobs) != 3 {
		t.Fatal(err, string(b))
	}
	for _, j := range r.Jobs {
		if len(j.Ratios) != 2 || j.Ratio < 0.05 || j.Ratio > 100 || !strings.Contains(out.String(), j.Job) {
			t.Errorf("%+v in\n%s", j, &out)
		}
	}
	if open := r.Jobs[2]; open.Wsbench[0].LagP50 <= 0 || open.Wsbench[0].P50 <= 0 || open.Bare[0].P50 <= 0 {
		t.Errorf("%+v", open)
	}
}
