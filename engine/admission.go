package engine

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Who is let in. A connection is judged when it is accepted, as far as that can be
// known then: before TLS has cost anything, and before its request has come. One
// that a trusted proxy has made is judged once more when it is known for whom.

// letIn decides whether a new connection may begin its handshake, nil if so.
func (c *Conn) letIn(listener int) *refusal {
	l, s := c.loop, c.loop.server
	switch {
	case l.draining:
		return l.refuseShutdown()
	case !s.namesClients(listener) && !c.speaksForOthers() && !c.joinClient():
		s.refusals.client.Add(1)
		return refuseClient
	case !s.handshakes.take(int64(l.wire.Now())):
		s.refusals.rate.Add(1)
		return refuseRate
	case !s.takePlace():
		s.refusals.full.Add(1)
		return refuseFull
	}
	c.flags |= flagPlace
	return nil
}

// refuseClient refuses a connection whose client has come to be known.
func (c *Conn) refuseClient() {
	c.loop.server.refusals.client.Add(1)
	c.refuse(refuseClient)
}

// namesClients says whether connections to this listener begin with a PROXY header.
func (s *Server) namesClients(listener int) bool {
	return listener >= 0 && listener < len(s.proxied) && s.proxied[listener]
}

// joinClient counts the connection among those of its client, and says whether it
// may be one more. Proxies that are trusted, and peers without an address, have no
// limit.
func (c *Conn) joinClient() bool {
	s := c.loop.server
	if s.clients == nil || c.flags&flagCounted != 0 {
		return true
	}
	ip := c.Client()
	if !ip.IsValid() || s.trustsIP(ip) {
		return true
	}
	if !s.clients.join(ip) {
		return false
	}
	c.flags |= flagCounted
	return true
}

// leaveClient ends what joinClient has begun.
func (c *Conn) leaveClient() {
	if c.flags&flagCounted != 0 {
		c.flags &^= flagCounted
		c.loop.server.clients.leave(c.Client())
	}
}

// census counts connections by the address of their client, for
// Config.MaxConnsPerIP. An address without connections takes no memory. Its methods
// are safe from any goroutine.
type census struct {
	most int32

	mu    sync.Mutex
	conns map[network]int32
}

func newCensus(most int) *census {
	if most == 0 {
		return nil
	}
	return &census{most: int32(most), conns: make(map[network]int32)}
}

// join counts one more, unless there are as many as there may be.
func (s *census) join(ip netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := networkOf(ip)
	n := s.conns[at]
	if n >= s.most {
		return false
	}
	s.conns[at] = n + 1
	return true
}

// leave counts one less.
func (s *census) leave(ip netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := networkOf(ip)
	if n := s.conns[at]; n > 1 {
		s.conns[at] = n - 1
	} else {
		delete(s.conns, at)
	}
}

// network is what counts as one address: all of an IPv4 address, or the first 64
// bits of an IPv6 address, of which everyone has that many to choose from. IPv4
// addresses stand where they do in ::ffff:0:0/96.
type network uint64

func networkOf(ip netip.Addr) network {
	b := ip.As16()
	if ip.Is4() {
		return network(binary.BigEndian.Uint64(b[8:]))
	}
	return network(binary.BigEndian.Uint64(b[:8]))
}

// refusals counts who was turned away, by reason. The answers to requests are
// counted by their status too, see Stats.
type refusals struct {
	full    atomic.Uint64 // Config.MaxConns: 503
	client  atomic.Uint64 // Config.MaxConnsPerIP: 429
	rate    atomic.Uint64 // Config.MaxHandshakeRate: 503
	proxy   atomic.Uint64 // cut: no PROXY header, a malformed one, or of a peer that isn't trusted
	limited atomic.Uint64 // open connections closed with 1008: Endpoint.MaxMessageRate and the like
}
