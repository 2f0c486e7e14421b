package main

import (
	"fmt"
	"os"

	"github.com/headrace/headrace/bench/peers/cores"
)

// run does all that is planned. The report is not nil once something was measured.
func (p *plan) run() (*report, error) {
	contenders, clean, err := findContenders(p.servers, p.procs)
	if err != nil {
		return nil, err
	}
	defer clean()
	on, err := cores.Pick(p.serverCPU, p.clientCPU)
	if err != nil {
		return nil, err
	}
	if on == cores.None {
		progress("this process may use one core only: server and subscribers share it, and the figures are of little use")
	} else if err := cores.PinAll(on.Client); err != nil {
		return nil, err
	}
	rep := newReport(contenders, on, p.procs)
	for _, n := range p.subscribers {
		if p.rounds == 0 {
			break
		}
		if err := p.throughput(rep, contenders, on, n); err != nil {
			return rep, err
		}
	}
	if p.latencyFor == 0 {
		return rep, nil
	}
	return rep, p.latency(rep, contenders, on)
}

// throughput goes round over the servers. Each turn has processes and connections of
// its own, so that a round does not depend on what an earlier one has left behind.
func (p *plan) throughput(rep *report, contenders []contender, on cores.Pair, subscribers int) error {
	jobs := make([]*throughputResult, len(p.bursts))
	for i, burst := range p.bursts {
		jobs[i] = &throughputResult{Subscribers: subscribers, Burst: burst}
	}
	rep.Throughput = append(rep.Throughput, jobs...)
	for round := range p.rounds {
		for _, c := range contenders {
			if err := p.throughputTurn(jobs, c, on, round); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

func (p *plan) throughputTurn(jobs []*throughputResult, c contender, on cores.Pair, round int) error {
	s, err := openStage(c, on, jobs[0].Subscribers, p.sleeps)
	if err != nil {
		return err
	}
	defer s.close()
	for _, job := range jobs {
		fig, err := s.measure(job.Burst, p.per)
		if err != nil {
			return err
		}
		job.add(c.name, round, fig)
		progress("round %d of %d  %-8s  %d subscribers, bursts of %d: %.0f ns of CPU for each delivery",
			round+1, p.rounds, c.name, job.Subscribers, job.Burst, fig.CPU)
	}
	return nil
}

func (p *plan) latency(rep *report, contenders []contender, on cores.Pair) error {
	for _, rate := range p.latencyRates {
		job := &latencyResult{Subscribers: p.latencySubscribers, Rate: rate, Seconds: p.latencyFor.Seconds()}
		rep.Latency = append(rep.Latency, job)
		for _, c := range contenders {
			if err := p.latencyTurn(job, c, on); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

func (p *plan) latencyTurn(job *latencyResult, c contender, on cores.Pair) error {
	s, err := openStage(c, on, job.Subscribers, true)
	if err != nil {
		return err
	}
	defer s.close()
	fig, err := s.watch(job.Rate, p.latencyFor, p.latencyEnd)
	if err != nil {
		return err
	}
	fig.Server = c.name
	job.Servers = append(job.Servers, fig)
	progress("latency  %-8s  %d subscribers, %d messages/s: %.1f %% delivered, half of them within %s ms",
		c.name, job.Subscribers, job.Rate, 100*fig.Delivered, inMS(fig.All.P50))
	return nil
}

func progress(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }
