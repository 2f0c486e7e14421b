package engine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/textproto"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/engine/internal/gnetwire"
)

// Config are the settings of a Server. The zero value serves on all addresses,
// port 8080.
type Config struct {
	// Addr is the address to listen on, "host:port". Port 0 takes a free one;
	// Server.Addr tells which. Empty means ":8080", or none where Listeners names
	// others.
	Addr string

	// Network is "tcp", "tcp4", "tcp6" or "unix". Empty means "tcp": both, where the
	// host in Addr allows it. "tcp4" costs 30 bytes less per connection. With "unix"
	// Addr is the path of a socket; one that is left over, where nobody listens any
	// more, is replaced, and at the end it is removed.
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

	// ProxyProtocol has every connection to Addr begin with a PROXY header, version 1
	// or 2, before TLS: the address that it names takes the place of the peer's. Where
	// there are TrustedProxies, others are cut; without any every peer is believed, so
	// nobody but the proxy must reach the address. A connection without a header, or
	// with a malformed one, is cut. The header comes within HandshakeTimeout and takes
	// at most 4 KiB.
	ProxyProtocol bool

	// Listeners are more addresses to listen on. All serve the same endpoints, on
	// the same loops.
	Listeners []Listener

	// ReusePort lets other processes listen on the same addresses, if they set it
	// too and belong to the same user (SO_REUSEPORT): the kernel spreads the
	// connections over them. It cannot be had beside a unix socket.
	ReusePort bool

	// TrustedProxies are those whose word about the client is taken: in the request
	// (ForwardedHeader) and in a PROXY header. Peers on unix sockets are among them,
	// unless the list is empty. Empty means that nobody is: the client is the peer.
	TrustedProxies []netip.Prefix

	// ForwardedHeader is the field in which the trusted proxies write for whom they
	// speak: "X-Forwarded-For", with X-Forwarded-Proto beside it, or "Forwarded" (RFC
	// 7239). The other one is not looked at, because a proxy that doesn't know it
	// passes on what the client has made up. Empty means "X-Forwarded-For".
	ForwardedHeader string

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

	// MaxConnsPerIP is how many connections one client may have open at once, by its
	// address (Conn.Client), of IPv6 by the first 64 bits. One more is answered with
	// 429. Trusted proxies themselves have no limit, and what net/http serves behind
	// them is not counted. Zero means no limit: many people may share an address, and
	// behind a proxy that isn't trusted all do.
	MaxConnsPerIP int

	// MaxHandshakeRate is how many opening handshakes may begin in a second, of which
	// a second's worth may at once. One more is answered with 503, or by an alert
	// before its TLS handshake. Other requests count too. Zero means no limit.
	MaxHandshakeRate int

	// HandshakeTimeout is the time from accept to the end of the opening
	// handshake. One that takes longer is answered with 408, or, while the TLS
	// handshake is not done, by an alert or the bare end. Zero means 10 s.
	HandshakeTimeout time.Duration

	// MaxHandshakeBytes is the most that the request line and the headers may
	// take. More is answered with 431. Zero means 16 KiB.
	MaxHandshakeBytes int

	// StallTimeout is how long a peer may take no byte of what waits for it, or
	// send no byte of a message that it has begun. After that the connection is
	// closed, with 1013 or 1008. A client of HandleHTTP is cut that does not take 16 KB
	// of an answer, or sends no byte of a body, within that time. Zero means 30 s.
	StallTimeout time.Duration

	// CloseTimeout is how long an end may take: from our Close frame, or from when
	// the peer has got what was on its way before, until it has answered and closed its
	// side. A peer that takes none of that for as long is cut too; one that has taken
	// some has StallTimeout for more, again and again, unless it is itself the reason
	// for the end: then CloseTimeout, or thrice that where its queue was full. Zero
	// means 5 s.
	CloseTimeout time.Duration

	// ShutdownTimeout is how long Run waits for the connections to end once its
	// context has. Zero means 10 s.
	ShutdownTimeout time.Duration

	// DrainWindow is the time over which a shutdown spreads its Close frames, so that
	// the peers don't all come back at once: evenly, in random order. It ends early
	// enough for the last of them to answer: CloseTimeout before the shutdown's
	// deadline, or half of its time where that is less. Zero means a second for every
	// 10,000 connections, at most half of ShutdownTimeout; a negative value means all
	// at once.
	DrainWindow time.Duration

	// DrainCode is the close code of a shutdown: CloseGoingAway (1001), or
	// CloseServiceRestart (1012), whose reason then is {"retry_after_ms":7400}, in how
	// many milliseconds to come again: when the window is over, at a random moment of
	// as much time again, of one second at least. Zero means CloseGoingAway.
	DrainCode CloseCode

	// Observer is told of handshakes, ends, round trips and late timers. The zero
	// Observer is told nothing; Server.Stats counts all the same.
	Observer Observer

	// ReadBuffer is the most that one read takes from a socket, in bytes; it is
	// rounded up to a power of two. Each loop has one such buffer; connections have
	// none. Zero means 256 KiB.
	ReadBuffer int

	// Logger gets what an operator should know. Nil means slog.Default().
	Logger *slog.Logger
}

// Listener is one address that a Server listens on.
type Listener struct {
	Network       string      // as Config.Network
	Addr          string      // host:port, where port 0 takes a free one; or a path
	TLS           *tls.Config // as Config.TLS
	ProxyProtocol bool        // as Config.ProxyProtocol

	// Mode are the permissions of a unix socket: who may write to it may connect.
	// They are set before it gets its name; only the directory keeps out who watches it
	// for that moment. Zero leaves what the umask gives.
	Mode fs.FileMode
}

// withDefaults gives c with its zero fields filled, or an error that names what
// cannot be.
func (c Config) withDefaults() (Config, error) {
	c.Listeners = slices.Clone(c.Listeners)
	c.TrustedProxies = slices.Clone(c.TrustedProxies)
	if c.Addr == "" && len(c.Listeners) == 0 && c.Network != "unix" {
		c.Addr = ":8080"
	}
	setDefault(&c.Network, "tcp")
	for i := range c.Listeners {
		setDefault(&c.Listeners[i].Network, "tcp")
	}
	setDefault(&c.ForwardedHeader, xForwardedFor)
	c.ForwardedHeader = textproto.CanonicalMIMEHeaderKey(c.ForwardedHeader)
	setDefault(&c.MaxTLSHandshakes, 1024)
	setDefault(&c.Loops, max(1, runtime.GOMAXPROCS(0)-1))
	setDefault(&c.MaxConns, defaultMaxConns())
	setDefault(&c.HandshakeTimeout, 10*time.Second)
	setDefault(&c.MaxHandshakeBytes, 16<<10)
	setDefault(&c.StallTimeout, 30*time.Second)
	setDefault(&c.CloseTimeout, 5*time.Second)
	setDefault(&c.ShutdownTimeout, 10*time.Second)
	setDefault(&c.DrainCode, CloseGoingAway)
	setDefault(&c.ReadBuffer, 256<<10)
	setDefault(&c.Logger, slog.Default())
	return c, c.validate()
}

func (c Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case c.Addr != "":
		c.first().validate("", bad)
	case c.TLS != nil:
		bad("TLS is for Addr, which is empty")
	case c.ProxyProtocol:
		bad("ProxyProtocol is for Addr, which is empty")
	case c.Network == "unix":
		bad("Network is unix, and Addr is empty: it must be a path")
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
		{"MaxConnsPerIP", int64(c.MaxConnsPerIP)},
		{"MaxHandshakeRate", int64(c.MaxHandshakeRate)},
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
	if c.DrainWindow > maxLimit {
		bad("DrainWindow is %v: it must be at most %v", c.DrainWindow, maxLimit)
	}
	if c.DrainCode != CloseGoingAway && c.DrainCode != CloseServiceRestart {
		bad("DrainCode is %d: it must be 1001 or 1012", c.DrainCode)
	}
	if c.ReadBuffer < 1<<10 || c.ReadBuffer > 16<<20 {
		bad("ReadBuffer is %d: it must be between 1 KiB and 16 MiB", c.ReadBuffer)
	}
	c.validateAdmission(bad)
	if len(errs) > 0 {
		return fmt.Errorf("engine: config: %w", errors.Join(errs...))
	}
	return nil
}

// validateAdmission reports what cannot be of who is there and who is let in.
func (c Config) validateAdmission(bad func(format string, args ...any)) {
	for i, p := range c.TrustedProxies {
		if !p.IsValid() || p.Addr().Is4In6() {
			bad("TrustedProxies[%d] is %v: it must be an IPv4 or IPv6 prefix", i, p)
		}
	}
	if f := c.ForwardedHeader; f != xForwardedFor && f != forwardedHeader {
		bad("ForwardedHeader is %q: it must be %s or %s", f, xForwardedFor, forwardedHeader)
	}
	if c.MaxHandshakeRate > maxRate {
		bad("MaxHandshakeRate is %d: it must be at most %d", c.MaxHandshakeRate, maxRate)
	}
	if c.MaxConnsPerIP > math.MaxInt32 {
		bad("MaxConnsPerIP is %d: it must be at most %d", c.MaxConnsPerIP, math.MaxInt32)
	}
	if !c.ReusePort {
		return
	}
	seen := make(map[string]bool)
	for _, l := range c.listeners() {
		switch at := l.Network + " " + bindAddr(l); {
		case l.Network == "unix":
			bad("ReusePort cannot be had beside the unix socket %q", l.Addr)
		case seen[at] && !strings.HasSuffix(at, ":0"):
			bad("the address %s is there twice", l.Addr)
		default:
			seen[at] = true
		}
	}
}

// validate reports what cannot be. field is what stands before a setting's name.
func (l Listener) validate(field string, bad func(format string, args ...any)) {
	switch l.Network {
	case "tcp", "tcp4", "tcp6":
		l.validateTCP(field, bad)
	case "unix":
		if path := bindAddr(l); l.Addr == "" || len(path) > gnetwire.MaxUnixPath || strings.ContainsAny(path, "?#\x00") {
			bad("%sAddr is %q: it must be a path of at most %d bytes, without ? and #", field, l.Addr, gnetwire.MaxUnixPath)
		}
	default:
		bad("%sNetwork is %q: it must be tcp, tcp4, tcp6 or unix", field, l.Network)
		return
	}
	if l.Mode&^fs.ModePerm != 0 || l.Mode != 0 && l.Network != "unix" {
		bad("%sMode is %v: it must be the permissions of a unix socket", field, l.Mode)
	}
	if t := l.TLS; t != nil && len(t.Certificates) == 0 && t.GetCertificate == nil && t.GetConfigForClient == nil {
		bad("%sTLS has no certificate: set Certificates, GetCertificate or GetConfigForClient", field)
	}
}

func (l Listener) validateTCP(field string, bad func(format string, args ...any)) {
	if _, err := net.ResolveTCPAddr(l.Network, l.Addr); err != nil {
		bad("%sAddr is %q: %w", field, l.Addr, err)
	} else if l.Addr == "" || strings.ContainsAny(l.Addr, "/?#") {
		bad("%sAddr is %q: it must be host:port", field, l.Addr)
	}
}

// listeners are all addresses, Addr first.
func (c Config) listeners() []Listener {
	if c.Addr == "" {
		return c.Listeners
	}
	return append([]Listener{c.first()}, c.Listeners...)
}

// first is the listener that Addr makes.
func (c Config) first() Listener {
	return Listener{Network: c.Network, Addr: c.Addr, TLS: c.TLS, ProxyProtocol: c.ProxyProtocol}
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
