package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/headrace/headrace/bench"
)

// headrace is the server of this repository, running: where it listens for everybody,
// and for operators.
type headrace struct{ addr, internal string }

var listens = regexp.MustCompile(`http://(\S+)/(\s|metrics)`)

// startHeadrace builds the server and starts it until the end of the test.
func startHeadrace(t *testing.T, args ...string) (h headrace) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "headrace-server")
	if out, err := exec.Command("go", "build", "-o", binary, "../server").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(binary, append([]string{"--addr", "127.0.0.1:0", "--internal-addr", "127.0.0.1:0"}, args...)...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		for lines.Scan() { // to the end, so that Wait may close the pipe
		}
		_ = cmd.Wait()
	})
	for h.internal == "" && lines.Scan() {
		if m := listens.FindStringSubmatch(lines.Text()); m != nil && m[2] == "metrics" {
			h.internal = m[1]
		} else if m != nil {
			h.addr = m[1]
		}
	}
	if h.addr == "" || h.internal == "" {
		t.Fatal("the server did not say where it listens")
	}
	return h
}

// The presets against the server that they are for. Each has its topics for itself: with
// latest, the publishes of another run would take the place of its own.
func TestFanoutOfHeadrace(t *testing.T) {
	h := startHeadrace(t, "--feed-publish", "wsbench.*", "--publish-token", "secret")
	chat, feed := "ws://"+h.addr+"/ws/chat", "ws://"+h.addr+"/feed"
	for name, c := range map[string]struct {
		args  []string
		code  int
		wants string
		whole bool // every publish comes to everybody
	}{
		"chat":        {[]string{chat, "--rate=200"}, exitOK, "(chat)", true},
		"rooms":       {[]string{chat, "--rate=200", "--rooms=3"}, exitOK, "publishers: 3, subscribers: 12, rooms: 3", true},
		"chat closed": {[]string{chat + "?room=b", "--inflight=2", "--publishers=2"}, exitOK, "closed loop", true},
		"feed":        {[]string{feed, "--rate=200", "--publishers=2", "--topic=wsbench.a"}, exitOK, "(feed)", true},
		"feed rooms":  {[]string{feed, "--rate=200", "--mode=queue", "--topic=wsbench.c{i%4}"}, exitOK, "rooms: 4", true},
		"latest":      {[]string{feed, "--rate=500", "--mode=latest", "--max-rate=20", "--topic=wsbench.b"}, exitOK, "conflated, as the server says", false},
		"post":        {[]string{feed, "--rate=100", "--publish-http=http://" + h.internal, "--bearer=secret", "--topic=wsbench.d"}, exitOK, "(feed)", true},
		"no token":    {[]string{feed, "--rate=100", "--publish-http=http://" + h.internal}, exitFailed, "401", false},
		"forbidden":   {[]string{feed, "--rate=100", "--topic=other.a", "--grace=100ms"}, exitFailed, "clients may not publish", false},
		"bad mode":    {[]string{feed, "--rate=100", "--mode=x"}, exitFailed, "refused to subscribe", false},
		"threshold":   {[]string{chat + "?room=c", "--rate=200", "--fail-if=last-p50>1us"}, exitCrossed, "last-p50>1us: it is", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "a.json")
			args := append([]string{"fanout", "--subscribers=12", "--warmup=100ms", "--duration=500ms", "--settle=100ms", "--loops=1", "--json=" + file, "--fail-if=gaps>0"}, c.args...)
			var out, errs bytes.Buffer
			if code := run(args, &out, &errs); code != c.code || !strings.Contains(out.String()+errs.String(), c.wants) {
				t.Fatalf("code %d, want %d with %q in\n%s%s", code, c.code, c.wants, &out, &errs)
			}
			if c.code == exitFailed {
				return
			}
			var r bench.Result
			if b, err := os.ReadFile(file); err != nil || json.Unmarshal(b, &r) != nil || r.Fanout == nil {
				t.Fatalf("JSON: %v, %+v", err, r)
			}
			f, n := r.Fanout, r.Counts
			if n.Sent == 0 || n.Errors() != 0 || c.whole && (f.Complete != n.Sent || n.Received != f.Expected) || f.Last.TotalCount() != int64(f.Complete) {
				t.Errorf("%+v %+v\n%s", n, f, &out)
			}
			if name == "latest" && (f.Conflated == 0 || n.Received+f.Conflated < f.Expected) {
				t.Errorf("%+v %+v", n, f)
			}
		})
	}
}

func TestFanoutUsage(t *testing.T) {
	const url = "ws://127.0.0.1:1/x"
	for _, c := range []struct {
		args  []string
		code  int
		wants string
	}{
		{[]string{"fanout", "--help"}, exitOK, "--mode latest --max-rate 10"},
		{[]string{"fanout", url, "--size=10"}, exitUsage, "33 bytes"},
		{[]string{"fanout", url, "--ack=x"}, exitUsage, "an ack answers"},
		{[]string{"fanout", url, "--ack=/(/"}, exitUsage, "--ack"},
		{[]string{"fanout", url, "--publish=hello"}, exitUsage, "{stamp} must stand"},
		{[]string{"fanout", url, "--preset=x"}, exitUsage, "relay, chat, feed"},
		{[]string{"fanout", url, "--mode=latest"}, exitUsage, "for the preset feed"},
		{[]string{"fanout", url, "--rooms=200"}, exitUsage, "200 rooms"},
		{[]string{"fanout", url, "--fail-if=last-gaps>0"}, exitUsage, "a condition is like"},
		{[]string{"echo", url, "--fail-if=gaps>0"}, exitUsage, "only a fan-out"},
		{[]string{"fanout", url}, exitFailed, "refused"},
	} {
		var out, errs bytes.Buffer
		if code := run(c.args, &out, &errs); code != c.code || !strings.Contains(out.String()+errs.String(), c.wants) {
			t.Errorf("wsbench %s: code %d, want %d with %q in\n%s%s", strings.Join(c.args, " "), code, c.code, c.wants, &out, &errs)
		}
	}
}
