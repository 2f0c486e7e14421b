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
	"syscall"

	"github.com/alecthomas/kong"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailed  = 1 // could not run
	exitUsage   = 2
	exitCrossed = 3 // a --fail-if holds, or --strict and the figures are doubtful
)

// cli is the commands. Its tags are the help.
type cli struct {
	Echo  echoCmd  `cmd:"" help:"Send messages that the server sends back, and measure how long that takes."`
	Idle  idleCmd  `cmd:"" help:"Hold connections that say nothing: who is dropped, when and why, and what memory each takes."`
	Storm stormCmd `cmd:"" help:"Open connections at a rate, or many at once: how long handshakes take, and which are refused."`
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// console is where a command writes.
type console struct{ out, err io.Writer }

// run is the program without its process: it gives the exit code.
func run(args []string, stdout, stderr io.Writer) (code int) {
	var commands cli
	code = -1
	parser, err := kong.New(&commands,
		kong.Name("wsbench"),
		kong.Description("Measures WebSocket servers. Latency counts from when a message was due, every byte is checked, and the report says when the client was the slow one."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { code = c }),
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
		fmt.Fprintf(stderr, "wsbench: %v (see wsbench --help)\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	at.BindTo(ctx, (*context.Context)(nil))
	err = at.Run(&console{stdout, stderr})
	var crossed *crossedError
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &crossed):
		code = exitCrossed
	case errors.As(err, &usage):
		code = exitUsage
	default:
		code = exitFailed
	}
	fmt.Fprintln(stderr, "wsbench:", err)
	return code
}

// crossedError says that the run has gone through and is not good enough.
type crossedError struct{ what string }

func (e *crossedError) Error() string { return e.what }

// usageError says that the flags contradict each other or the target.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() + " (see wsbench --help)" }
func (e *usageError) Unwrap() error { return e.err }
