package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/headrace/headrace/bench"
	"github.com/headrace/headrace/bench/peers/bare"
	"github.com/headrace/headrace/bench/peers/cores"
)

// programs are what the turns run.
type programs struct {
	dir                  string
	server, bare, client string
	on                   cores.Pair
}

// buildPrograms compiles all. end removes them.
func buildPrograms(on cores.Pair) (p *programs, err error) {
	p = &programs{on: on}
	if p.dir, err = os.MkdirTemp("", "client-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.end()
		}
	}()
	if p.server, err = bare.Build("echo", p.dir); err != nil {
		return nil, err
	}
	if p.bare, err = bare.Build("client", p.dir); err != nil {
		return nil, err
	}
	root, err := bare.Root()
	if err != nil {
		return nil, err
	}
	p.client = filepath.Join(p.dir, "wsbench")
	out, err := exec.Command("go", "build", "-C", root, "-o", p.client, "./cmd/wsbench").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("wsbench does not build: %w\n%s", err, out)
	}
	return p, nil
}

func (p *programs) end() { _ = os.RemoveAll(p.dir) }

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
	if err := cores.StartOn(p.on.Client, cmd); err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, errs.String())
	}
	return []byte(out.String()), nil
}

// serve starts the server on its core, for one turn.
func (p *programs) serve() (addr string, end func(), err error) {
	cmd := exec.Command(p.server)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cores.StartOn(p.on.Server, cmd); err != nil {
		return "", nil, err
	}
	end = func() {
		_ = in.Close() // it ends with its input
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening ")
	if err != nil || !ok {
		end()
		return "", nil, fmt.Errorf("the server says %q: %w", line, err)
	}
	return addr, end, nil
}
