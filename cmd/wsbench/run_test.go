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

// writeScenario writes a scenario to a file, and gives its name.
func writeScenario(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "s.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const shortScenario = `
messages:
  - {name: it, send: '{"stamp":"{stamp}"}', expect: echo}
phases:
  - {name: one, for: 200ms, connections: 3, rate: 100}
  - {name: two, for: 200ms, rate: 50, fail if: [p50>20ms]}
`

func TestRunExitCodes(t *testing.T) {
	url := serveEcho(t, 0)
	slow := serveEcho(t, 40*time.Millisecond)
	short := writeScenario(t, shortScenario)
	wrong := writeScenario(t, shortScenario+"  - {name: three, fro: 1s}\n")
	withURL := writeScenario(t, "url: "+url+"\n"+strings.Replace(shortScenario, "p50>20ms", "p50>1m", 1)+"fail if: [rate<1]\n")
	never := writeScenario(t, "url: "+url+"\n"+shortScenario+"fail if: [rate<1000000]\n")
	for _, c := range []struct {
		args  []string
		code  int
		wants string // in what it writes
	}{
		{[]string{"run", "--help"}, exitOK, "--example"},
		{[]string{"run", "--example"}, exitOK, "reconnect storm"},
		{[]string{"run"}, exitUsage, "name a file"},
		{[]string{"run", short + ".none"}, exitUsage, "no such file"},
		{[]string{"run", short, url, "--seed=x"}, exitUsage, "--seed"},
		{[]string{"run", wrong, url}, exitUsage, `s.yaml:7: unknown key "fro"; there are name, for,`},
		{[]string{"run", short}, exitUsage, "no url"},
		{[]string{"run", short, "--check"}, exitUsage, "no url"},
		{[]string{"run", short, "http://x/"}, exitUsage, "ws://"},
		{[]string{"run", short, url, "--fail-if=p99"}, exitUsage, "p99>10ms"},
		{[]string{"run", short, url, "--check"}, exitOK, "is right: 2 phases in 400ms, up to 3 connections"},
		{[]string{"run", withURL, "--check"}, exitOK, "is right"},
		{[]string{"run", short, "ws://127.0.0.1:1/"}, exitFailed, "refused"},
		{[]string{"run", withURL, "--seed=77"}, exitOK, "phases (seed 77)"},
		{[]string{"run", short, slow}, exitCrossed, "phase two: p50>20ms: it is "},
		{[]string{"run", never}, exitCrossed, "rate<1000000: it is"},
		{[]string{"run", withURL, "--fail-if=rate<100000"}, exitCrossed, "rate<100000: it is"},
	} {
		var out, errs bytes.Buffer
		if code := run(c.args, &out, &errs); code != c.code || !strings.Contains(out.String()+errs.String(), c.wants) {
			t.Errorf("wsbench %s: code %d, want %d with %q in\n%s%s", strings.Join(c.args, " "), code, c.code, c.wants, &out, &errs)
		}
	}
}

// What --example prints is right, and a run's result says what its phases were.
func TestRunExampleAndJSON(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"run", "--example"}, &out, &errs); code != exitOK {
		t.Fatal(code, errs.String())
	}
	example := writeScenario(t, out.String())
	out.Reset()
	if code := run([]string{"run", "--check", example}, &out, &errs); code != exitOK || !strings.Contains(out.String(), "7 phases in 1m15s") {
		t.Errorf("code %d: %s%s", code, &out, &errs)
	}
	name := filepath.Join(t.TempDir(), "a.json")
	if code := run([]string{"run", writeScenario(t, strings.Replace(shortScenario, "20ms", "1m", 1)), serveEcho(t, 0), "--json", name}, &out, &errs); code != exitOK {
		t.Fatal(code, errs.String())
	}
	var r bench.Result
	if b, err := os.ReadFile(name); err != nil || json.Unmarshal(b, &r) != nil {
		t.Fatal(err)
	}
	if len(r.Phases) != 2 || r.Phases[1].Name != "two" || r.Phases[1].From != 0.2 || r.Phases[1].Counts.Sent != 10 || r.Phases[0].Latency.TotalCount() != 20 {
		t.Errorf("%+v", r.Phases)
	}
}
