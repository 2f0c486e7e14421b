package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/headrace/headrace/engine"
)

const usage = `headrace-server serves WebSocket connections, and a page in the browser to try them on.

  headrace-server [flags]

  --addr host:port        where to listen; port 0 takes a free one (localhost:8080)
  --loops n               event loops; 0 means one per processor, less one (0)
  --max-message size      longest message, such as 65536, 64KiB or 1MiB (1MiB)
  --allow-origin origin   lets pages of this origin connect too, such as
                          https://example.com, or * for all; may be repeated
                          (only pages that come from this server)
  --tls-cert file         serves wss and https with this certificate (PEM, the chain
                          behind it); read again when the file changes
  --tls-key file          its key (PEM)
  --tls-self-signed       serves wss and https with a certificate made at the start, for
                          localhost and this machine's name; browsers warn of it
  --compression mode      permessage-deflate for clients that offer it (off):
                            history   to the client with a history of 1 KB, from it none
                            takeover  from it too, with a history of up to 32 KB
                            single    each message for itself
                            full      to it with a compressor of 1 MB for each connection
  --log-level level       debug, info, warn or error (info)
  --version               prints the version
  --help                  prints this

Ctrl-C closes everyone in order and ends. A second Ctrl-C ends at once.
`

// options are what the flags say.
type options struct {
	addr         string
	loops        int
	maxMessage   int64
	allowOrigins []string
	compression  *engine.Compression
	tlsCert      string
	tlsKey       string
	logLevel     slog.Level
	version      bool

	tlsSelfSigned bool
}

func defaults() options {
	return options{addr: "localhost:8080", maxMessage: 1 << 20, logLevel: slog.LevelInfo}
}

const (
	maxLoops       = 256
	maxMaxMessage  = 1 << 30
	messageBounds  = "a size from 1 to 1GiB, such as 65536, 64KiB or 1MiB"
	originShape    = "scheme://host[:port], such as https://example.com, or * for all"
	addrShape      = "host:port, such as localhost:8080 or :8080"
	logLevelChoice = "debug, info, warn or error"
)

// parseFlags reads the command line. An error is one line that says what is
// wrong; flag.ErrHelp means that help was asked for.
func parseFlags(args []string) (options, error) {
	o := defaults()
	f := flag.NewFlagSet(program, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Func("addr", "", o.setAddr)
	f.Func("loops", "", o.setLoops)
	f.Func("max-message", "", o.setMaxMessage)
	f.Func("allow-origin", "", o.addOrigin)
	f.Func("compression", "", o.setCompression)
	f.StringVar(&o.tlsCert, "tls-cert", "", "")
	f.StringVar(&o.tlsKey, "tls-key", "", "")
	f.BoolVar(&o.tlsSelfSigned, "tls-self-signed", false, "")
	f.Func("log-level", "", o.setLogLevel)
	f.BoolVar(&o.version, "version", false, "")
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return options{}, err
	} else if err != nil {
		return options{}, errors.New(plainWords.Replace(err.Error()))
	}
	if f.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q: every setting is a flag", f.Arg(0))
	}
	return o, o.checkTLS()
}

// checkTLS refuses flags that don't go together.
func (o *options) checkTLS() error {
	switch {
	case (o.tlsCert == "") != (o.tlsKey == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case o.tlsCert != "" && o.tlsSelfSigned:
		return errors.New("--tls-self-signed makes its own certificate: leave --tls-cert and --tls-key out")
	}
	return nil
}

// plainWords turns package flag's errors into ours, with two dashes.
var plainWords = strings.NewReplacer(
	"flag provided but not defined: -", "unknown flag --",
	"flag needs an argument: -", "there is no value after --",
	" for flag -", " for --",
	"invalid boolean value", "invalid value", // its "for" stands before the dash alone
	" for -", " for --",
	": parse error", ": it takes no value",
)

func (o *options) setAddr(s string) error {
	_, port, err := net.SplitHostPort(s)
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
		return errors.New("it must be " + addrShape)
	}
	o.addr = s
	return nil
}

func (o *options) setLoops(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > maxLoops {
		return fmt.Errorf("it must be a number from 0 to %d", maxLoops)
	}
	o.loops = n
	return nil
}

func (o *options) setMaxMessage(s string) error {
	n, ok := parseSize(s)
	if !ok || n < 1 || n > maxMaxMessage {
		return errors.New("it must be " + messageBounds)
	}
	o.maxMessage = n
	return nil
}

func (o *options) addOrigin(s string) error {
	u, err := url.Parse(s)
	if s != "*" && (err != nil || u.Scheme == "" || u.Host == "" || s != u.Scheme+"://"+u.Host) {
		return errors.New("it must be " + originShape)
	}
	o.allowOrigins = append(o.allowOrigins, strings.ToLower(s))
	return nil
}

func (o *options) setCompression(s string) error {
	mode, ok := compressions[s]
	if !ok {
		return errors.New("it must be off, history, takeover, single or full")
	}
	o.compression = mode
	return nil
}

// compressions are the modes of --compression.
var compressions = map[string]*engine.Compression{
	"off":      nil,
	"history":  {},
	"takeover": {PeerBits: 15},
	"single":   {History: engine.NoHistory},
	"full":     {History: engine.FullHistory, PeerBits: 15},
}

func (o *options) setLogLevel(s string) error {
	switch strings.ToLower(s) {
	case "debug", "info", "warn", "error":
		return o.logLevel.UnmarshalText([]byte(s))
	default:
		return errors.New("it must be " + logLevelChoice)
	}
}

// parseSize reads a number of bytes: digits, and KiB, MiB or GiB behind them,
// of which the case doesn't count.
func parseSize(s string) (int64, bool) {
	shift := 0
	for i, unit := range []string{"kib", "mib", "gib"} {
		if digits, ok := strings.CutSuffix(strings.ToLower(s), unit); ok {
			s, shift = strings.TrimSpace(digits), 10*(i+1)
			break
		}
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, false
	}
	return int64(n << shift), true
}
