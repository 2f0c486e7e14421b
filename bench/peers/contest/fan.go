package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// fanReport is what the command fanout has printed.
type fanReport struct{ Text string }

// runFanout runs the command fanout, which stands beside this one.
func runFanout(p *plan) (*fanReport, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(filepath.Dir(self), "fanout"), "-rounds", strconv.Itoa(p.rounds), "-procs", strconv.Itoa(p.procs),
		"-latency-rates", "3,100", "-latency-for", "5s")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("fanout, which make bench-fanout builds: %w", err)
	}
	return &fanReport{out.String()}, nil
}
