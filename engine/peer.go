package engine

import (
	"net"
	"net/netip"
)

// Who is there. A connection has a peer, at the other end of the socket. The peer
// may be a proxy that speaks for a client: a trusted one is believed when it says
// for whom (Config.TrustedProxies). It may say so before everything else, in a
// PROXY header, or in the request (forwarded.go).

// Remote is the peer's address: of the other end of the socket, or what a PROXY
// header says instead (Config.ProxyProtocol). Safe from any goroutine.
func (c *Conn) Remote() net.Addr { return c.remote }

// Client is the address of the client: the peer's, or, where the peer is a trusted
// proxy (Config.TrustedProxies), the one that it speaks for. It is not valid for a
// peer on a unix socket that speaks for nobody. It has no zone, and an IPv4 address
// is never in its IPv6 form. Safe from any goroutine.
func (c *Conn) Client() netip.Addr {
	if x := c.more.Load(); x != nil && x.client != nil {
		return *x.client
	}
	return ipOf(c.remote)
}

// Client is the address of the client, see Conn.Client.
func (r *Request) Client() netip.Addr { return r.conn.Client() }

// Secure says whether the client has come by TLS: to this server, or to a trusted
// proxy that says so (X-Forwarded-Proto, or proto in Forwarded).
func (r *Request) Secure() bool {
	if r.TLS() != nil {
		return true
	}
	_, secure := r.forwarded()
	return secure
}

// forwarded gives what trusted proxies say about the client. Without any it is the
// peer, in the clear.
func (r *Request) forwarded() (client netip.Addr, secure bool) {
	c := r.conn
	client = ipOf(c.remote)
	if !c.speaksForOthers() {
		return client, false
	}
	return c.loop.server.forwardedBy(client, &r.head)
}

// findClient notes who the client is, if that isn't the peer. It is called before
// anybody else has the Conn.
func (c *Conn) findClient(r *Request) {
	if found, _ := r.forwarded(); found != ipOf(c.remote) {
		client := found // made where it is kept: most don't need one
		c.extra().client = &client
	}
}

// speaksForOthers says whether the peer is believed when it names a client.
func (c *Conn) speaksForOthers() bool {
	if x := c.more.Load(); x != nil && x.nameless {
		return false
	}
	return c.loop.server.trusts(c.remote)
}

// trusts says whether this peer is a trusted proxy. One on a unix socket is, if
// there are any.
func (s *Server) trusts(peer net.Addr) bool {
	if _, local := peer.(*net.UnixAddr); local {
		return len(s.cfg.TrustedProxies) > 0
	}
	return s.trustsIP(ipOf(peer))
}

func (s *Server) trustsIP(ip netip.Addr) bool {
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// maySendHeader says whether this peer may begin with a PROXY header.
func (s *Server) maySendHeader(peer net.Addr) bool {
	return len(s.cfg.TrustedProxies) == 0 || s.trusts(peer)
}

// Introduce implements wire.Introduced: the peer has sent a PROXY header. Where
// it doesn't say for whom, nobody in front of it has seen the client, so the
// request's own word has no witness.
func (o *owner) Introduce(remote net.Addr) {
	c := (*Conn)(o)
	c.loop.enter()
	if remote != nil {
		c.remote = remote
	}
	if !ipOf(remote).IsValid() {
		c.extra().nameless = true
	}
	if c.phase == phaseHandshake && !c.speaksForOthers() && !c.joinClient() {
		c.refuseClient()
	}
	c.loop.leave(c)
}

// ipOf gives the IP address in an address, not valid where there is none.
func ipOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}
