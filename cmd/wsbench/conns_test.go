package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestExitCodesOfConnections(t *testing.T) {
	url := serveEcho(t, 0)
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(refuses.Close)
	full := strings.Replace(refuses.URL, "http", "ws", 1)
	idle := func(args ...string) []string {
		return append([]string{"idle", "--conns=5", "--duration=300ms"}, args...)
	}
	storm := func(args ...string) []string { return append([]string{"storm", "--duration=300ms"}, args...) }
	for _, c := range []struct {
		args  []string
		code  int
		wants string // in what it writes
	}{
		{[]string{"idle", "--help"}, exitOK, "--ping-every"},
		{[]string{"storm", "--help"}, exitOK, "--max-dialing"},
		{idle(url, "--ping-every=1us"), exitUsage, "at most, or never"},
		{idle(url, "--conns=0"), exitUsage, "a connection at least"},
		{idle(url, "--metrics=localhost:9090"), exitUsage, "http://host:port/metrics"},
		{idle(url, "--fail-if=memory>4KiB"), exitUsage, "is no number"},
		{idle(url, "--metrics="+refuses.URL), exitFailed, "it answers 503"},
		{idle(full), exitFailed, "503"},
		{idle(url), exitOK, "all 5 were open at the end"},
		{idle(url, "--ping-every=100ms", "--pid="+strconv.Itoa(os.Getpid())), exitOK, "for each of 5 connections"},
		{idle(url, "--fail-if=memory>1"), exitUsage, "whose process is known"},
		{idle(url, "--fail-if=p99>1s"), exitUsage, "--ping-every"},
		{storm(url, "--fail-if=p99>1s"), exitUsage, "--churn"},
		{idle(url, "--fail-if=handshakes<1e9"), exitCrossed, "handshakes<1e9: it is"},
		{storm(url, "--rate=10", "--at-once=10"), exitUsage, "open loop"},
		{storm(url, "--rate=1e6"), exitUsage, "which are kept"},
		{storm(url, "--timeout=-1s"), exitUsage, "a duration"},
		{storm("ws://127.0.0.1:1/"), exitFailed, "connection refused"},
		{storm(url, "--rate=100", "--churn"), exitOK, "30 asked for: 30 opened"},
		{storm(url, "--at-once=3", "--hold=50ms"), exitOK, "closed loop, 3 at once; each connection closes after 50ms"},
		{storm(full, "--rate=100", "--fail-if=errors>0"), exitFailed, "no handshake got through"},
		{storm(full, "--rate=100", "--fail-if=refused>0"), exitCrossed, "with Retry-After, 5 to 5 s"},
	} {
		var out, errs bytes.Buffer
		if code := run(c.args, &out, &errs); code != c.code || !strings.Contains(out.String()+errs.String(), c.wants) {
			t.Errorf("wsbench %s: code %d, want %d with %q in\n%s%s", strings.Join(c.args, " "), code, c.code, c.wants, &out, &errs)
		}
	}
}
