package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/headrace/headrace/bench/peers/process"
)

// run does all that is planned. The report is not nil once something was measured.
func (p *plan) run() (*report, error) {
	cores, err := process.PickCores(p.server, p.client)
	if err != nil {
		return nil, err
	}
	f, absent, err := gather(p.servers, p.procs)
	if err != nil {
		return nil, err
	}
	defer f.close()
	for _, why := range absent {
		progress("left out: %s", why)
	}
	r := newReport(p, f, cores)
	begin := time.Now()
	if p.fanout { // before this process is pinned, and with it what it starts
		if r.Fanout, err = runFanout(p); err != nil {
			return r, err
		}
	}
	if cores == process.NoCores {
		progress("this process may use one core only: servers and load share it, and the figures are of little use")
	} else if err := process.PinAll(cores.Client); err != nil {
		return nil, err
	}
	for i := range p.jobs {
		if err := p.compete(r, f, &p.jobs[i], cores); err != nil {
			return r, err
		}
		progress("%d of %d jobs are done, after %v", i+1, len(p.jobs), time.Since(begin).Round(time.Second))
	}
	r.Seconds = time.Since(begin).Seconds()
	return r, r.keep(p.kept)
}

// compete goes round over the servers with one job. A server that fails is left out of
// the rest, and the report says why.
func (p *plan) compete(r *report, f *field, j *job, cores process.Cores) error {
	res := &jobResult{Job: *j, Name: j.name(), Title: j.title()}
	r.Jobs = append(r.Jobs, res)
	rounds := p.rounds
	if j.Kind == kindMemory {
		rounds = 1 // memory does not move much, and connections take their time
	}
	for round := range rounds {
		for i := range f.all {
			c := &f.all[i]
			if !c.does(j) || res.failed(c.name) {
				continue
			}
			fig, err := f.turn(c, j, cores, p.per)
			if err != nil {
				progress("%s: %s does not do it: %v", j.name(), c.name, err)
				res.fail(c, err)
				continue
			}
			res.add(c, fig)
			progress("%s: round %d of %d  %-8s  %s", j.name(), round+1, rounds, c.name, fig.line(j))
		}
	}
	res.sum()
	return nil
}

// line is a turn in a few words.
func (f *figuresOf) line(j *job) string {
	switch j.Kind {
	case kindMemory:
		return fmt.Sprintf("%.0f B for each connection, %.0f B after an echo, %.0f B without garbage", f.Idle, f.After, f.Collected)
	case kindShakes:
		return fmt.Sprintf("%.1f us of CPU for each handshake, %.0f/s", f.ServerCPU/1e3, float64(f.Messages)/f.Seconds)
	case kindEcho:
	}
	return fmt.Sprintf("%.2f us of CPU for each message, %.0f/s", f.ServerCPU/1e3, float64(f.Messages)/f.Seconds)
}

func progress(format string, a ...any) {
	fmt.Fprintln(os.Stderr, strings.TrimRight(fmt.Sprintf(format, a...), "\n"))
}
