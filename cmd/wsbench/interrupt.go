package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// interruptible gives a context that ends with the first SIGINT or SIGTERM: the run ends
// early, and what it has measured is reported. The second ends the program at once, with
// the code that shells know it by; before calls away what is on the terminal.
func interruptible(before func()) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	over := make(chan struct{})
	go func() {
		for _, then := range []func(os.Signal){
			func(s os.Signal) { cancel(&signalError{s.(syscall.Signal)}) },
			func(s os.Signal) { before(); os.Exit(exitSignal + int(s.(syscall.Signal))) },
		} {
			select {
			case s := <-signals:
				then(s)
			case <-over:
				return
			}
		}
	}()
	return ctx, func() { signal.Stop(signals); close(over); cancel(nil) }
}

// signalError is why a context has ended: a context.Canceled that knows the signal.
type signalError struct{ signal syscall.Signal }

func (e *signalError) Error() string { return e.signal.String() }
func (e *signalError) Unwrap() error { return context.Canceled }

// exitCode is the one by which shells know the signal that has ended a context.
func exitCode(ctx context.Context) int {
	var by *signalError
	if errors.As(context.Cause(ctx), &by) {
		return exitSignal + int(by.signal)
	}
	return exitSignal + int(syscall.SIGINT)
}
