package engine

import (
	"crypto/tls"
	"net"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/headrace/headrace/engine/internal/gnetwire"
	"github.com/headrace/headrace/engine/internal/proxywire"
	"github.com/headrace/headrace/engine/internal/tlswire"
	"github.com/headrace/headrace/engine/internal/wire"
)

// newBackend makes the transport: gnet; above it PROXY headers, and above those TLS,
// where an address has them.
func (s *Server) newBackend() wire.Backend {
	var addrs []gnetwire.Listener
	var configs []*tls.Config
	for _, l := range s.cfg.listeners() {
		addrs = append(addrs, gnetwire.Listener{Network: l.Network, Addr: bindAddr(l), Mode: l.Mode})
		configs = append(configs, l.TLS)
	}
	var backend wire.Backend = gnetwire.New(gnetwire.Options{
		Listeners:  addrs,
		ReusePort:  s.cfg.ReusePort,
		Loops:      s.cfg.Loops,
		ReadBuffer: s.cfg.ReadBuffer,
		Logger:     s.cfg.Logger,
	})
	if slices.Contains(s.proxied, true) {
		backend = proxywire.New(backend, proxywire.Options{
			Listeners: s.proxied,
			Trusts:    s.maySendHeader,
			Refused:   s.noteNoHeader,
		})
	}
	if slices.ContainsFunc(configs, func(c *tls.Config) bool { return c != nil }) {
		backend = tlswire.New(backend, tlswire.Options{
			Configs:       configs,
			MaxHandshakes: s.cfg.MaxTLSHandshakes,
			Logger:        s.cfg.Logger,
		})
	}
	return backend
}

// noteNoHeader is called when a connection is cut for want of a PROXY header.
func (s *Server) noteNoHeader(remote net.Addr, err error) {
	s.refusals.proxy.Add(1)
	s.cfg.Logger.Debug("a connection without a valid PROXY header was cut", "remote", remote, "err", err)
}

// bindAddr is the address as the transport wants it: with its port in digits, or
// the whole path.
func bindAddr(l Listener) string {
	if l.Network == "unix" {
		if path, err := filepath.Abs(l.Addr); err == nil {
			return path
		}
		return l.Addr
	}
	host, port, _ := net.SplitHostPort(l.Addr)
	if n, err := net.LookupPort(l.Network, port); err == nil {
		port = strconv.Itoa(n)
	}
	return net.JoinHostPort(host, port)
}
