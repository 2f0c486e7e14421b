package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
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

// What a server says is told as words of its own: it steers no terminal, begins no line of
// the report, and does not look like a line of --lines that was left out.
func TestServersSteerNoTerminal(t *testing.T) {
	const evil = "\x1b[2J\rgood\nFAILED: {line}\u202e"
	closing := func(w http.ResponseWriter, r *http.Request) {
		if conn, _, _, err := ws.UpgradeHTTP(r, w); err == nil {
			_ = ws.WriteFrame(conn, ws.NewCloseFrame(ws.NewCloseFrameBody(4000, evil)))
			_ = conn.Close()
		}
	}
	refusing := func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 403 "+strings.ReplaceAll(evil, "\n", " ")+"\r\nContent-Length: 0\r\n\r\n")
			_ = conn.Close()
		}
	}
	answering := func(w http.ResponseWriter, r *http.Request) {
		if conn, _, _, err := ws.UpgradeHTTP(r, w); err == nil {
			defer conn.Close()
			_, _, _ = wsutil.ReadClientData(conn)
			_ = wsutil.WriteServerText(conn, []byte(evil))
			_, _, _ = wsutil.ReadClientData(conn)
		}
	}
	for _, c := range []struct {
		server http.HandlerFunc
		args   []string
		want   string
	}{
		{closing, []string{"echo", "--warmup=0s", "--duration=200ms"}, "closed with 4000 ?[2J?good?FAILED: { line }?"},
		{closing, []string{"idle", "--conns=2", "--duration=200ms"}, "closed with 4000 ?[2J?good?FAILED: { line }?"},
		{refusing, []string{"echo", "--duration=200ms"}, "403 ?[2J?good FAILED: "},
		{answering, []string{"fanout", "--subscribers=1", "--subscribe=hello", "--ack=welcome", "--refused=good", "--publish={stamp}"}, "?[2J?good?FAILED: { line }?"},
	} {
		srv := httptest.NewServer(c.server)
		t.Cleanup(srv.Close)
		file := filepath.Join(t.TempDir(), "out.json")
		var out, errs bytes.Buffer
		run(append(c.args, strings.Replace(srv.URL, "http", "ws", 1), "--json", file), &out, &errs)
		said := out.String() + errs.String()
		if strings.ContainsAny(said, "\x1b\r\u202e") || strings.Contains(said, "\nFAILED") || !strings.Contains(said, c.want) {
			t.Errorf("%s: %q", strings.Join(c.args, " "), said)
		}
	}
}

// What a server says again of the secrets that it was sent stands in no report.
func TestNoReportTellsSecretsOfServers(t *testing.T) {
	closing := func(w http.ResponseWriter, r *http.Request) {
		if conn, _, _, err := ws.UpgradeHTTP(r, w); err == nil {
			_ = ws.WriteFrame(conn, ws.NewCloseFrame(ws.NewCloseFrameBody(4001, "who is "+r.URL.Query().Get("t")+", "+r.Header.Get("Authorization"))))
			_ = conn.Close()
		}
	}
	answering := func(w http.ResponseWriter, r *http.Request) {
		if conn, _, _, err := ws.UpgradeHTTP(r, w); err == nil {
			defer conn.Close()
			_ = wsutil.WriteServerText(conn, []byte("who is "+r.URL.Query().Get("t")+", "+r.Header.Get("Authorization")))
			_, _ = io.Copy(io.Discard, conn)
		}
	}
	posting := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			http.Error(w, "who is "+r.Header.Get("Authorization"), http.StatusUnauthorized)
			return
		}
		if conn, _, _, err := ws.UpgradeHTTP(r, w); err == nil {
			defer conn.Close()
			_, _, _ = wsutil.ReadClientData(conn)
		}
	}
	dir := t.TempDir()
	file := func(s string) string { return filepath.Join(dir, s) }
	write := func(name, text string) {
		if err := os.WriteFile(file(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("lines", "SECRET/TOK1\nSECRET/TOK2\n")
	for _, c := range []struct {
		server http.HandlerFunc
		want   string
		args   []string
	}{
		{closing, "who is {line}, Bearer {header}", []string{"echo", "--warmup=0s", "--duration=200ms", "--rate=100"}},
		{closing, "who is {line}, Bearer {header}", []string{"idle", "--conns=2", "--duration=200ms"}},
		{closing, "who is {line}, Bearer {header}", []string{"storm", "--at-once=1", "--duration=200ms"}},
		{closing, "who is {line}, Bearer {header}", []string{"fanout", "--subscribers=2", "--warmup=0s", "--duration=200ms", "--grace=10ms"}},
		{closing, "who is {line}, Bearer {header}", []string{"run", file("scenario.yaml")}},
		{answering, "who is {line}, Bearer {header}", []string{"fanout", "--subscribers=2", "--publish={stamp}", "--subscribe=hello", "--ack=welcome", "--ack-timeout=200ms"}},
		{posting, "who is Bearer {header}", []string{"fanout", "--subscribers=2", "--publishers=1", "--rate=10", "--warmup=0s", "--duration=500ms", "--grace=10ms", "--publish-http", "URL", "--bearer=in-a-post-TOK"}},
	} {
		srv := httptest.NewServer(c.server)
		t.Cleanup(srv.Close)
		url := strings.Replace(srv.URL, "http", "ws", 1) + "/?t={line}"
		if c.args[0] == "run" {
			write("scenario.yaml", "url: "+url+"\nmessages:\n  - {name: a, send: 'a {stamp}', expect: echo}\nphases:\n  - {name: a, for: 200ms, connections: 2, rate: 10}\n")
		} else {
			c.args = append(c.args, url)
		}
		for i := range c.args {
			c.args[i] = strings.Replace(c.args[i], "URL", srv.URL, 1)
		}
		var out, errs bytes.Buffer
		args := append(c.args, "--lines", file("lines"), "-H", "Authorization: Bearer in-a-header-TOK", "--json", file("out.json"), "--html", file("out.html"), "--csv", file("out.csv"))
		run(args, &out, &errs)
		said := out.String() + errs.String()
		for _, name := range []string{"out.json", "out.html", "out.csv"} {
			b, _ := os.ReadFile(file(name)) // which there need not be
			said += string(b)
			_ = os.Remove(file(name))
		}
		if strings.Contains(said, "TOK") || !strings.Contains(said, c.want) {
			t.Errorf("%s: %s%s", strings.Join(c.args, " "), out.String(), errs.String())
		}
	}
}
