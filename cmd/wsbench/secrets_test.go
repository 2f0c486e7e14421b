package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Nobody listens: the reason is told without the lines that stand in URL and header.
func TestNoCommandTellsALine(t *testing.T) {
	dir := t.TempDir()
	name := func(s string) string { return filepath.Join(dir, s) }
	for file, text := range map[string]string{
		"lines":         "SECRET/TOK1\nSECRET/TOK2\n",
		"scenario.yaml": "url: ws://127.0.0.1:1/?t={line}\nmessages:\n  - {name: a, send: 'a {stamp}', expect: echo}\nphases:\n  - {name: a, for: 100ms, connections: 2, rate: 10}\n",
	} {
		if err := os.WriteFile(name(file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const url = "ws://127.0.0.1:1/?t={line}"
	for _, args := range [][]string{
		{"echo", url, "--duration=100ms", "--warmup=0s"},
		{"idle", url, "--conns=2", "--duration=100ms"},
		{"storm", url, "--duration=100ms"},
		{"storm", url, "--duration=100ms", "--rate=100"},
		{"fanout", url, "--duration=100ms"},
		{"run", name("scenario.yaml")},
		{"search", url, "--slo=p99<1s"},
		{"compare", url, "ws://127.0.0.1:2/?t={line}", "--duration=100ms"},
		{"compare", url, "ws://127.0.0.1:2/?t={line}", "--start-a=true", "--duration=100ms"},
	} {
		var out, errs bytes.Buffer
		args = append(args, "--lines", name("lines"), "-H", "Authorization: Bearer {line}", "--json", name("out.json"))
		code := run(args, &out, &errs)
		json, _ := os.ReadFile(name("out.json")) // which there need not be
		said := out.String() + errs.String()
		if code != exitFailed || strings.Contains(strings.ToUpper(said+string(json)), "TOK1") || !strings.Contains(said, "refused") && !strings.Contains(said, "has ended") && !strings.Contains(said, "ended before") {
			t.Errorf("%s: code %d, %s%s", strings.Join(args, " "), code, said, json)
		}
	}
}
