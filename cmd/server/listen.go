package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/headrace/headrace/engine"
)

// listeners are the addresses to listen on. localhost is two where the machine
// has both, and a browser tries ::1 first.
func listeners(opts *options, config *tls.Config) []engine.Listener {
	var all []engine.Listener
	for _, addr := range opts.addrs {
		had := len(all)
		if path, ok := strings.CutPrefix(addr, unixPrefix); ok {
			all = append(all, engine.Listener{Network: "unix", Addr: path, Mode: opts.unixMode})
			continue
		}
		host, port, _ := net.SplitHostPort(addr)
		if n, err := strconv.Atoi(port); host == "localhost" && err == nil && n > 0 { // two free ports would be different ones
			for _, ip := range []string{"127.0.0.1", "::1"} {
				if isHere(ip) {
					all = append(all, engine.Listener{Addr: net.JoinHostPort(ip, port), TLS: config})
				}
			}
		}
		if len(all) == had {
			all = append(all, engine.Listener{Addr: addr, TLS: config})
		}
	}
	for i := range all {
		all[i].ProxyProtocol = opts.proxyProto
	}
	return all
}

// shown are the address to show at the start, as it was asked for and as it came to:
// the first that a browser can reach, if there is one.
func shown(addrs []string, bound []net.Addr) (string, net.Addr) {
	asked := slices.IndexFunc(addrs, func(a string) bool { return !isUnix(a) })
	first := slices.IndexFunc(bound, func(a net.Addr) bool { return a.Network() != "unix" })
	return addrs[max(0, asked)], bound[max(0, first)]
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

// explain puts the usual reasons for not starting in words. addr is what the setting
// says.
func explain(err error, addr, setting string) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		addr = op.Addr.String() // which one, where there are several
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("%s is taken by another program; end that one, or choose another port with --%s (port 0 takes a free one)", addr, setting)
	case errors.Is(err, syscall.EACCES):
		return fmt.Sprintf("no permission to listen on %s; choose a port above 1023 with --%s", addr, setting)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("%s is no address of this machine; choose another with --%s", addr, setting)
	default:
		return err.Error()
	}
}
