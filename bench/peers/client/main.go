// Command client compares what wsbench costs with a bare client in C (bench/limit) that
// does the same: both load a bare echo server, which has a core of its own, in turns.
//
// The figure is the CPU time of the client for each message that came back, over that of
// the bare client in the same round. Times by the clock move with what else the machine
// does; the ratios of one run hold.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/headrace/headrace/bench/peers/process"
)

func main() {
	err := mainErr(os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func mainErr(args []string, to io.Writer) error {
	p, err := parsePlan(args)
	if err != nil {
		return err
	}
	rep, err := p.run()
	if rep != nil { // also what there is when a later part failed
		rep.print(to)
		if p.json != "" {
			err = errors.Join(err, rep.writeJSON(p.json))
		}
	}
	return err
}

// plan is what to measure.
type plan struct {
	jobs                 []job
	rounds               int
	per                  time.Duration
	serverCPU, clientCPU int
	json                 string
}

const defaultJobs = "100:1:20,1000:1:20,100:16:20,1000:1:1024,100@20000:20"

func parsePlan(args []string) (*plan, error) {
	p := new(plan)
	p.jobs, _ = parseJobs(defaultJobs)
	f := flag.NewFlagSet("client", flag.ContinueOnError)
	f.Func("jobs", "`jobs` one after the other: connections:in flight:bytes, or connections@messages a second:bytes (default "+defaultJobs+")", func(s string) (err error) {
		p.jobs, err = parseJobs(s)
		return err
	})
	f.IntVar(&p.rounds, "rounds", 5, "rounds over both clients, for each job")
	f.DurationVar(&p.per, "per", 2*time.Second, "how long each client works in a round; a quarter more to warm up")
	f.IntVar(&p.serverCPU, "server-cpu", -1, "core of the server; -1 for the first")
	f.IntVar(&p.clientCPU, "client-cpu", -1, "core of the clients; -1 for the second")
	f.StringVar(&p.json, "json", "", "a `file` for all figures")
	if err := process.ParseFlags(f, args); err != nil {
		return nil, err
	}
	if p.rounds < 1 || p.per <= 0 {
		return nil, errors.New("a round at least, and some time for it")
	}
	return p, nil
}

// job is what both clients do.
type job struct {
	Conns, InFlight, Bytes int
	Rate                   float64 // 0: a closed loop
}

// parseJobs reads "100:1:20,100@20000:20".
func parseJobs(s string) (jobs []job, err error) {
	for word := range strings.SplitSeq(s, ",") {
		var j job
		var rest string
		if n, _ := fmt.Sscanf(word, "%d@%g:%d%s", &j.Conns, &j.Rate, &j.Bytes, &rest); n == 3 && j.Rate > 0 {
			j.InFlight = 1
		} else if n, _ := fmt.Sscanf(word, "%d:%d:%d%s", &j.Conns, &j.InFlight, &j.Bytes, &rest); n != 3 {
			return nil, fmt.Errorf("%q: a job is like 100:16:20 (connections, in flight, bytes) or 100@20000:20 (connections, messages a second, bytes)", word)
		}
		if j.Conns < 1 || j.InFlight < 1 || j.InFlight > mostInFlight || j.Bytes < 8 || j.Bytes > mostBytes {
			return nil, fmt.Errorf("%q: connections from 1 on, up to %d in flight, 8 to %d bytes", word, mostInFlight, mostBytes)
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// As in bench/limit/client.c.
const (
	mostInFlight = 1 << 10
	mostBytes    = 64 << 10
)

// String gives what parseJobs reads.
func (j job) String() string {
	if j.Rate > 0 {
		return fmt.Sprintf("%d@%g:%d", j.Conns, j.Rate, j.Bytes)
	}
	return fmt.Sprintf("%d:%d:%d", j.Conns, j.InFlight, j.Bytes)
}
