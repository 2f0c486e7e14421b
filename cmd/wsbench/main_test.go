package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/headrace/headrace/bench"
)

// serveEcho starts a server that sends everything back, late if delay says so.
func serveEcho(t *testing.T, delay time.Duration) (url string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		echo(w, r, delay)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return strings.Replace(srv.URL, "http", "ws", 1) + "/echo"
}

// echo sends everything back on one connection.
func echo(w http.ResponseWriter, r *http.Request, delay time.Duration) {
	conn, _, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	defer conn.Close()
	for {
		p, op, err := wsutil.ReadClientData(conn)
		if err != nil {
			return
		}
		time.Sleep(delay)
		if wsutil.WriteServerMessage(conn, op, p) != nil {
			return
		}
	}
}

// A closed loop waits as long as it is told to, and then says so.
func TestPatience(t *testing.T) {
	url := serveEcho(t, 300*time.Millisecond)
	var out, errs bytes.Buffer
	code := run([]string{"echo", url, "--conns=1", "--duration=500ms", "--warmup=0s", "--patience=20ms"}, &out, &errs)
	if code != exitOK || !strings.Contains(out.String(), "the closed loop waited 20ms in vain for ") {
		t.Errorf("code %d: %s%s", code, out.String(), errs.String())
	}
}

func TestExitCodes(t *testing.T) {
	url := serveEcho(t, 0)
	slow := serveEcho(t, 30*time.Millisecond)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	quick := []string{"--warmup=50ms", "--duration=300ms", "--conns=5"}
	quickSteps := []string{"--step-warmup=50ms", "--step-duration=200ms"}
	for _, c := range []struct {
		args  []string
		code  int
		wants string // in what it writes
	}{
		{[]string{"--help"}, exitOK, "Usage: wsbench"},
		{[]string{"echo", "--help"}, exitOK, "--rate"},
		{[]string{"--version"}, exitOK, "wsbench "},
		{[]string{}, exitUsage, "Usage: wsbench <command>"},
		{[]string{"nonsense"}, exitUsage, "see wsbench --help"},
		{[]string{"--help"}, exitOK, "Exit codes: "},
		{[]string{"help"}, exitOK, "Usage: wsbench <command>"},
		{[]string{"help", "storm"}, exitOK, "Usage: wsbench storm"},
		{[]string{"echo"}, exitUsage, "<url> is missing (see wsbench echo --help)"},
		{[]string{"storm", url, "--at-once=1", "--rate=1"}, exitUsage, "(see wsbench storm --help)"},
		{[]string{"echo", url, "-rate", "5"}, exitUsage, "unknown flag -rate: names of flags have two dashes, --rate"},
		{[]string{"echo", url, "--rate"}, exitUsage, "--rate: its value is missing"},
		{[]string{"echo", url, "--rate=5k"}, exitUsage, `--rate: "5k" is no number`},
		{[]string{"echo", url, "--conns=ten"}, exitUsage, `--conns: "ten" is no whole number`},
		{[]string{"echo", url, "--duration=10"}, exitUsage, `--duration: "10" is no time, such as 500ms`},
		{[]string{"echo", url, "--poisson"}, exitUsage, "need a rate"},
		{[]string{"echo", url, "--loops=-1"}, exitUsage, "--loops: there may be 1 to 256"},
		{[]string{"echo", url, "--json=" + empty + "/x"}, exitUsage, "--json: there is no folder " + empty},
		{[]string{"echo", url, "--html=" + filepath.Dir(empty)}, exitUsage, "is a folder"},
		{[]string{"echo", url, "--pid=4194305"}, exitFailed, "there is no process 4194305 here"},
		{[]string{"echo", "localhost:8080/echo"}, exitUsage, "is no ws:// or wss:// URL"},
		{[]string{"echo", "127.0.0.1:8080/echo"}, exitUsage, "is no ws:// or wss:// URL"},
		{[]string{"echo", url, "--cpus=1-0"}, exitUsage, "numbers of processors"},
		{[]string{"echo", url, "--cpus=1023"}, exitUsage, "no processor 1023"},
		{[]string{"echo"}, exitUsage, "<url>"},
		{[]string{"echo", url, "--nonsense"}, exitUsage, "unknown flag"},
		{[]string{"echo", "http://x/"}, exitUsage, "ws://"},
		{[]string{"echo", url, "--size=3"}, exitUsage, "bytes to be known"},
		{[]string{"echo", url, "--size=big"}, exitUsage, "number of bytes"},
		{[]string{"echo", url, "--rate=10", "--inflight=1"}, exitUsage, "open loop"},
		{[]string{"echo", url, "--fail-if=p99"}, exitUsage, "p99>10ms"},
		{[]string{"echo", url, "-H", "nothing"}, exitUsage, "Name: value"},
		{[]string{"echo", url, "--cert=main.go"}, exitUsage, "go together"},
		{[]string{"echo", url, "--local-addr=here"}, exitUsage, "IP address"},
		{[]string{"search", "--help"}, exitOK, "--slo"},
		{[]string{"search", url}, exitUsage, "--slo"},
		{[]string{"search", url, "--slo=p99>1s"}, exitUsage, "what must not be"},
		{[]string{"search", url, "--slo=p99<1s", "--precision=5"}, exitUsage, "no share"},
		{[]string{"search", url, "--slo=p99<1s", "--min=0"}, exitUsage, "more than 0"},
		{[]string{"search", url, "--slo=p99<1s", "--min=10", "--max=5"}, exitUsage, "smaller"},
		{[]string{"search", "ws://127.0.0.1:1/", "--slo=p99<1s"}, exitFailed, "refused"},
		{append([]string{"search", url, "--slo=p50<2s", "--min=50", "--max=100", "--conns=5"}, quickSteps...), exitCrossed, "even the highest rate, 100"},
		{append([]string{"search", slow, "--slo=p50<20ms", "--slo=errors=0", "--min=50", "--conns=5"}, quickSteps...), exitCrossed, "lowest rate, 50"},
		{append([]string{"search", slow, "--slo=p50<2s", "--min=50", "--max=5000", "--precision=100%", "--conns=5"}, quickSteps...), exitOK, "p50<2s is kept at"},
		{[]string{"compare", "--help"}, exitOK, "--start-a"},
		{[]string{"compare"}, exitUsage, "<url-a>"},
		{[]string{"compare", url, url, "--rounds=1"}, exitUsage, "2 to 1000"},
		{[]string{"compare", url, url, "--fail-if=p99>1s"}, exitUsage, "unknown flag --fail-if"},
		{[]string{"compare", url, "--start-a=a | b"}, exitUsage, "for a shell"},
		{[]string{"compare", url, "--start-a='a"}, exitUsage, "invalid command line"},
		{[]string{"compare", url, "--start-a= "}, exitUsage, "names no program"},
		{[]string{"compare", url, "--start-a=a", "--start-b=b"}, exitUsage, "same address"},
		{[]string{"compare", url, "--cpus-server=0"}, exitUsage, "--start-a"},
		{[]string{"compare", url, "--cpus-a=x", "--start-a=a"}, exitUsage, "--cpus-a"},
		{[]string{"compare", url, "--restart"}, exitUsage, "started anew"},
		{[]string{"compare", "ws://127.0.0.1:1/", "--start-a=sh -c 'echo no $((3+4)) >&2'", "--start-b=b", "--restart"}, exitFailed, "no 7"},
		{[]string{"compare", url, slow, "--rounds=5", "--warmup=10ms", "--duration=100ms", "--conns=5"}, exitOK, "B's median latency is "},
		{[]string{"echo", url, "--local-addr=203.0.113.1"}, exitUsage, "no address of this machine"},
		{[]string{"echo", url, "--lines=nothing"}, exitUsage, "nothing"},
		{[]string{"echo", url, "--lines=" + empty}, exitUsage, "is empty"},
		{[]string{"echo", url + "?t={line}"}, exitUsage, "--lines FILE"},
		{[]string{"echo", url, "--proxy=socks5://u:secret@h:1"}, exitUsage, "--proxy must be"},
		{[]string{"echo", "ws+unix:/none.sock:/"}, exitFailed, "no such file"},
		{[]string{"echo", "ws://127.0.0.1:1/"}, exitFailed, "refused"},
		{[]string{"echo", strings.Replace(url, "/echo", "/none", 1)}, exitFailed, "404"},
		{append([]string{"echo", url, "--rate=200"}, quick...), exitOK, "errors      none"},
		{append([]string{"echo", url, "--text", "--size=16-300"}, quick...), exitOK, "closed loop"},
		{append([]string{"echo", slow, "--rate=200", "--fail-if=p50>20ms", "--fail-if=errors>0"}, quick...), exitCrossed, "p50>20ms: it is"},
		{append([]string{"echo", url, "--rate=200", "--fail-if=rate<10000"}, quick...), exitCrossed, "rate<10000"},
	} {
		var out, errs bytes.Buffer
		if code := run(c.args, &out, &errs); code != c.code || !strings.Contains(out.String()+errs.String(), c.wants) {
			t.Errorf("wsbench %s: code %d, want %d with %q in\n%s%s", strings.Join(c.args, " "), code, c.code, c.wants, &out, &errs)
		}
	}
}

// The help names no types of Go.
func TestHelpHasNoTypes(t *testing.T) {
	for _, command := range []string{"echo", "fanout", "idle", "storm", "run", "search", "compare", "report", "diff", "merge"} {
		var out bytes.Buffer
		run([]string{command, "--help"}, &out, &out)
		for _, word := range []string{"=STRING", "=INT", "=UINT", "=FLOAT", "=DURATION", "=FAIL-IF"} {
			if strings.Contains(out.String(), word) {
				t.Errorf("%s --help has %s", command, word)
			}
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	name := func(s string) string { return filepath.Join(dir, s) }
	var out, errs bytes.Buffer
	code := run([]string{
		"echo", serveEcho(t, 0), "--rate=500", "--warmup=0s", "--duration=1200ms", "--conns=5",
		"--json", name("a.json"), "--csv", name("a.csv"), "--hgrm", name("a.hgrm"),
	}, &out, &errs)
	if code != exitOK {
		t.Fatal(code, errs.String())
	}
	var r bench.Result
	if b, err := os.ReadFile(name("a.json")); err != nil || json.Unmarshal(b, &r) != nil || r.Counts.Sent == 0 {
		t.Errorf("JSON: %v, %+v", err, r)
	}
	if b, err := os.ReadFile(name("a.csv")); err != nil || bytes.Count(b, []byte("\n")) < 2 || !bytes.HasPrefix(b, []byte("second,sent")) {
		t.Errorf("CSV: %v\n%s", err, b)
	}
	if b, err := os.ReadFile(name("a.hgrm")); err != nil || !bytes.Contains(b, []byte("Percentile")) {
		t.Errorf("hgrm: %v\n%s", err, b)
	}
}
