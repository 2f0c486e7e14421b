package engine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Config are the settings of a Server. The zero value serves on all addresses,
// port 8080.
type Config struct {
	// Addr is the address to listen on, "host:port". Port 0 takes a free one;
	// Server.Addr tells which. Empty means ":8080", or none where Listeners names
	// others.
	Addr string

	// Network is "tcp", "tcp4" or "tcp6". Empty means "tcp": both, where the
	// host in Addr allows it. "tcp4" costs 30 bytes less per connection.
	Network string

	// TLS makes Addr speak TLS: wss and https. It needs a certificate (see
	// LoadCertificate). New takes a copy, in which zero means TLS 1.2 at least,
	// and HTTP/1.1 by ALPN; h2 is taken out. The same is done to a config that
	// GetConfigForClient gives. Nil means plain.
	//
	// Its callbacks may wait, for a certificate authority or a vault: only their own
	// handshakes wait with them, within HandshakeTimeout, and count against
	// MaxTLSHandshakes until the callback returns. A private key that waits in Sign
	// holds up others.
	//
	// SetSessionTicketKeys does nothing to the copy. To change the keys while the
	// server runs, give configs that have them with GetConfigForClient.
	TLS *tls.Config

	// Listeners are more addresses to listen on. All serve the same endpoints, on
	// the same loops.
	Listeners []Listener

	// MaxTLSHandshakes is how many TLS handshakes may be under way at once. One more
	// ends the one that has waited longest for its client, or is refused with an alert
	// when none waits. Zero means 1024.
	//
	// Each takes about 25 KB of memory; with a client that makes the most of it 45 KB,
	// 250 KB where TLS asks for client certificates. In the moment in which it is
	// resumed, what one read has brought is added (ReadBuffer).
	MaxTLSHandshakes int

	// Loops is the number of event loops. Zero means one per processor that Go
	// may use (GOMAXPROCS), less one where there are several. Keep it below
	// GOMAXPROCS: a loop whose processor Go takes away costs a third more per
	// message.
	Loops int

	// MaxConns is how many connections may be open at once, those included
	// that net/http serves. One more is answered with 503, on an address with TLS by
	// an alert. Zero means what RLIMIT_NOFILE allows, less some for everything else.
	MaxConns int

	// HandshakeTimeout is the time from accept to the end of the opening
	// handshake. One that takes longer is answered with 408, or, while the TLS
	// handshake is not done, by an alert or the bare end. Zero means 10 s.
	HandshakeTimeout time.Duration

	// MaxHandshakeBytes is the most that the request line and the headers may
	// take. More is answered with 431. Zero means 16 KiB.
	MaxHandshakeBytes int

	// StallTimeout is how long a peer may take no byte of what waits for it, or
	// send no byte of a message that it has begun. After that the connection is
	// closed, with 1013 or 1008. Zero means 30 s.
	StallTimeout time.Duration

	// CloseTimeout is how long an end may take: from our Close frame until the
	// peer has read everything and has closed its side. After that the
	// connection is cut. Zero means 5 s.
	CloseTimeout time.Duration

	// ShutdownTimeout is how long Run waits for the connections to end once its
	// context has. Zero means 10 s.
	ShutdownTimeout time.Duration

	// ReadBuffer is the most that one read takes from a socket, in bytes. Each
	// loop has one such buffer; connections have none. Zero means 256 KiB.
	ReadBuffer int

	// Logger gets what an operator should know. Nil means slog.Default().
	Logger *slog.Logger
}

// Listener is one address that a Server listens on.
type Listener struct {
	Network string      // as Config.Network
	Addr    string      // host:port; port 0 takes a free one
	TLS     *tls.Config // as Config.TLS
}

// withDefaults gives c with its zero fields filled, or an error that names what
// cannot be.
func (c Config) withDefaults() (Config, error) {
	c.Listeners = slices.Clone(c.Listeners)
	if c.Addr == "" && len(c.Listeners) == 0 {
		c.Addr = ":8080"
	}
	setDefault(&c.Network, "tcp")
	for i := range c.Listeners {
		setDefault(&c.Listeners[i].Network, "tcp")
	}
	setDefault(&c.MaxTLSHandshakes, 1024)
	setDefault(&c.Loops, max(1, runtime.GOMAXPROCS(0)-1))
	setDefault(&c.MaxConns, defaultMaxConns())
	setDefault(&c.HandshakeTimeout, 10*time.Second)
	setDefault(&c.MaxHandshakeBytes, 16<<10)
	setDefault(&c.StallTimeout, 30*time.Second)
	setDefault(&c.CloseTimeout, 5*time.Second)
	setDefault(&c.ShutdownTimeout, 10*time.Second)
	setDefault(&c.ReadBuffer, 256<<10)
	setDefault(&c.Logger, slog.Default())
	return c, c.validate()
}

func (c Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Addr != "" {
		Listener{c.Network, c.Addr, c.TLS}.validate("", bad)
	} else if c.TLS != nil {
		bad("TLS is for Addr, which is empty")
	}
	for i, l := range c.Listeners {
		l.validate(fmt.Sprintf("Listeners[%d].", i), bad)
	}
	if c.Loops < 1 || c.Loops > maxLoops {
		bad("Loops is %d: it must be between 1 and %d", c.Loops, maxLoops)
	}
	positive := []struct {
		name string
		n    int64
	}{
		{"MaxConns", int64(c.MaxConns)},
		{"MaxTLSHandshakes", int64(c.MaxTLSHandshakes)},
		{"HandshakeTimeout", int64(c.HandshakeTimeout)},
		{"StallTimeout", int64(c.StallTimeout)},
		{"CloseTimeout", int64(c.CloseTimeout)},
		{"ShutdownTimeout", int64(c.ShutdownTimeout)},
	}
	for _, p := range positive {
		if p.n < 0 {
			bad("%s is negative", p.name)
		}
	}
	if c.MaxHandshakeBytes < minHandshakeBytes {
		bad("MaxHandshakeBytes is %d: a browser's request needs at least %d", c.MaxHandshakeBytes, minHandshakeBytes)
	}
	if c.ReadBuffer < 1<<10 || c.ReadBuffer > 16<<20 {
		bad("ReadBuffer is %d: it must be between 1 KiB and 16 MiB", c.ReadBuffer)
	}
	if len(errs) > 0 {
		return fmt.Errorf("engine: config: %w", errors.Join(errs...))
	}
	return nil
}

// validate reports what cannot be. field is what stands before a setting's name.
func (l Listener) validate(field string, bad func(format string, args ...any)) {
	switch l.Network {
	case "tcp", "tcp4", "tcp6":
	default:
		bad("%sNetwork is %q: it must be tcp, tcp4 or tcp6", field, l.Network)
		return
	}
	if _, err := net.ResolveTCPAddr(l.Network, l.Addr); err != nil {
		bad("%sAddr is %q: %w", field, l.Addr, err)
	} else if l.Addr == "" || strings.ContainsAny(l.Addr, "/?#") {
		bad("%sAddr is %q: it must be host:port", field, l.Addr)
	}
	if t := l.TLS; t != nil && len(t.Certificates) == 0 && t.GetCertificate == nil && t.GetConfigForClient == nil {
		bad("%sTLS has no certificate: set Certificates, GetCertificate or GetConfigForClient", field)
	}
}

// listeners are all addresses, Addr first.
func (c Config) listeners() []Listener {
	if c.Addr == "" {
		return c.Listeners
	}
	return append([]Listener{{c.Network, c.Addr, c.TLS}}, c.Listeners...)
}

// addresses names all addresses, for an error.
func (c Config) addresses() string {
	var all []string
	for _, l := range c.listeners() {
		all = append(all, l.Addr)
	}
	return strings.Join(all, ", ")
}

// setDefault fills a field that was left zero.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

const (
	maxLoops          = 256
	minHandshakeBytes = 512
)

// defaultMaxConns leaves a twentieth of the descriptors, and 64 at least, to
// everything that is no connection: files, log sinks, connections that are just
// being refused.
func defaultMaxConns() int {
	n := descriptors()
	return max(16, n-max(64, n/20))
}

// maxRefused is how many connections may be in the middle of being refused for
// want of a place: half of the descriptors that maxConns leaves, since others
// need some too.
func maxRefused(maxConns int) int64 {
	return int64(min(max(16, (descriptors()-maxConns)/2), 4096))
}

// descriptors is how many this process may have.
func descriptors() int {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil || lim.Cur > 1<<20 {
		return 1 << 20
	}
	return int(lim.Cur)
}
