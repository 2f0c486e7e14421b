package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/bench/host"
	"github.com/headrace/headrace/bench/peers/process"
)

// figuresOf are those of one turn: of one server, doing one job once.
type figuresOf struct {
	Messages  uint64  `json:"messages"`
	Seconds   float64 `json:"seconds"`
	ServerCPU float64 `json:"serverCPUPerMessage"` // nanoseconds; of a handshake, where that is the job
	Cores     float64 `json:"cores"`               // that the load has used
	P50       float64 `json:"p50"`                 // nanoseconds
	P99       float64 `json:"p99"`
	P999      float64 `json:"p999"`

	Idle      float64 `json:"idle,omitempty"`      // resident bytes for each connection, behind the handshake
	After     float64 `json:"after,omitempty"`     // and behind one echo
	Collected float64 `json:"collected,omitempty"` // and when it has collected its garbage
}

// turn has one server do one job.
func (f *field) turn(c *contender, j *job, cores process.Cores, per time.Duration) (figuresOf, error) {
	s, err := f.start(c, j, cores.Server)
	if err != nil {
		return figuresOf{}, err
	}
	defer s.End()
	switch j.Kind {
	case kindMemory:
		return memoryTurn(c, s, j)
	case kindShakes:
		return shakesTurn(s, per)
	case kindEcho:
	}
	return f.echoTurn(c, j, s, cores.Client, per)
}

// echoTurn loads a server from a process of its own.
func (f *field) echoTurn(c *contender, j *job, s *process.Server, cpu int, per time.Duration) (fig figuresOf, err error) {
	seconds, pid := strconv.FormatFloat(per.Seconds(), 'f', 3, 64), strconv.Itoa(s.PID())
	var command []string
	if j.TLS || j.deflates() {
		self, err := os.Executable()
		if err != nil {
			return fig, err
		}
		command = []string{
			self, loadRole, "-conns", strconv.Itoa(j.Conns), "-depth", strconv.Itoa(j.Depth), "-bytes", strconv.Itoa(j.Bytes),
			"-seconds", seconds, "-pid", pid, fmt.Sprintf("-text=%v", j.JSON), fmt.Sprintf("-deflate=%v", j.deflates()), url(j, s),
		}
	} else {
		command = []string{f.client, "-b", "-p", pid} // it never sleeps, so that no server pays for waking it
		if c.masks {
			command = append(command, "-m")
		}
		if j.Text != "" {
			command = append(command, "-t", j.Text.words())
		}
		command = append(command, s.Addr, strconv.Itoa(j.Conns), strconv.Itoa(j.Depth), strconv.Itoa(j.Bytes), seconds)
	}
	load, err := process.Start(command, nil, cpu)
	if err != nil {
		return fig, err
	}
	defer load.End()
	line, err := load.Expect("{")
	if err != nil {
		return fig, fmt.Errorf("the load of %s: %w", c.name, err)
	}
	if err := json.Unmarshal([]byte("{"+line), &fig); err != nil {
		return fig, err
	}
	if fig.Messages == 0 {
		return fig, fmt.Errorf("nothing came back within %v: give it more time with -per", per)
	}
	return fig, nil
}

func url(j *job, s *process.Server) string {
	if j.TLS {
		return "wss://" + s.Addr + "/"
	}
	return "ws://" + s.Addr + "/"
}

// shakesTurn opens connections and drops them, some at a time.
func shakesTurn(s *process.Server, per time.Duration) (fig figuresOf, err error) {
	const atOnce = 64
	shake := func(d time.Duration) (n int, err error) {
		for begin := time.Now(); time.Since(begin) < d; n += atOnce {
			fds, err := process.Dial(s.Addr, atOnce)
			for _, fd := range fds {
				_ = unix.Close(fd) // resets, so that no port is kept
			}
			if err != nil {
				return n, err
			}
		}
		return n, nil
	}
	if _, err := shake(per / 5); err != nil {
		return fig, err
	}
	before, err := s.CPU()
	if err != nil {
		return fig, err
	}
	begin := time.Now()
	n, err := shake(per * 4 / 5)
	if err != nil {
		return fig, err
	}
	took := time.Since(begin)
	after, err := s.CPU()
	return figuresOf{Messages: uint64(n), Seconds: took.Seconds(), ServerCPU: float64(after-before) / float64(n)}, err
}

// resident is what a server has when it has had a moment to settle.
func resident(s *process.Server) (float64, error) {
	time.Sleep(settleFor)
	p, err := host.FindProcess(s.PID())
	if err != nil {
		return 0, err
	}
	n, err := p.Resident()
	return float64(n), err
}

const settleFor = 2 * time.Second
