// Command server is Headrace as a runnable program: an echo, a chat, a first
// lesson, and a page in the browser to try them on.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/headrace/headrace/engine"
)

const program = "headrace-server"

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// An end takes at most this long: the peers get half of it to answer our Close
// frames, and what does not answer is cut.
const (
	closeTimeout    = 4 * time.Second
	shutdownTimeout = 8 * time.Second
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program without its process: it gives the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	opts, err := parseFlags(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "%s: %v (see %s --help)\n", program, err, program)
		return exitUsage
	case opts.version:
		fmt.Fprintln(stdout, versionLine())
		return exitOK
	}
	if err := serve(opts, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "%s: %s\n", program, explain(err, opts.addr))
		return exitFailed
	}
	return exitOK
}

// serve runs the server until SIGINT or SIGTERM. A second signal ends the
// process at once, as it would have without us.
func serve(opts options, stdout, stderr io.Writer) error {
	makeRoom(opts.loops)
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: opts.logLevel}))
	config, note, err := secure(opts, logger)
	if err != nil {
		return err
	}
	srv, err := newServer(opts, config, logger)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signalled, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	forget := context.AfterFunc(signalled, func() {
		stop() // first: the next signal is nobody's
		logger.Info("closing everyone; a second Ctrl-C ends at once", "connections", srv.Connections())
		cancel()
	})
	defer forget() // an end without a signal is no shutdown
	go func() {
		<-srv.Ready()
		s := ""
		if config != nil {
			s = "s"
		}
		fmt.Fprint(stdout, banner(opts.addr, srv.Addr(), s, note))
	}()
	err = srv.Run(ctx)
	if ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		logger.Warn("some connections did not end in time and were cut", "err", err)
		return nil
	}
	return err
}

// newServer makes the server with all that it serves. config is nil without TLS.
func newServer(opts options, config *tls.Config, logger *slog.Logger) (*engine.Server, error) {
	srv, err := engine.New(engine.Config{
		Listeners:       listeners(opts.addr, config),
		Loops:           opts.loops,
		CloseTimeout:    closeTimeout,
		ShutdownTimeout: shutdownTimeout,
		Logger:          logger,
	})
	if err != nil {
		return nil, err
	}
	for _, r := range routes() {
		srv.Handle(r.path, r.endpoint(opts, logger))
	}
	srv.HandleHTTP(pages(routes()))
	return srv, nil
}

// listeners are the addresses to listen on. localhost is two where the machine
// has both, and a browser tries ::1 first.
func listeners(addr string, config *tls.Config) []engine.Listener {
	var all []engine.Listener
	host, port, _ := net.SplitHostPort(addr)
	if n, err := strconv.Atoi(port); host == "localhost" && err == nil && n > 0 { // two free ports would be different ones
		for _, ip := range []string{"127.0.0.1", "::1"} {
			if isHere(ip) {
				all = append(all, engine.Listener{Addr: net.JoinHostPort(ip, port), TLS: config})
			}
		}
	}
	if all == nil {
		all = append(all, engine.Listener{Addr: addr, TLS: config})
	}
	return all
}

// isHere says whether this machine has an address.
func isHere(ip string) bool {
	ln, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return false
	}
	_ = ln.Close()
	return true
}

// makeRoom raises GOMAXPROCS above the number of loops. With no processor to
// spare, Go's monitor takes a loop's away in every system call, which costs a
// third more per message. Zero loops means GOMAXPROCS less one.
func makeRoom(loops int) {
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), loops+1, 2))
}

// explain puts the usual reasons for not starting in words.
func explain(err error, addr string) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return addr + " is taken by another program; end that one, or choose another port with --addr (port 0 takes a free one)"
	case errors.Is(err, syscall.EACCES):
		return "no permission to listen on " + addr + "; choose a port above 1023 with --addr"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return addr + " is no address of this machine; choose another with --addr"
	default:
		return err.Error()
	}
}
