// Command server is Headrace as a runnable program: topics, an echo, a chat, a first
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
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/headrace/headrace/engine"
)

const program = "headrace-server"

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is the program without its process: it gives the exit code.
func run(args, environ []string, stdout, stderr io.Writer) int {
	opts, cmd, err := load(args, environ)
	var ready *prepared
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage())
		return exitOK
	case cmd.version:
		fmt.Fprintln(stdout, versionLine())
		return exitOK
	case err == nil && !cmd.printConfig:
		ready, err = prepare(&opts, stderr)
	}
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "%s: %v (see %s --help)\n", program, err, program)
		return exitUsage
	case cmd.printConfig:
		printConfig(stdout, &opts)
		return exitOK
	case cmd.checkConfig:
		fmt.Fprintln(stdout, "The configuration is valid.")
		return exitOK
	}
	if err := ready.serve(&opts, stdout); err != nil {
		fmt.Fprintf(stderr, "%s: %s\n", program, explain(err, strings.Join(opts.addrs, ", "), "addr"))
		return exitFailed
	}
	return exitOK
}

// prepared is a server for which all was looked up and read that the settings name. Only
// to listen is left.
type prepared struct {
	srv    *service
	watch  *metrics
	config *tls.Config // nil without TLS
	note   string      // what there is to say about it
	logger *slog.Logger
}

// prepare does all that a start does but listen. An error is one of the settings.
func prepare(opts *options, stderr io.Writer) (p *prepared, err error) {
	p = &prepared{logger: newLogger(opts, stderr), watch: newMetrics()}
	if err := checkAddresses(opts, listeners(opts, nil)); err != nil {
		return nil, err
	}
	if p.config, p.note, err = secure(opts, p.logger); err != nil {
		return nil, err
	}
	warnOfDescriptors(opts, p.logger)
	makeRoom(opts.config.Loops)
	if p.srv, err = newServer(opts, p.config, p.watch.observer(), p.logger); err != nil {
		return nil, err
	}
	p.watch.srv = p.srv
	return p, nil
}

func newLogger(opts *options, to io.Writer) *slog.Logger {
	how := &slog.HandlerOptions{Level: opts.logLevel}
	if opts.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(to, how))
	}
	return slog.New(slog.NewTextHandler(to, how))
}

// serve runs the server until SIGINT or SIGTERM. A second signal ends the
// process at once, as it would have without us.
func (p *prepared) serve(opts *options, stdout io.Writer) error {
	srv, logger := p.srv, p.logger
	slog.SetDefault(logger) // engine.Certificate has no other
	var internal net.Addr
	if opts.internalAddr != "" {
		side, err := startInternal(opts.internalAddr, srv, p.watch.handler(), logger)
		if err != nil {
			return err
		}
		defer side.stop()
		internal = side.addr()
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signalled, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	forget := context.AfterFunc(signalled, func() {
		stop() // first: the next signal is nobody's
		srv.leave(ctx, opts.drainDelay, logger)
		cancel()
	})
	defer forget() // an end without a signal is no shutdown
	go func() {
		<-srv.Ready()
		s := ""
		if p.config != nil {
			s = "s"
		}
		asked, bound := shown(opts.addrs, srv.Addrs())
		fmt.Fprint(stdout, banner(asked, bound, s, p.note, internal))
	}()
	defer srv.topics.close()
	srv.topics.start()
	err := srv.Run(ctx)
	if ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		logger.Warn("some connections did not end in time and were cut", "err", err)
		return nil
	}
	return err
}

// newServer makes the server with all that it serves. config is nil without TLS.
func newServer(opts *options, config *tls.Config, observer engine.Observer, logger *slog.Logger) (*service, error) {
	c := opts.config
	c.Listeners = listeners(opts, config)
	for _, p := range opts.proxies {
		c.TrustedProxies = append(c.TrustedProxies, netip.MustParsePrefix(p)) // it was checked when it was set
	}
	c.Observer = observer
	c.Logger = logger
	made, err := engine.New(c)
	if err != nil {
		return nil, err
	}
	topics, err := newTopics(opts, logger)
	if err != nil {
		return nil, err
	}
	srv := &service{Server: made, topics: topics}
	for _, r := range routes() {
		if err := handle(srv.Server, r.path, r.endpoint(opts, topics, logger)); err != nil {
			return nil, err
		}
	}
	srv.HandleHTTP(pages(routes(), srv))
	return srv, nil
}

// handle is Server.Handle, whose panic is an error here: what is wrong with an
// endpoint was said in the settings.
func handle(srv *engine.Server, path string, e engine.Endpoint) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	srv.Handle(path, e)
	return nil
}

// makeRoom raises GOMAXPROCS above the number of loops. With no processor to
// spare, Go's monitor takes a loop's away in every system call, which costs a
// third more per message. Zero loops means GOMAXPROCS less one.
func makeRoom(loops int) {
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), loops+1, 2))
}
