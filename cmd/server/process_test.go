package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// process is the program, running.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	addr  string
	ended chan error
}

// startProcess starts the program on a free port, by way of a command that
// execs "$@".
func startProcess(t *testing.T, via ...string) *process {
	t.Helper()
	args := append(via, binary, "--addr", "127.0.0.1:0")
	return startCommand(t, exec.Command(args[0], args[1:]...))
}

// startCommand starts the program as the command says.
func startCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	if cmd.Stderr == nil {
		cmd.Stderr = t.Output()
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd, ended: make(chan error, 1)}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	for p.addr == "" && lines.Scan() {
		if m := echoURL.FindStringSubmatch(lines.Text()); m != nil {
			p.addr = m[1]
		}
	}
	if p.addr == "" {
		t.Fatalf("the program did not say where it listens: %v", cmd.Wait())
	}
	go func() {
		for lines.Scan() { // to the end, so that Wait may close the pipe
		}
		p.ended <- cmd.Wait()
	}()
	return p
}

var echoURL = regexp.MustCompile(`wss?://(\S+)/echo`)

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// wait gives the exit code, or -1 for the end by a signal, and how long it took.
func (p *process) wait() (code int, took time.Duration) {
	p.t.Helper()
	began := time.Now()
	select {
	case err := <-p.ended:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			p.t.Fatal(err)
		}
		return p.cmd.ProcessState.ExitCode(), time.Since(began)
	case <-time.After(patience):
		p.t.Fatal("the program has not ended")
	}
	return 0, 0
}

func TestSignalClosesEveryone(t *testing.T) {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			t.Parallel()
			p := startProcess(t)
			var all []*client
			for _, path := range []string{"/echo", "/ws/chat", "/hello", "/echo"} {
				c := dial(t, p.addr, path)
				c.say("My name is Bora")
				c.next()
				all = append(all, c)
			}
			p.signal(s)
			for _, c := range all {
				c.wantClose(ws.StatusGoingAway, "server is shutting down")
			}
			if code, _ := p.wait(); code != exitOK {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// A peer that never answers our Close frame doesn't hold up the end.
func TestSignalSilentPeer(t *testing.T) {
	t.Parallel()
	p := startProcess(t)
	dial(t, p.addr, "/echo")
	half, err := net.Dial("tcp", p.addr) // never sends its request
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	p.signal(os.Interrupt)
	if code, took := p.wait(); code != exitOK || took > 10*time.Second {
		t.Errorf("exit code %d after %v; want 0 within 10 s", code, took)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	p := startProcess(t)
	c := dial(t, p.addr, "/echo")
	p.signal(os.Interrupt)
	c.want(ws.OpClose, ws.NewCloseFrameBody(ws.StatusGoingAway, "server is shutting down")) // and no answer from us
	p.signal(os.Interrupt)
	if code, took := p.wait(); code != -1 || took > defaults().config.CloseTimeout {
		t.Errorf("exit code %d after %v; want the end by the signal, at once", code, took)
	}
}

// Go raises the soft limit of descriptors to the hard one when a program
// starts; with it come as many connections as the system allows.
func TestDescriptorLimit(t *testing.T) {
	t.Parallel()
	p := startProcess(t, "sh", "-c", `ulimit -Sn 64 && exec "$@"`, "sh")
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.cmd.Process.Pid))
	if err != nil {
		t.Skip("no /proc here:", err)
	}
	var soft, hard int
	_, line, _ := strings.Cut(string(b), "Max open files")
	if _, err := fmt.Sscan(line, &soft, &hard); err != nil {
		t.Fatalf("limits: %v in\n%s", err, b)
	}
	if soft < hard-1 { // Go leaves one, to know its own doing again
		t.Errorf("%d files may be open, and the system allows %d", soft, hard)
	}
	p.signal(syscall.SIGTERM)
	if code, _ := p.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestExitCodes(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct {
		args   string
		code   int
		stdout string // "": nothing
		stderr string // "": nothing, else one line with this
	}{
		{"--help", exitOK, "--max-message", ""},
		{"--version", exitOK, program + " ", ""},
		{"--nonsense", exitUsage, "", "unknown flag --nonsense (see headrace-server --help)"},
		{"--loops x", exitUsage, "", "--loops x: it must be a number"},
		{"--check-config", exitOK, "The configuration is valid.", ""},
		{"--check-config --tls-cert /nonexistent --tls-key /nonexistent", exitUsage, "", "tls-cert /nonexistent (--tls-cert): the file cannot be read: no such file"},
		{"--tls-cert /nonexistent --tls-key /nonexistent", exitUsage, "", "tls-cert /nonexistent (--tls-cert): the file cannot be read: no such file"},
		{"--check-config --internal-addr :0 --publish-token-file /nonexistent", exitUsage, "", "publish-token-file /nonexistent (--publish-token-file): the file cannot be read: no such file"},
		{"--check-config --addr nowhere.invalid:80", exitUsage, "", "nowhere.invalid"},
		{"--print-config", exitOK, "max-message: 1MiB\n", ""},
		{"--config /nonexistent", exitUsage, "", "/nonexistent"},
		{"--addr 127.0.0.1:0 --internal-addr " + taken.Addr().String(), exitFailed, "", taken.Addr().String() + " is taken by another program; end that one, or choose another port with --internal-addr"},
		{"--addr " + taken.Addr().String(), exitFailed, "", taken.Addr().String() + " is taken by another program"},
		{"--addr 192.0.2.1:0", exitFailed, "", "192.0.2.1:0 is no address of this machine"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			cmd := exec.Command(binary, strings.Fields(tt.args)...)
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			_ = cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(stdout.String(), tt.stdout) || tt.stdout == "" && stdout.Len() > 0 {
				t.Errorf("stdout: %q", &stdout)
			}
			if !strings.Contains(stderr.String(), tt.stderr) || strings.Count(stderr.String(), "\n") > 1 || tt.stderr == "" && stderr.Len() > 0 {
				t.Errorf("stderr: %q", &stderr)
			}
		})
	}
}

// The whole program by file, environment and flags: operators see its end begin
// before the first client does, and the clients are told when to come again.
func TestProcessIsDrained(t *testing.T) {
	t.Parallel()
	internal := "127.0.0.1:" + freePort(t)
	file := writeConfig(t, "addr: [\"127.0.0.1:0\", \"[::]:0\"]\ndrain-code: 1001\ndrain-window: 700ms\nclose-timeout: 20s\nshutdown-timeout: 30s\nlog-format: json\n")
	cmd := exec.Command(binary, "--addr", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "HEADRACE_CONFIG="+file, "HEADRACE_DRAIN_CODE=1012", "HEADRACE_INTERNAL_ADDR="+internal)
	p := startCommand(t, cmd)
	var all []*client
	for range 8 {
		c := dial(t, p.addr, "/echo")
		c.say("hello")
		c.hear("hello")
		all = append(all, c)
	}
	for _, addr := range []string{internal, p.addr} {
		if res, body := get(t, addr, "GET", "/readyz"); res.StatusCode != 200 || body != "ready\n" {
			t.Errorf("%s/readyz: %d, %q", addr, res.StatusCode, body)
		}
	}
	p.signal(syscall.SIGTERM)
	told := make(chan time.Duration, len(all))
	began := time.Now()
	for _, c := range all {
		go func() {
			defer func() { told <- time.Since(began) }()
			op, payload := c.next()
			code, reason := ws.ParseCloseFrameData(payload)
			var retry struct {
				Milliseconds int `json:"retry_after_ms"`
			}
			if err := json.Unmarshal([]byte(reason), &retry); op != ws.OpClose || code != 1012 || err != nil ||
				retry.Milliseconds < 0 || retry.Milliseconds > 1700 {
				t.Errorf("got opcode %d, code %d, %q; want 1012 and a time to come again", op, code, reason)
			}
			if res, body := get(t, internal, "GET", "/readyz"); res.StatusCode != 503 {
				t.Errorf("/readyz when a client has been closed: %d, %q", res.StatusCode, body)
			}
			if res, body := get(t, internal, "GET", "/healthz"); res.StatusCode != 200 {
				t.Errorf("/healthz at the end: %d, %q", res.StatusCode, body)
			}
			c.send(ws.OpClose, payload)
			_ = c.conn.Close() // the server waits for that
		}()
	}
	for range all {
		if took := <-told; took > 10*time.Second { // the shutdown's end is far
			t.Errorf("a Close frame came after %v", took)
		}
	}
	if code, _ := p.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
