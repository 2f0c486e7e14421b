package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/headrace/headrace/bench"
)

func TestFilesOutliveTheScreen(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	file := filepath.Join(t.TempDir(), "r.json")
	var errs bytes.Buffer
	code := run([]string{"echo", serveEcho(t, 0), "--rate=200", "--warmup=0s", "--duration=100ms", "--conns=2", "--json", file}, full, &errs)
	if _, err := bench.LoadResult(file); err != nil || code != exitFailed {
		t.Errorf("code %d, %v: %s", code, err, &errs)
	}
}

func TestOneFileForOneThing(t *testing.T) {
	dir := t.TempDir()
	there, link := filepath.Join(dir, "there"), filepath.Join(dir, "link")
	if os.WriteFile(there, nil, 0o600) != nil || os.Symlink(there, link) != nil {
		t.Fatal("no files")
	}
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{filepath.Join(dir, "x"), filepath.Join(dir, ".", "x"), true},
		{there, link, true},
		{there, filepath.Join(dir, "x"), false},
		{os.DevNull, os.DevNull, false},
	} {
		if same := sameFile(c.a, c.b); same != c.same {
			t.Errorf("%s and %s: %v", c.a, c.b, same)
		}
	}
	var out, errs bytes.Buffer
	args := []string{"echo", "ws://127.0.0.1:1/", "--json", there, "--csv", link}
	if code := run(args, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), "--json and --csv are the same file") {
		t.Errorf("code %d: %s", code, &errs)
	}
}

func TestInterruptedRunSaysSo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var echoes atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		defer conn.Close()
		for p, op, err := wsutil.ReadClientData(conn); err == nil; p, op, err = wsutil.ReadClientData(conn) {
			if echoes.Add(1) == 50 {
				cancel()
			}
			_ = wsutil.WriteServerMessage(conn, op, p)
		}
	}))
	t.Cleanup(srv.Close)
	var out, errs bytes.Buffer
	o := output{JSON: file}
	job := bench.Echo{Target: bench.Target{URL: strings.Replace(srv.URL, "http", "ws", 1)}, Conns: 2, Sizes: bench.Sizes{Min: 20, Max: 20}, Rate: 200, Duration: time.Minute}
	if err := o.carryOut(ctx, job, &console{out: &out, err: &errs}); err != nil {
		t.Fatal(err)
	}
	r, err := bench.LoadResult(file)
	if err != nil {
		t.Fatal(err)
	}
	says := func(s string) bool {
		return s == fmt.Sprintf("the run was interrupted after %.1f s of 1m0s", r.Seconds)
	}
	if !r.Interrupted || r.Seconds > 50 || !slices.ContainsFunc(r.Doubts, says) || !strings.Contains(out.String(), "DOUBTFUL: the run was interrupted") {
		t.Errorf("interrupted %v: %q", r.Interrupted, r.Doubts)
	}
}
