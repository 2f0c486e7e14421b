package bench

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ParseAddrs reads addresses to connect from: "127.0.0.2", "127.0.0.2-127.0.0.9",
// "127.0.1.0/28" (all of its addresses), or a list of those with commas.
func ParseAddrs(s string) (all []net.IP, err error) {
	for one := range strings.SplitSeq(s, ",") {
		first, last, err := parseAddrRange(strings.TrimSpace(one))
		if err != nil {
			return nil, err
		}
		for at := first; ; at = at.Next() {
			if len(all) == maxAddrs {
				return nil, fmt.Errorf("%q has more than %d addresses", s, maxAddrs)
			}
			all = append(all, at.AsSlice())
			if at == last {
				break
			}
		}
	}
	return all, nil
}

const maxAddrs = 1 << 16

func parseAddrRange(s string) (first, last netip.Addr, err error) {
	from, to, isRange := strings.Cut(s, "-")
	switch {
	case isRange:
		var failed error
		first, err = netip.ParseAddr(from)
		last, failed = netip.ParseAddr(to)
		if err = errors.Join(err, failed); err == nil && (first.BitLen() != last.BitLen() || last.Less(first)) {
			return first, last, fmt.Errorf("%q: the first address is the smaller one, of the same kind", s)
		}
	case strings.Contains(s, "/"):
		var p netip.Prefix
		p, err = netip.ParsePrefix(s)
		if p = p.Masked(); err == nil {
			first, last = p.Addr(), lastOf(p)
		}
	default:
		first, err = netip.ParseAddr(s)
		last = first
	}
	if err != nil || first.Zone() != "" || last.Zone() != "" {
		return first, last, fmt.Errorf("%q is no IP address, nor several: they are such as 127.0.0.2-127.0.0.9, 10.0.0.0/28 or fd00::1", s)
	}
	return first, last, nil
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < 8*len(b); bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// checkLocal says whether this machine has the addresses to connect from, and whether
// they can reach the server.
func (t *Target) checkLocal() error {
	there := t.literalHost()
	for _, ip := range t.LocalAddrs {
		if there.IsValid() && t.Proxy == nil && there.Is4() != (ip.To4() != nil) {
			return fmt.Errorf("%v cannot connect to %v: one is IPv4, the other IPv6", ip, there)
		}
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: ip})
		switch {
		case errors.Is(err, unix.EADDRNOTAVAIL):
			return fmt.Errorf("%v is no address of this machine", ip)
		case err != nil:
			return fmt.Errorf("%v is no address to connect from: %w", ip, err)
		}
		_ = conn.Close()
	}
	return nil
}

// literalHost is the address in the URL, if it has one.
func (t *Target) literalHost() netip.Addr {
	u, err := url.Parse(t.at(0))
	if err != nil {
		return netip.Addr{}
	}
	addr, _ := netip.ParseAddr(u.Hostname())
	return addr.Unmap()
}

// checkPorts says whether there are local ports enough for so many connections. Every
// pair of a local address and a server's has all of them.
func (t *Target) checkPorts(conns int) error {
	if _, _, local := t.unix(); local {
		return nil
	}
	ports, err := localPorts()
	if err != nil {
		return nil // the kernel will tell
	}
	pairs, servers := t.pairs(conns)
	if conns <= pairs*ports {
		return nil
	}
	here := max(1, len(t.LocalAddrs))
	need := max(here+1, int(math.Ceil(float64(conns)/float64(ports)/float64(servers))))
	return fmt.Errorf("%d connections need more local ports: from %d local to %d server addresses there are %d (net.ipv4.ip_local_port_range); connect from %d addresses (--local-addr, such as 127.0.0.1-127.0.0.%d to a server on this machine)",
		conns, here, servers, pairs*ports, need, need)
}

// pairs is how many pairs of local address and server's there are in so many
// connections, and how many addresses of servers.
func (t *Target) pairs(conns int) (pairs, servers int) {
	type pair struct {
		from int
		to   string
	}
	seen, hosts := map[pair]bool{}, map[string]bool{}
	local := max(1, len(t.LocalAddrs))
	oneHost := t.Proxy != nil || !strings.Contains(authority(t.URL), "{")
	host := authority(t.at(0))
	for i := range min(conns, manyPairs) {
		if !oneHost {
			host = authority(t.at(i))
		}
		seen[pair{i % local, host}] = true
		hosts[host] = true
	}
	return len(seen), len(hosts)
}

// manyPairs are looked at, and should be enough to have seen all.
const manyPairs = 1 << 16

// authority is host and port of a URL, which may be a template.
func authority(rawURL string) string {
	_, rest, _ := strings.Cut(rawURL, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	return rest[strings.LastIndex(rest, "@")+1:]
}

// localPorts is how many ephemeral ports there are.
func localPorts() (int, error) {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0, err
	}
	var from, to int
	if _, err := fmt.Sscan(string(b), &from, &to); err != nil {
		return 0, err
	}
	return max(1, to-from+1), nil
}
