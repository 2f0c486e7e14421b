// Package process starts the programs that are compared, each on a core of its own.
package process

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/headrace/headrace/bench/peers/clock"
)

// Patience is how long a server may take for anything that has no time of its own.
const Patience = 30 * time.Second

// Child is a process that says things line by line, and ends with its input.
type Child struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	said chan string // line by line; closed at the end
}

// Server is the Child that is a server. It says "listening ADDRESS" first.
type Server struct {
	*Child
	Addr string
}

// StartServer starts a server on a core; -1 is any.
func StartServer(command, environ []string, cpu int) (*Server, error) {
	ch, err := Start(command, environ, cpu)
	if err != nil {
		return nil, err
	}
	s := &Server{Child: ch}
	if s.Addr, err = ch.Expect("listening "); err != nil {
		ch.End()
		return nil, fmt.Errorf("%s: %w", command[0], err)
	}
	return s, nil
}

// Start starts a program on a core; -1 is any. environ nil is that of this process.
func Start(command, environ []string, cpu int) (*Child, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env, cmd.Stderr = environ, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := StartOn(cpu, cmd); err != nil {
		return nil, err
	}
	ch := &Child{cmd: cmd, in: in, said: make(chan string, 1)}
	go func() {
		defer close(ch.said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			ch.said <- lines.Text()
		}
	}()
	return ch, nil
}

// Expect waits for a line that begins with prefix, and gives the rest.
func (c *Child) Expect(prefix string) (string, error) {
	select {
	case line, ok := <-c.said:
		rest, fits := strings.CutPrefix(line, prefix)
		switch {
		case !ok:
			return "", errors.New("it has ended")
		case !fits:
			return "", fmt.Errorf("it says %q instead of %q", line, prefix)
		}
		return rest, nil
	case <-time.After(Patience):
		return "", fmt.Errorf("it does not say %q within %v", prefix, Patience)
	}
}

// Order has it do something.
func (c *Child) Order(format string, a ...any) error {
	_, err := fmt.Fprintf(c.in, format+"\n", a...)
	return err
}

// CPU is how long its threads have run.
func (c *Child) CPU() (time.Duration, error) { return clock.CPU(c.cmd.Process.Pid) }

// PID is its number.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// End ends the process: its input has an end, and if that does not help in a moment it
// is killed, because it may have a queue to write that nobody wants.
func (c *Child) End() {
	_ = c.in.Close()
	kill := time.AfterFunc(time.Second, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	for range c.said { // Wait must not come before
	}
	_ = c.cmd.Wait()
}
