package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/headrace/headrace/bench/peers/process"
)

// report is all that a run has found, as the JSON file has it.
type report struct {
	ServerCore int          `json:"serverCore"`
	ClientCore int          `json:"clientCore"`
	Jobs       []*jobResult `json:"jobs"`
}

// jobResult is one job on both clients, round by round.
type jobResult struct {
	Job     string    `json:"job"`
	Bare    []figures `json:"bare"`
	Wsbench []figures `json:"wsbench"`
	Ratios  []float64 `json:"ratios"` // of CPU, in the same round
	Ratio   float64   `json:"ratio"`  // their median
}

// run does all that is planned. The report is not nil once something was measured.
func (p *plan) run() (*report, error) {
	on, err := process.PickCores(p.serverCPU, p.clientCPU)
	if err != nil {
		return nil, err
	}
	if on == process.NoCores {
		progress("this process may use one core only: server and client share it, and the figures are of little use")
	}
	programs, err := buildPrograms(on)
	if err != nil {
		return nil, err
	}
	defer programs.end()
	rep := &report{ServerCore: on.Server, ClientCore: on.Client}
	for _, j := range p.jobs {
		result := &jobResult{Job: j.String()}
		rep.Jobs = append(rep.Jobs, result)
		for round := range p.rounds {
			if err := result.measure(programs, j, p.per); err != nil {
				return rep, fmt.Errorf("%v: %w", j, err)
			}
			progress("%-14s round %d of %d: %.2f times the bare client's CPU", j, round+1, p.rounds, result.Ratios[round])
		}
	}
	return rep, nil
}

// measure makes a round. The client that is first changes with each.
func (r *jobResult) measure(p *programs, j job, per time.Duration) error {
	turns := []func() error{
		func() error { return turn(p, &r.Bare, p.turnOfBare, j, per) },
		func() error { return turn(p, &r.Wsbench, p.turnOfWsbench, j, per) },
	}
	if len(r.Ratios)%2 == 1 {
		slices.Reverse(turns)
	}
	for _, t := range turns {
		if err := t(); err != nil {
			return err
		}
	}
	last := len(r.Ratios)
	r.Ratios = append(r.Ratios, r.Wsbench[last].CPU/r.Bare[last].CPU)
	r.Ratio = median(r.Ratios)
	return nil
}

// turn is one client against a server of its own.
func turn(p *programs, to *[]figures, do func(string, job, time.Duration) (figures, error), j job, per time.Duration) error {
	server, err := process.StartServer([]string{p.server}, nil, p.on.Server)
	if err != nil {
		return err
	}
	defer server.End()
	f, err := do(server.Addr, j, per)
	if err == nil {
		*to = append(*to, f)
	}
	return err
}

func (r *report) print(to io.Writer) {
	fmt.Fprintf(to, "\nCPU of the client for each message; bare client and server: cc -O2; server on core %d, clients on core %d\n", r.ServerCore, r.ClientCore)
	w := tabwriter.NewWriter(to, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "job\tCPU over bare\tleast..most\tbare ns\twsbench ns\tbare /s\twsbench /s\tbare p50 p99 us\twsbench p50 p99 us\tlag p50 p99 us\t")
	for _, j := range r.Jobs {
		if len(j.Ratios) == 0 {
			continue
		}
		b, c := medians(j.Bare), medians(j.Wsbench)
		fmt.Fprintf(w, "%s\t%.2f\t%.2f..%.2f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f %.0f\t%.0f %.0f\t%.0f %.0f\t\n", j.Job, j.Ratio, slices.Min(j.Ratios), slices.Max(j.Ratios),
			b.CPU, c.CPU, b.PerSecond, c.PerSecond, b.P50/1e3, b.P99/1e3, c.P50/1e3, c.P99/1e3, c.LagP50/1e3, c.LagP99/1e3)
	}
	_ = w.Flush()
}

// medians gives the median of each figure.
func medians(all []figures) figures {
	of := func(get func(*figures) float64) float64 {
		v := make([]float64, len(all))
		for i := range all {
			v[i] = get(&all[i])
		}
		return median(v)
	}
	return figures{
		CPU:       of(func(f *figures) float64 { return f.CPU }),
		PerSecond: of(func(f *figures) float64 { return f.PerSecond }),
		P50:       of(func(f *figures) float64 { return f.P50 }),
		P99:       of(func(f *figures) float64 { return f.P99 }),
		LagP50:    of(func(f *figures) float64 { return f.LagP50 }),
		LagP99:    of(func(f *figures) float64 { return f.LagP99 }),
	}
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}

func progress(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }

func (r *report) writeJSON(name string) error {
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}
