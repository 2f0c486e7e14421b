package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/headrace/headrace/bench"
	"github.com/headrace/headrace/bench/peers/process"
)

// programs are what the turns run.
type programs struct {
	dir                  string
	server, bare, client string
	clean                []func()
	on                   process.Cores
}

// buildPrograms compiles all. end removes them.
func buildPrograms(on process.Cores) (p *programs, err error) {
	p = &programs{on: on}
	if p.dir, err = os.MkdirTemp("", "client-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.end()
		}
	}()
	for source, program := range map[string]*string{"echo.c": &p.server, "client.c": &p.bare} {
		made, clean, err := process.BuildC(source)
		if err != nil {
			return nil, err
		}
		*program, p.clean = made, append(p.clean, clean)
	}
	mod, err := process.FindAbove(filepath.Join("cmd", "wsbench", "main.go"))
	if err != nil {
		return nil, err
	}
	p.client = filepath.Join(p.dir, "wsbench")
	out, err := exec.Command("go", "build", "-C", filepath.Dir(mod), "-o", p.client, ".").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("wsbench does not build: %w\n%s", err, out)
	}
	return p, nil
}

func (p *programs) end() {
	_ = os.RemoveAll(p.dir)
	for _, c := range p.clean {
		c()
	}
}

// figures are what a client needed in one turn.
type figures struct {
	CPU       float64 `json:"cpuPerMessage"` // nanoseconds
	PerSecond float64 `json:"perSecond"`     // messages that came back
	P50       float64 `json:"p50"`           // nanoseconds
	P99       float64 `json:"p99"`
	LagP50    float64 `json:"lagP50"` // nanoseconds from due to sent; wsbench in an open loop alone tells
	LagP99    float64 `json:"lagP99"`
}

// turnOfBare has the bare client do a job.
func (p *programs) turnOfBare(addr string, j job, per time.Duration) (f figures, err error) {
	args := []string{addr, strconv.Itoa(j.Conns), strconv.Itoa(j.InFlight), strconv.Itoa(j.Bytes), fmt.Sprint((per * 5 / 4).Seconds())}
	if j.Rate > 0 {
		args = append(args, fmt.Sprint(j.Rate))
	}
	out, err := p.output(exec.Command(p.bare, args...))
	if err != nil {
		return f, err
	}
	var said struct{ Messages, Seconds float64 }
	if err := errors.Join(json.Unmarshal(out, &f), json.Unmarshal(out, &said)); err != nil {
		return f, fmt.Errorf("the bare client says %q: %w", out, err)
	}
	f.PerSecond = said.Messages / said.Seconds
	return f, f.check()
}

// turnOfWsbench has wsbench do it.
func (p *programs) turnOfWsbench(addr string, j job, per time.Duration) (f figures, err error) {
	file := filepath.Join(p.dir, "result.json")
	args := []string{
		"echo", "ws://" + addr + "/", "--conns", strconv.Itoa(j.Conns), "--size", strconv.Itoa(j.Bytes),
		"--warmup", (per / 4).String(), "--duration", per.String(), "--loops", "1", "--json", file,
	}
	if j.Rate > 0 {
		args = append(args, "--rate", fmt.Sprint(j.Rate))
	} else {
		args = append(args, "--inflight", strconv.Itoa(j.InFlight))
	}
	if _, err := p.output(exec.Command(p.client, args...)); err != nil {
		return f, err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return f, err
	}
	var r bench.Result
	if err := json.Unmarshal(b, &r); err != nil {
		return f, err
	}
	if n := r.Counts.Errors(); n > 0 {
		return f, fmt.Errorf("wsbench reports %d errors: %+v", n, r.Counts)
	}
	f = figures{
		CPU: r.Client.Cores * r.Seconds / float64(r.Counts.Received) * 1e9, PerSecond: r.Throughput(),
		P50: float64(r.Latency.At(50)), P99: float64(r.Latency.At(99)), LagP50: float64(r.Lag.At(50)), LagP99: float64(r.Lag.At(99)),
	}
	return f, f.check()
}

// check keeps a turn without messages out of the ratios.
func (f *figures) check() error {
	if !(f.CPU > 0) || !(f.PerSecond > 0) {
		return fmt.Errorf("a turn has measured nothing: %+v", *f)
	}
	return nil
}

// output runs a client on its core, and gives what it says.
func (p *programs) output(cmd *exec.Cmd) ([]byte, error) {
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := process.StartOn(p.on.Client, cmd); err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, errs.String())
	}
	return []byte(out.String()), nil
}
