package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// briefly are the flags of a short run of so many connections.
func briefly(args ...string) []string {
	return append([]string{"echo", "--warmup=0s", "--duration=100ms"}, args...)
}

// mustRun runs wsbench, which must end with a code, and gives what it writes.
func mustRun(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(args, &out, &errs); got != code {
		t.Fatalf("wsbench %s: code %d, want %d\n%s%s", strings.Join(args, " "), got, code, &out, &errs)
	}
	return out.String(), errs.String()
}

// serveAsked starts a server that sends everything back, and tells what it is asked.
func serveAsked(t *testing.T, what func(*http.Request) string) (url string, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var all []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		all = append(all, what(r))
		mu.Unlock()
		echo(w, r, 0)
	}))
	t.Cleanup(srv.Close)
	return strings.Replace(srv.URL, "http", "ws", 1), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Sorted(slices.Values(all))
	}
}

func TestLines(t *testing.T) {
	url, asked := serveAsked(t, func(r *http.Request) string { return r.Header.Get("Authorization") })
	for text, want := range map[string][]string{
		"a\nb\n":     {"Bearer a", "Bearer a", "Bearer b"},
		"c\r\nd e":   {"Bearer c", "Bearer c", "Bearer d e"},
		"x\ny\nz\nn": {"Bearer x", "Bearer y", "Bearer z"},
	} {
		name := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		before := len(asked())
		out, _ := mustRun(t, exitOK, briefly(url, "--conns=3", "-HAuthorization: Bearer {line}", "--lines="+name)...)
		for _, one := range want {
			if !slices.Contains(asked(), one) || len(asked()) != before+3 {
				t.Errorf("%q: the server was asked with %q", text, asked())
			}
		}
		if strings.Contains(out, "Bearer") {
			t.Errorf("the report has the header:\n%s", out)
		}
	}
}

func TestProxy(t *testing.T) {
	url, asked := serveAsked(t, func(*http.Request) string { return "asked" })
	through := make(chan string, 9)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		through <- r.Method + " " + r.Host + " " + r.Header.Get("Proxy-Authorization")
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		here, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); _ = there.Close() }()
		_, _ = io.Copy(here, there)
		_ = here.Close()
	}))
	t.Cleanup(proxy.Close)
	at := strings.Replace(proxy.URL, "http://", "http://u:p@", 1)
	out, _ := mustRun(t, exitOK, briefly(url, "--conns=1", "--proxy="+at)...)
	want := "CONNECT " + strings.TrimPrefix(url, "ws://") + " Basic dTpw"
	if got := <-through; got != want || len(through) != 0 || len(asked()) != 1 || strings.Contains(out, "u:p") {
		t.Errorf("the proxy was asked %q, want %q, the server %q\n%s", got, want, asked(), out)
	}
}

// What wakes the loops finds a processor of Go's beside theirs.
func TestLoopsLeaveAProcessor(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	loops := before + 1
	for _, args := range [][]string{{"echo", "ws://127.0.0.1:1/"}, {"storm", "ws://127.0.0.1:1/", "--rate=1", "--duration=10ms"}, {"run", "/dev/null"}} {
		runtime.GOMAXPROCS(before)
		run(append(args, fmt.Sprint("--loops=", loops)), io.Discard, io.Discard)
		if n := runtime.GOMAXPROCS(0); n <= loops {
			t.Errorf("%s: %d processors for %d loops", args[0], n, loops)
		}
	}
}
