package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/headrace/headrace/bench"
	"github.com/headrace/headrace/bench/report"
)

// output is what becomes of the result; all commands have it.
type output struct {
	JSON   string   `group:"report" placeholder:"FILE" help:"Write the result to this file, as JSON." type:"path"`
	HTML   string   `group:"report" placeholder:"FILE" name:"html" help:"Write a page with plots to this file: it needs nothing else." type:"path"`
	CSV    string   `group:"report" placeholder:"FILE" help:"Write a line for each second to this file." type:"path"`
	Hgrm   string   `group:"report" placeholder:"FILE" help:"Write the latencies to this file, as a percentile log of HdrHistogram." type:"path"`
	FailIf []string `group:"report" placeholder:"CONDITION" help:"End with exit code 3 if this holds: p99>10ms, max>1s, handshake-p99>1s, errors>0, lost>0.1%, dropped>0, refused>0, rate<5000, handshakes<500 (a second), not-begun>0, memory>4096 (bytes for each connection); for a fan-out also last-p99>50ms (first-, median-, skew-), gaps>0, incomplete>0, conflated>0; may be repeated." sep:"none"`
	Strict bool     `group:"report" help:"End with exit code 3 if the client was the slow one, or the rate was not reached."`
}

// carryOut runs a job, shows how it gets on, and reports.
func (o *output) carryOut(ctx context.Context, job bench.Job, to *console) error {
	limits, err := o.thresholds()
	if err != nil {
		return &usageError{err}
	}
	if err := errors.Join(o.apart(), o.haveFolders()); err != nil {
		return &usageError{err}
	}
	if err := job.Check(); err != nil {
		return &usageError{err}
	}
	for _, t := range limits {
		if err := t.Fits(job); err != nil {
			return &usageError{fmt.Errorf("--fail-if %w", err)}
		}
	}
	live := to.watch()
	result, err := job.Run(ctx, live.show)
	live.end()
	switch {
	case errors.Is(err, context.Canceled):
		return &interruptedError{}
	case err != nil:
		return err
	case ctx.Err() != nil:
		result.Interrupt(job)
		fmt.Fprintln(to.err, "wsbench: interrupted; this is what was measured until then")
	}
	if err := o.write(result, limits, to.out); err != nil {
		return err
	}
	if s := result.Storm; s != nil && s.Opened == 0 && s.Refused > 0 {
		return errors.New("no handshake got through: all were refused")
	}
	return nil
}

func (o *output) thresholds() (all []bench.Threshold, err error) {
	for _, s := range o.FailIf {
		t, err := bench.ParseThreshold(s)
		if err != nil {
			return nil, fmt.Errorf("--fail-if %w", err)
		}
		all = append(all, t)
	}
	return all, nil
}

// file is one of the files that a result goes to, if it has a name.
type file struct {
	flag, name string
	write      func(io.Writer, *bench.Result) error
}

// files are those of a result.
func (o *output) files() []file {
	return []file{
		{"--json", o.JSON, func(w io.Writer, r *bench.Result) error { return json.NewEncoder(w).Encode(r) }},
		{"--html", o.HTML, report.WriteHTML},
		{"--csv", o.CSV, report.WriteCSV},
		{"--hgrm", o.Hgrm, report.WriteHgrm},
	}
}

// apart says whether two of the files are one.
func (o *output) apart() error {
	all := o.files()
	all = slices.DeleteFunc(all, func(f file) bool { return f.name == "" })
	for i, b := range all {
		for _, a := range all[:i] {
			if sameFile(a.name, b.name) {
				return fmt.Errorf("%s and %s are the same file: %s", a.flag, b.flag, b.name)
			}
		}
	}
	return nil
}

// haveFolders says whether a file could not be made, before a run is over for which it is
// to be.
func (o *output) haveFolders() error {
	for _, f := range o.files() {
		if f.name == "" {
			continue
		}
		if is, err := os.Stat(f.name); err == nil && is.IsDir() {
			return fmt.Errorf("%s: %s is a folder", f.flag, f.name)
		}
		if is, err := os.Stat(filepath.Dir(f.name)); err != nil || !is.IsDir() {
			return fmt.Errorf("%s: there is no folder %s", f.flag, filepath.Dir(f.name))
		}
	}
	return nil
}

// sameFile says whether what is written to one name would be lost to the other. A pipe or
// a device takes both.
func sameFile(a, b string) bool {
	inA, err := os.Stat(a)
	if err != nil {
		return filepath.Clean(a) == filepath.Clean(b)
	}
	inB, err := os.Stat(b)
	return err == nil && inA.Mode().IsRegular() && os.SameFile(inA, inB)
}

// write writes the files and the report, and says whether the result is good enough. The
// files are first, and each is tried: a terminal that is gone, or a full disk, takes no
// more of the result than it must.
func (o *output) write(r *bench.Result, limits []bench.Threshold, out io.Writer) error {
	var failed error
	for _, f := range o.files() {
		if f.name == "" {
			continue
		}
		if err := writeFile(f.name, r, f.write); err != nil && failed == nil {
			failed = err
		}
	}
	if err := report.WriteText(out, r); err != nil && failed == nil {
		failed = err
	}
	if failed != nil {
		return failed
	}
	var crossed []string
	for _, t := range limits {
		if yes, is := t.Crossed(r); yes {
			crossed = append(crossed, is)
		}
	}
	crossed = append(crossed, r.Failed...)
	if o.Strict && len(r.Doubts) > 0 {
		crossed = append(crossed, "the figures are doubtful (--strict)")
	}
	if len(crossed) > 0 {
		return &crossedError{strings.Join(crossed, "; ")}
	}
	return nil
}

func writeFile(name string, r *bench.Result, write func(io.Writer, *bench.Result) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := write(f, r); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
