// Command wsbench tells what a WebSocket server can do, in figures that can be
// trusted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/headrace/headrace/bench"
	"github.com/headrace/headrace/bench/host"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailed  = 1 // could not run
	exitUsage   = 2
	exitCrossed = 3   // a --fail-if holds, what was looked for is not there, or --strict and the figures are doubtful
	exitSignal  = 128 // and the signal's number: ended at once, or before there was anything to report
)

// cli is the commands. Its tags are the help.
type cli struct {
	Version kong.VersionFlag `help:"Print the version."`

	Echo    echoCmd    `cmd:"" help:"Send messages that the server sends back, and measure how long that takes."`
	Fanout  fanoutCmd  `cmd:"" help:"Publish to many subscribers, and measure how long it takes until they have it."`
	Idle    idleCmd    `cmd:"" help:"Hold connections that say nothing: who is dropped, when and why, and what memory each takes."`
	Storm   stormCmd   `cmd:"" help:"Open connections at a rate, or many at once: how long handshakes take, and which are refused."`
	Run     runCmd     `cmd:"" help:"Carry out a scenario from a file: connections, messages and what is expected back, in phases with spikes, slow readers, resets and reconnect storms."`
	Search  searchCmd  `cmd:"" help:"Find the highest rate at which the server keeps what you ask of it."`
	Compare compareCmd `cmd:"" help:"Measure two servers in turns, and say what differs."`

	Report reportCmd `cmd:"" help:"Show the result of a run again: as text, as a page with plots, second by second."`
	Diff   diffCmd   `cmd:"" help:"Show two results side by side, and find what has become worse."`
	Merge  mergeCmd  `cmd:"" help:"Make one result of what several machines have measured together."`
}

const description = `Measures WebSocket servers. Latency counts from when a message was due, every byte is checked, and the report says when the client was the slow one.

  wsbench echo ws://localhost:8080/echo --rate 5000 --conns 200 --html report.html

Exit codes: 0; 1 it could not run; 2 wrong usage; 3 a --fail-if holds, what was looked for is not there, or with --strict the figures are doubtful; 128 and the signal's number, interrupted before there was anything to report.`

// leastProcs is GOMAXPROCS where there is one processor: with one P, what sleeps until the
// next message is due and the event loop would wait for each other, for milliseconds.
const leastProcs = 2

// spareProc has GOMAXPROCS be above the number that --loops asks for; 0 leaves it open.
// Each loop may keep a P for up to 10 ms while it waits, and what wakes them when a
// message is due must not wait for one.
func spareProc(loops int) error {
	if loops < 0 || loops > maxLoops {
		return fmt.Errorf("--loops: there may be 1 to %d, or 0 for one less than processors", maxLoops)
	}
	if runtime.GOMAXPROCS(0) <= loops {
		runtime.GOMAXPROCS(loops + 1)
	}
	return nil
}

const maxLoops = 256 // of the engine

func main() {
	if runtime.GOMAXPROCS(0) < leastProcs {
		runtime.GOMAXPROCS(leastProcs)
	}
	// A report that nobody reads any more is an error to tell, not a signal to die of.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// console is where a command writes.
type console struct {
	out, err io.Writer
	live     atomic.Pointer[live]
}

// watch begins to show how a run gets on.
func (c *console) watch() *live {
	l := newLive(c.err)
	c.live.Store(l)
	return l
}

// clear takes away what is shown, for good. Safe from any goroutine.
func (c *console) clear() {
	if l := c.live.Load(); l != nil {
		l.end()
	}
}

// run is the program without its process: it gives the exit code.
func run(args []string, stdout, stderr io.Writer) (code int) {
	var commands cli
	code = -1
	switch {
	case len(args) == 0: // the help, as for a mistake
		_ = run([]string{"--help"}, stderr, stderr)
		return exitUsage
	case args[0] == "help":
		args = append(slices.Clone(args[1:]), "--help")
	}
	parser, err := kong.New(&commands,
		kong.Name("wsbench"),
		kong.Description(description),
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { code = c }),
		kong.Vars{"version": fmt.Sprintf("wsbench %s (%s %s/%s)", host.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "wsbench:", err)
		return exitFailed
	}
	at, err := parser.Parse(args)
	if code >= 0 { // --help
		return code
	}
	if err != nil {
		if failed := (*kong.ParseError)(nil); errors.As(err, &failed) {
			at = failed.Context
		}
		fmt.Fprintln(stderr, "wsbench:", bench.Printable(wrongUsage(args, err)), seeHelp(at))
		return exitUsage
	}
	to := &console{out: stdout, err: stderr}
	ctx, stop := interruptible(to.clear)
	defer stop()
	at.BindTo(ctx, (*context.Context)(nil))
	err = at.Run(to)
	var crossed *crossedError
	var usage *usageError
	var interrupted *interruptedError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &crossed):
		code = exitCrossed
	case errors.As(err, &usage):
		code = exitUsage
	case errors.As(err, &interrupted):
		code = exitCode(ctx)
	default:
		code = exitFailed
	}
	said := []any{"wsbench:", bench.Printable(err.Error())} // servers have a say in it
	if code == exitUsage {
		said = append(said, seeHelp(at))
	}
	fmt.Fprintln(stderr, said...)
	return code
}

// crossedError says that the run has gone through and is not good enough.
type crossedError struct{ what string }

func (e *crossedError) Error() string { return e.what }

// interruptedError says that a run was ended before there was anything to report.
type interruptedError struct{}

func (e *interruptedError) Error() string { return "interrupted before anything was measured" }
