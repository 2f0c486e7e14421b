package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// interruptible gives a context that ends with the first SIGINT or SIGTERM: the run ends
// early, and what it has measured is reported. The second ends the program at once, with
// the code that shells know it by; before calls away what is on the terminal.
func interruptible(before func()) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	over := make(chan struct{})
	go func() {
		for _, then := range []func(os.Signal){
			func(os.Signal) { cancel() },
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
	return ctx, func() { signal.Stop(signals); close(over); cancel() }
}
