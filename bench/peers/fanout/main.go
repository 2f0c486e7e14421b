// Command fanout compares what it costs to send a message to many subscribers: the
// servers of bench/peers/servers, each in a process of its own on one core, against a
// bare loop in C (bench/limit). The subscribers are in this process, on another core.
//
// The figures are CPU time of the server for each delivery, over that of the bare loop
// in the same round, and the time from publish to receipt. Times by the clock move with
// what else the machine does; the ratios of one run hold.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/headrace/headrace/bench/peers/process"
	"github.com/headrace/headrace/bench/peers/servers"
)

func main() {
	err := mainErr(os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "fanout:", err)
		os.Exit(1)
	}
}

func mainErr(args []string) error {
	if len(args) > 0 && args[0] == serveRole {
		return serve(args[1:])
	}
	p, err := parsePlan(args)
	if err != nil {
		return err
	}
	rep, err := p.run()
	if rep != nil { // also what there is when a later part failed
		rep.print(os.Stdout)
		if p.json != "" {
			err = errors.Join(err, rep.writeJSON(p.json))
		}
	}
	return err
}

// serve is this program in the role of a server: serve NAME SUBSCRIBERS.
func serve(args []string) error {
	if len(args) != 2 || servers.Find(args[0]) == nil {
		return fmt.Errorf("no such server: %q", args)
	}
	subscribers, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	return servers.Serve(servers.Find(args[0]).New(), subscribers, os.Stdin, os.Stdout)
}

// plan is what to measure.
type plan struct {
	servers                []string
	subscribers, bursts    []int
	rounds                 int
	per                    time.Duration
	latencySubscribers     int
	latencyRates           []int
	latencyFor, latencyEnd time.Duration
	procs                  int
	serverCPU, clientCPU   int
	sleeps                 bool
	json                   string
}

func parsePlan(args []string) (*plan, error) {
	p := &plan{servers: allNames()}
	f := flag.NewFlagSet("fanout", flag.ContinueOnError)
	numbers := func(to *[]int, name, initial, usage string) {
		*to, _ = parseNumbers(initial)
		f.Func(name, usage+" (default "+initial+")", func(s string) (err error) {
			*to, err = parseNumbers(s)
			return err
		})
	}
	f.Func("servers", "`names` of some, limit first (default "+strings.Join(p.servers, ",")+")", func(s string) error {
		p.servers = strings.Split(s, ",")
		return nil
	})
	numbers(&p.subscribers, "subscribers", "1,100,5000,10000", "`numbers` of them, one after the other, for CPU")
	numbers(&p.bursts, "bursts", "1,16", "`numbers` of messages that are published together")
	f.IntVar(&p.rounds, "rounds", 5, "rounds over all servers; 0 for none")
	f.DurationVar(&p.per, "per", 600*time.Millisecond, "how long each server publishes in a round, for each burst")
	f.IntVar(&p.latencySubscribers, "latency-subscribers", 10_000, "how many there are, for latency")
	numbers(&p.latencyRates, "latency-rates", "100", "`numbers` of messages a second, for latency")
	f.DurationVar(&p.latencyFor, "latency-for", 10*time.Second, "how long each rate lasts; 0 for no latency")
	f.DurationVar(&p.latencyEnd, "latency-end", 5*time.Second, "how long to wait for what is late then")
	f.IntVar(&p.procs, "procs", 4, "GOMAXPROCS of the servers in Go: with more than one for its core, a system call costs less")
	f.IntVar(&p.serverCPU, "server-cpu", -1, "core of the servers; -1 for the first")
	f.IntVar(&p.clientCPU, "client-cpu", -1, "core of the subscribers; -1 for the second")
	f.BoolVar(&p.sleeps, "sleep", false, "let the subscribers sleep when they have read everything: a write then pays for waking their core, which costs a virtual machine more than the write itself")
	f.StringVar(&p.json, "json", "", "a `file` for all figures")
	if err := process.ParseFlags(f, args); err != nil {
		return nil, err
	}
	return p, p.check()
}

func (p *plan) check() error {
	for i, name := range p.servers {
		if (name == limitName) != (i == 0) || i > 0 && servers.Find(name) == nil {
			return fmt.Errorf("-servers %s: limit, then some of %s", strings.Join(p.servers, ","), strings.Join(allNames()[1:], ","))
		}
	}
	for _, b := range p.bursts {
		if b > maxBurst {
			return fmt.Errorf("-bursts: at most %d", maxBurst)
		}
	}
	for _, n := range append([]int{p.latencySubscribers}, p.subscribers...) {
		if err := process.CheckDescriptors(n); err != nil {
			return err
		}
	}
	return nil
}

const maxBurst = 1024 // as in bench/limit/limit.c

func allNames() []string {
	names := []string{limitName}
	for i := range servers.Kinds {
		names = append(names, servers.Kinds[i].Name)
	}
	return names
}

func parseNumbers(s string) (numbers []int, err error) {
	for word := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a number from 1 on", word)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}
