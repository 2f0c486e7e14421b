package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/bench"
	"github.com/headrace/headrace/bench/host"
)

// With this in its environment the test's binary is wsbench.
const asWsbench = "WSBENCH_OF_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(asWsbench) != "" {
		main()
	}
	os.Exit(m.Run())
}

// command is wsbench as a process of its own.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe, args...)
	c.Env = append(os.Environ(), asWsbench+"=1", "TERM=xterm")
	return c
}

// onTerminal is wsbench whose standard error and input are a terminal of 80 columns.
type onTerminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	pty  *os.File
	out  bytes.Buffer // what the standard output gets
	read sync.WaitGroup

	mu     sync.Mutex
	screen bytes.Buffer // what the terminal gets
}

func startOnTerminal(t *testing.T, env []string, args ...string) *onTerminal {
	t.Helper()
	c := command(t, args...)
	c.Env = append(c.Env, env...)
	return startCommand(t, c)
}

func startCommand(t *testing.T, c *exec.Cmd) *onTerminal {
	t.Helper()
	o := &onTerminal{t: t, cmd: c}
	o.cmd.Stdout = &o.out
	var err error
	if o.pty, err = pty.StartWithSize(o.cmd, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Skip("there are no terminals here:", err)
	}
	t.Cleanup(func() { _ = o.cmd.Process.Kill(); _ = o.pty.Close(); o.read.Wait() })
	o.read.Go(func() {
		b := make([]byte, 4096)
		for {
			n, err := o.pty.Read(b)
			o.mu.Lock()
			o.screen.Write(b[:n])
			o.mu.Unlock()
			if err != nil { // EIO: nobody has it open any more
				return
			}
		}
	})
	return o
}

func (o *onTerminal) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.screen.String()
}

// await waits until the terminal has got a text.
func (o *onTerminal) await(text string) {
	o.t.Helper()
	o.awaitTimes(text, 1)
}

func (o *onTerminal) awaitTimes(text string, n int) {
	o.t.Helper()
	for end := time.Now().Add(time.Minute); strings.Count(o.text(), text) < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			o.t.Fatalf("the terminal has got %.500q, and no %q", o.text(), text)
		}
	}
}

func (o *onTerminal) key(k string) {
	if _, err := io.WriteString(o.pty, k); err != nil {
		o.t.Log(err) // it has ended
	}
}

// end gives the exit code, and what both have got.
func (o *onTerminal) end() (code int, out, screen string) {
	err := o.cmd.Wait()
	o.read.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		o.t.Fatal(err)
	}
	return o.cmd.ProcessState.ExitCode(), o.out.String(), o.text()
}

const (
	ctrlC = "\x03"
	erase = "\x1b[J"
)

// The terminal shows how the run gets on; ^C, or SIGTERM, ends it early, with the report
// of what was measured on the standard output, and the terminal as it was before.
func TestInterruptedOnATerminal(t *testing.T) {
	url := serveEcho(t, 0)
	for name, interrupt := range map[string]func(*onTerminal){
		"^C":      func(o *onTerminal) { o.key(ctrlC) },
		"SIGTERM": func(o *onTerminal) { _ = o.cmd.Process.Signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := startOnTerminal(t, nil, "echo", url, "--rate=500", "--conns=3", "--warmup=0s", "--duration=10m")
			o.await("/s of 500/s asked")
			o.await("\x1b[36m") // the curve of the rate
			interrupt(o)
			code, out, screen := o.end()
			if code != exitOK || !strings.Contains(out, "3 connections, 20 bytes, open loop, 500 messages/s") || strings.Contains(out, "\x1b") {
				t.Errorf("code %d, the report is\n%s", code, out)
			}
			last := screen[max(0, strings.LastIndex(screen, erase)):]
			if !strings.Contains(last, "wsbench: interrupted; this is what was measured until then") || strings.Contains(last, "asked") {
				t.Errorf("at the end the terminal gets %q", last)
			}
			if strings.Contains(screen, "\x1b[?25l") || strings.Contains(screen, "\x1b[?1049h") {
				t.Errorf("the terminal is changed: %q", screen)
			}
		})
	}
}

// serveNothing starts a server that grants handshakes, and never answers.
func serveNothing(t *testing.T) (url string) {
	t.Helper()
	over := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, _, _, err := ws.UpgradeHTTP(r, w); err == nil {
			defer conn.Close()
			<-over
		}
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(over) })
	return strings.Replace(srv.URL, "http", "ws", 1)
}

// The second ^C does not wait for what is on its way, as the first one does.
func TestSecondInterruptEndsAtOnce(t *testing.T) {
	o := startOnTerminal(t, nil, "echo", serveNothing(t), "--conns=1", "--rate=10", "--warmup=0s", "--duration=10m")
	o.await(" sent  0 back")
	over := make(chan struct{})
	var pressing sync.WaitGroup
	pressing.Go(func() { // two of them at once could be one signal
		for {
			select {
			case <-over:
				return
			case <-time.After(100 * time.Millisecond):
				o.key(ctrlC)
			}
		}
	})
	defer pressing.Wait()
	defer close(over)
	code, out, screen := o.end()
	if code != exitSignal+2 || out != "" || strings.LastIndex(screen, erase) < strings.LastIndex(screen, " sent") {
		t.Errorf("code %d, report %q, terminal %.500q", code, out, screen)
	}
}

func TestInterruptedBeforeThereIsAReport(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	o := startOnTerminal(t, nil, "echo", fmt.Sprintf("ws://%s/", ln.Addr()), "--conns=1")
	if conn, err := ln.Accept(); err == nil {
		defer conn.Close()
	}
	o.key(ctrlC)
	code, out, screen := o.end()
	if code != exitSignal+2 || out != "" || !strings.Contains(screen, "interrupted before anything was measured") {
		t.Errorf("code %d, report %q, terminal %.500q", code, out, screen)
	}
}

// Terminals that can little, or whose owners want little.
func TestPlainTerminals(t *testing.T) {
	url := serveEcho(t, 0)
	for _, c := range []struct{ env, want, not string }{
		{"TERM=dumb", "] measuring  1 connections", "\x1b"},
		{"NO_COLOR=1", "measuring   ━━━", "\x1b[32m"},
	} {
		o := startOnTerminal(t, []string{c.env}, "echo", url, "--rate=100", "--conns=1", "--warmup=0s", "--duration=1100ms")
		code, _, screen := o.end()
		if code != exitOK || !strings.Contains(screen, c.want) || strings.Contains(screen, c.not) {
			t.Errorf("%s: code %d, terminal %.500q", c.env, code, screen)
		}
	}
}

// All threads run where they are to, and the result says what that leaves.
func TestPinnedToAProcessor(t *testing.T) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	last := -1
	for n := range host.MaxCPUs {
		if allowed.IsSet(n) {
			last = n
		}
	}
	file := filepath.Join(t.TempDir(), "result")
	c := command(t, "echo", serveEcho(t, 0), "--rate=100", "--conns=3", "--warmup=0s", "--duration=2s", "--json="+file, fmt.Sprint("--cpus=", last))
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = stderr.Read(make([]byte, 1)) // it measures
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", c.Process.Pid))
	for _, name := range threads {
		status, err := os.ReadFile(name)
		if err == nil && !strings.Contains(string(status), fmt.Sprintf("Cpus_allowed_list:\t%d\n", last)) {
			t.Errorf("%s: %s", name, status)
		}
	}
	_, _ = io.Copy(io.Discard, stderr)
	if err := c.Wait(); err != nil || len(threads) < 3 {
		t.Errorf("%v; %d threads", err, len(threads))
	}
	var r bench.Result
	if b, err := os.ReadFile(file); err != nil || json.Unmarshal(b, &r) != nil || r.Machine.Processors != 1 || r.Client.Allowed != 1 || r.Client.Loops != 1 {
		t.Errorf("%v: %+v, %+v", err, r.Machine, r.Client)
	}
}

func TestProcessorsAreRead(t *testing.T) {
	for text, want := range map[string]string{"1": "[1]", "0,2-3": "[0 2 3]", "3,1-2,2": "[1 2 3]"} {
		var c cpus
		if err := c.UnmarshalText([]byte(text)); err != nil || fmt.Sprint([]int(c)) != want {
			t.Errorf("%q: %v, %v", text, c, err)
		}
	}
	for _, text := range []string{"", "x", "2-1", "-1", "1-", "1,,2", "1024", "0-99999999999"} {
		var c cpus
		if err := c.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %v", text, c)
		}
	}
}
