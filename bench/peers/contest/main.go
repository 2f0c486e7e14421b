// Command contest has the servers of bench/peers/echoes, bench/peers/js and bench/limit
// do the same jobs, one after the other, again and again: each in a process of its own
// on one core, loaded from another. What counts is the CPU time of the server for each
// message, over that of a server which sends bytes back as they come, in the same round.
// Times by the clock move with what else the machine does; the ratios of one run hold.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/headrace/headrace/bench/peers/echoes"
	"github.com/headrace/headrace/bench/peers/process"
)

const (
	serveRole = "serve" // this program as a server of one library
	loadRole  = "load"  // as the load where the one in C can't be
)

func main() {
	err := mainErr(os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "contest:", err)
		os.Exit(1)
	}
}

func mainErr(args []string) error {
	switch {
	case len(args) > 0 && args[0] == serveRole:
		return serve(args[1:])
	case len(args) > 0 && args[0] == loadRole:
		return runLoad(args[1:], os.Stdout)
	}
	p, err := parsePlan(args)
	if err != nil {
		return err
	}
	r, err := p.run()
	if r != nil { // also what there is when a later part failed
		r.print(os.Stdout)
		err = errors.Join(err, p.write(r))
	}
	return err
}

// serve is: serve NAME DEFLATE [CERT KEY].
func serve(args []string) error {
	if len(args) != 2 && len(args) != 4 || echoes.Find(args[0]) == nil {
		return fmt.Errorf("no such server: %q", args)
	}
	o := echoes.Options{Deflate: echoes.Deflate(args[1])}
	if len(args) == 4 {
		var err error
		if o.TLS, err = loadTLS(args[2], args[3]); err != nil {
			return err
		}
	}
	return echoes.Serve(echoes.Find(args[0]), o, os.Stdin, os.Stdout)
}

// asArgs gives arguments as make takes them.
func asArgs(args []string) []string {
	if len(args) == 0 {
		return nil
	}
	return []string{`ARGS="` + strings.Join(args, " ") + `"`}
}

// plan is what to measure.
type plan struct {
	jobs             []job
	servers          []string
	rounds           int
	per              time.Duration
	procs            int
	server, client   int
	json, text, plot string
	fanout           bool
	kept             string // earlier figures
	command          string // that asks for this plan
}

func parsePlan(args []string) (*plan, error) {
	p := &plan{command: strings.Join(append([]string{"make bench-peers"}, asArgs(args)...), " ")}
	var names string
	var fast bool
	f := flag.NewFlagSet("contest", flag.ContinueOnError)
	f.StringVar(&names, "jobs", "", "`names` of some, separated by commas, or none (default all: "+strings.Join(allJobs(), ",")+")")
	f.BoolVar(&fast, "quick", false, "only "+strings.Join(quick, ",")+", of raw, headrace and gws: for a look before and after a change")
	f.Func("servers", "`names` of some (default all that this machine can have: "+strings.Join(allNames(), ",")+")", func(s string) error {
		p.servers = strings.Split(s, ",")
		return nil
	})
	f.IntVar(&p.rounds, "rounds", 5, "rounds over all servers, for each job")
	f.DurationVar(&p.per, "per", 1500*time.Millisecond, "how long each server is loaded in a round; a fifth of it is to warm up")
	f.StringVar(&p.kept, "keep", "", "a `file` of -json, whose figures stay for what this run does not measure")
	f.BoolVar(&p.fanout, "fanout", false, "the fan-out too, as the command fanout beside this one does it")
	f.IntVar(&p.procs, "procs", 4, "GOMAXPROCS of the servers in Go: with more than one for its core, a system call costs less")
	f.IntVar(&p.server, "server-cpu", -1, "core of the servers; -1 for the first")
	f.IntVar(&p.client, "client-cpu", -1, "core of the load; -1 for the second")
	f.StringVar(&p.json, "json", "", "a `file` for all figures")
	f.StringVar(&p.text, "markdown", "", "a `file` for the report in Markdown")
	f.StringVar(&p.plot, "plots", "", "a `folder` for the plots of the report")
	if err := process.ParseFlags(f, args); err != nil {
		return nil, err
	}
	switch {
	case f.NArg() > 0:
		return nil, fmt.Errorf("what is %q? (see -help)", f.Arg(0))
	case p.rounds < 1 || p.per < 100*time.Millisecond:
		return nil, errors.New("one round at least, of 100ms at least")
	}
	var wanted []string
	switch {
	case names == "none":
		return p, nil
	case names != "":
		wanted = strings.Split(names, ",")
	case fast:
		wanted = quick
	}
	if fast && p.servers == nil {
		p.servers = []string{rawName, "headrace", "gws"}
	}
	var err error
	if p.jobs, err = choose(wanted); err != nil {
		return nil, err
	}
	for i := range p.jobs {
		if err := process.CheckDescriptors(p.jobs[i].Conns); err != nil {
			return nil, fmt.Errorf("%s: %w", p.jobs[i].name(), err)
		}
	}
	return p, nil
}
