package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/headrace/headrace/bench/peers/clock"
	"github.com/headrace/headrace/bench/peers/cores"
)

// patience is how long a server may take for anything that has no time of its own.
const patience = 30 * time.Second

// child is the process of a server: see servers.Serve for what it says and obeys.
type child struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	said chan string // line by line; closed at the end
	addr string
}

func startChild(c contender, cpu, subscribers int) (*child, error) {
	args := append(c.command[1:len(c.command):len(c.command)], strconv.Itoa(subscribers))
	cmd := exec.Command(c.command[0], args...)
	cmd.Env, cmd.Stderr = c.environ, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cores.StartOn(cpu, cmd); err != nil {
		return nil, err
	}
	ch := &child{cmd: cmd, in: in, said: make(chan string, 1)}
	go func() {
		defer close(ch.said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			ch.said <- lines.Text()
		}
	}()
	if ch.addr, err = ch.expect("listening "); err != nil {
		ch.end()
		return nil, err
	}
	return ch, nil
}

// expect waits for a line that begins with prefix, and gives the rest.
func (c *child) expect(prefix string) (string, error) {
	select {
	case line, ok := <-c.said:
		rest, fits := strings.CutPrefix(line, prefix)
		switch {
		case !ok:
			return "", errors.New("the server has ended")
		case !fits:
			return "", fmt.Errorf("the server says %q instead of %q", line, prefix)
		}
		return rest, nil
	case <-time.After(patience):
		return "", fmt.Errorf("the server does not say %q within %v", prefix, patience)
	}
}

// order has the server do something. It answers "done".
func (c *child) order(format string, a ...any) error {
	_, err := fmt.Fprintf(c.in, format+"\n", a...)
	return err
}

func (c *child) done() error {
	_, err := c.expect("done")
	return err
}

func (c *child) cpu() (time.Duration, error) { return clock.CPU(c.cmd.Process.Pid) }

// end ends the process: its input has an end, and if that does not help in a moment it
// is killed, because it may have a queue to write that nobody wants.
func (c *child) end() {
	_ = c.in.Close()
	kill := time.AfterFunc(time.Second, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	for range c.said { // Wait must not come before
	}
	_ = c.cmd.Wait()
}
