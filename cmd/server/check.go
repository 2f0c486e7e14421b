package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/headrace/headrace/engine"
)

// What one setting says is checked when it is set. Here is what several say together,
// and what they name outside the program. Each error names the settings with their
// values and where they come from, and says what to do.

// check refuses settings that don't go together.
func (o *options) check() error {
	certificate := "" // the setting that one comes from
	switch {
	case o.tlsCert != "":
		certificate = "tls-cert"
	case o.tlsSelfSigned:
		certificate = "tls-self-signed"
	}
	switch {
	case o.tlsCert != "" && o.tlsKey == "":
		return fmt.Errorf("%s needs tls-key, the file of its key", o.cite("tls-cert"))
	case o.tlsCert == "" && o.tlsKey != "":
		return fmt.Errorf("%s needs tls-cert, the file of its certificate", o.cite("tls-key"))
	case o.tlsCert != "" && o.tlsSelfSigned:
		return fmt.Errorf("%s makes a certificate of its own: leave it out, or %s with its key", o.cite("tls-self-signed"), o.cite("tls-cert"))
	case o.config.DrainWindow >= o.config.ShutdownTimeout:
		return fmt.Errorf("%s must be shorter than %s", o.cite("drain-window"), o.cite("shutdown-timeout"))
	case o.config.CloseTimeout > o.config.ShutdownTimeout:
		return fmt.Errorf("%s must not be longer than %s", o.cite("close-timeout"), o.cite("shutdown-timeout"))
	case len(o.addrs) == 0:
		return fmt.Errorf("%s is empty: name at least one address to listen on", o.cite("addr"))
	case o.config.ReusePort && slices.ContainsFunc(o.addrs, isUnix):
		return fmt.Errorf("%s cannot be had beside a unix socket: leave it out, or the socket of %s", o.cite("reuse-port"), o.cite("addr"))
	case certificate != "" && !slices.ContainsFunc(o.addrs, func(a string) bool { return !isUnix(a) }):
		return fmt.Errorf("%s has no effect, because unix sockets are without TLS: leave it out, or add host:port to %s", o.cite(certificate), o.cite("addr"))
	case o.config.ForwardedHeader != defaults().config.ForwardedHeader && len(o.proxies) == 0:
		return fmt.Errorf("%s has no effect without trusted-proxy: say whose header is to be believed", o.cite("forwarded-header"))
	}
	if d := o.feed.demo; d.on() && d.symbols > o.feed.maxTopics {
		return fmt.Errorf("%s needs a topic for each symbol, and %s allows fewer: raise that, or name fewer symbols", o.cite("demo-ticks"), o.cite("feed-max-topics"))
	}
	return o.checkPublish()
}

// checkPublish does the same for the token.
func (o *options) checkPublish() error {
	token := "" // the setting that one comes from
	switch {
	case o.feed.publishToken != "" && o.feed.publishTokenFile != "":
		return fmt.Errorf("%s and %s say the same: leave one out", o.cite("publish-token"), o.cite("publish-token-file"))
	case o.feed.publishToken != "":
		token = "publish-token"
	case o.feed.publishTokenFile != "":
		token = "publish-token-file"
	}
	if token != "" && o.internalAddr == "" {
		return fmt.Errorf("%s has no effect without internal-addr, which is where others publish", o.cite(token))
	}
	return nil
}

// cite names a setting with its value and its source.
func (o *options) cite(name string) string {
	from := o.from[name]
	if from == "" {
		from = "the default"
	}
	return strings.TrimSpace(name+" "+strings.Join(settingOf(name).at(o).strings(), ", ")) + " (" + from + ")"
}

// isUnix says whether an address to listen on is the path of a unix socket.
func isUnix(addr string) bool { return strings.HasPrefix(addr, unixPrefix) }

// checkAddresses looks up the names of hosts, and refuses addresses that take each
// other's place.
func checkAddresses(opts *options, listeners []engine.Listener) error {
	var found []place
	for _, l := range listeners {
		p := place{setting: "addr", asked: l.Addr}
		if l.Network == "unix" {
			p.path = l.Addr
		}
		found = append(found, p)
	}
	if opts.internalAddr != "" {
		found = append(found, place{setting: "internal-addr", asked: opts.internalAddr})
	}
	for i := range found {
		p := &found[i]
		if p.path == "" {
			addr, err := net.ResolveTCPAddr("tcp", p.asked)
			if err != nil {
				return fmt.Errorf("%s: this is no address of a machine: %w", opts.cite(p.setting), err)
			}
			p.addr = addr.AddrPort()
		}
		for _, other := range found[:i] {
			if p.overlaps(other) {
				return fmt.Errorf("%s: %s and %s cannot both be listened on; leave one out, or choose another port",
					opts.cite(p.setting), other.asked, p.asked)
			}
		}
	}
	return nil
}

// place is what somebody listens on: a path, or an address and port.
type place struct {
	setting, asked string
	path           string
	addr           netip.AddrPort
}

// overlaps says whether who listens on one takes the other too.
func (p place) overlaps(q place) bool {
	if p.path != "" || q.path != "" {
		return p.path == q.path
	}
	if p.addr.Port() != q.addr.Port() || p.addr.Port() == 0 {
		return false
	}
	a, b := p.addr.Addr().Unmap(), q.addr.Addr().Unmap()
	return a == b || isAll(a, b) || isAll(b, a)
}

// isAll says whether a is the address that stands for all, b among them. "::" is those
// of both families, and so is no address at all, as in ":8080".
func isAll(a, b netip.Addr) bool {
	return !a.IsValid() || a.IsUnspecified() && (a.Is6() || b.Is4())
}

// cause is what went wrong with a file, without its name.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// warnOfDescriptors warns of more connections than the system lets the process have.
func warnOfDescriptors(opts *options, logger *slog.Logger) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return
	}
	if uint64(opts.config.MaxConns) > limit.Cur { // 0 is auto, which knows the limit
		logger.Warn("max-conns is more than the limit of descriptors (RLIMIT_NOFILE) allows",
			"max-conns", opts.config.MaxConns, "limit", limit.Cur)
	}
}
