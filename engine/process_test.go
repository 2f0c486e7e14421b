package engine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// roleEnv makes this test binary another process, which plays one of the roles: two
// ends of ten thousand connections are too many descriptors for one process, and some
// tests use up all that theirs may have. Its value is the role and its arguments.
const roleEnv = "HEADRACE_TEST_ROLE"

var roles = map[string]func(args string) error{
	"idlers":  runIdlers,
	"crowd":   runCrowd,
	"starved": runStarved,
	"echo":    runEcho,
	"leavers": runLeavers,
}

// playRole plays the role that this process was started for, if there is one.
func playRole() (played bool, code int) {
	role, args, _ := strings.Cut(os.Getenv(roleEnv), " ")
	if role == "" {
		return false, 0
	}
	if err := roles[role](args); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
		return true, 1
	}
	return true, 0
}

// process is another process that plays a role. It says and is told things, line by
// line.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startProcess starts one. It ends at the end of the test, if not before.
func startProcess(tb testing.TB, role, args string) *process {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s", roleEnv, role, args))
	cmd.Stderr = os.Stderr
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		tb.Fatal(err)
	}
	p := &process{cmd, stdin, bufio.NewReader(stdout)}
	tb.Cleanup(func() { _ = p.end() })
	return p
}

// line waits for the next line that it says.
func (p *process) line(tb testing.TB) string {
	tb.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		tb.Fatalf("the other process said %q: %v; it ended with: %v", line, err, p.end())
	}
	return strings.TrimSpace(line)
}

func (p *process) expect(tb testing.TB, want string) {
	tb.Helper()
	if line := p.line(tb); line != want {
		tb.Fatalf("the other process said %q, want %q", line, want)
	}
}

func (p *process) say(tb testing.TB, line string) {
	tb.Helper()
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		tb.Fatal(err)
	}
}

// end ends its input, which ends every role, and waits for it. It may be called twice.
func (p *process) end() error {
	_ = p.in.Close()
	defer time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() }).Stop()
	_, _ = io.Copy(io.Discard, p.out) // else it may wait for somebody who reads
	return p.cmd.Wait()
}
