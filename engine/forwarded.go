package engine

import (
	"bytes"
	"iter"
	"net/netip"
	"slices"
)

// What proxies write into a request about the client: X-Forwarded-For, or Forwarded
// (RFC 7239). Each proxy adds the address of its own peer at the end, so what the
// first one has got from the client stands on the left, and is the client's to
// invent. It is therefore read from the right, and only as far as trusted proxies
// have written it; what stands further left is never looked at.

const (
	xForwardedFor   = "X-Forwarded-For"
	forwardedHeader = "Forwarded"
)

// hop is what one proxy says of its peer.
type hop struct {
	from   netip.Addr // not valid: it doesn't say, or nothing that makes sense
	secure bool       // it has come by TLS
}

// forwardedBy gives the client for whom a trusted proxy with this address speaks:
// the last one that is no trusted proxy itself, or the first of all. A proxy that
// doesn't name its peer is as far as one can see.
func (s *Server) forwardedBy(proxy netip.Addr, h *requestHead) (client netip.Addr, secure bool) {
	client = proxy
	hops := h.xForwardedHops()
	if s.cfg.ForwardedHeader == forwardedHeader {
		hops = h.forwardedHops()
	}
	for at := range hops {
		secure = at.secure
		if !at.from.IsValid() {
			break
		}
		client = at.from
		if !s.trustsIP(client) {
			break
		}
	}
	return client, secure
}

// xForwardedHops gives the hops of X-Forwarded-For, the last one first. How the
// client came is what the last proxy says of the whole way.
func (h *requestHead) xForwardedHops() iter.Seq[hop] {
	return func(yield func(hop) bool) {
		secure := false
		for proto := range h.lastFirst("x-forwarded-proto") {
			secure = isSecure(proto)
			break
		}
		for one := range h.lastFirst("x-forwarded-for") {
			if !yield(hop{parseNode(one), secure}) {
				return
			}
		}
		yield(hop{secure: secure}) // also of a request that names nobody
	}
}

// forwardedHops gives the hops of Forwarded, the last one first.
func (h *requestHead) forwardedHops() iter.Seq[hop] {
	return func(yield func(hop) bool) {
		for one := range h.lastFirst("forwarded") {
			if !yield(parseForwarded(one)) {
				return
			}
		}
	}
}

// lastFirst gives the elements of a list, over all fields of that name, from the
// last to the first, without empty ones (RFC 9110 §5.6.1). name is in lower case.
func (h *requestHead) lastFirst(name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, f := range slices.Backward(h.fields) {
			if !equalFold(f.name, name) {
				continue
			}
			for list := f.value; len(list) > 0; {
				var one []byte
				list, one = cutLast(list)
				if one = bytes.Trim(one, " \t"); len(one) > 0 && !yield(one) {
					return
				}
			}
		}
	}
}

// cutLast takes the last element off a list. A comma inside of a quoted string ends
// none (RFC 9110 §5.6.4). Because it begins on the right, a quotation mark that the
// client has left open on the left swallows nothing.
func cutLast(list []byte) (rest, last []byte) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch list[i] {
		case '"':
			if !quoted || !isEscaped(list, i) {
				quoted = !quoted
			}
		case ',':
			if !quoted {
				return list[:i], list[i+1:]
			}
		}
	}
	return nil, list
}

// isEscaped says whether an odd number of backslashes stands before b[i].
func isEscaped(b []byte, i int) bool {
	before := b[:i]
	return (len(before)-len(bytes.TrimRight(before, `\`)))%2 == 1
}

// parseForwarded reads one element of Forwarded: pairs like for=192.0.2.43, with
// semicolons between them (RFC 7239 §4). What is malformed says nothing.
func parseForwarded(element []byte) (h hop) {
	seen := false
	for len(element) > 0 {
		name, rest, ok := bytes.Cut(element, []byte{'='})
		name = bytes.Trim(name, " \t")
		if !ok || !isToken(name) {
			return hop{}
		}
		var value []byte
		if value, element, ok = takeValue(rest); !ok {
			return hop{}
		}
		switch {
		case equalFold(name, "for") && seen: // each parameter once
			return hop{}
		case equalFold(name, "for"):
			seen, h.from = true, parseNode(value)
		case equalFold(name, "proto"):
			h.secure = isSecure(value)
		}
	}
	return h
}

// takeValue takes a token or a quoted string, and the semicolon behind it. What is
// escaped stays so: nothing that matters here needs it.
func takeValue(b []byte) (value, rest []byte, ok bool) {
	b = bytes.TrimLeft(b, " \t")
	if len(b) == 0 || b[0] != '"' {
		value, rest, _ = bytes.Cut(b, []byte{';'})
		return bytes.TrimRight(value, " \t"), rest, bytes.IndexByte(value, '"') < 0
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			behind, rest, _ := bytes.Cut(b[i+1:], []byte{';'})
			return b[1:i], rest, len(bytes.Trim(behind, " \t")) == 0
		}
	}
	return nil, nil, false
}

// maxNode is more than an address with brackets and a port can take.
const maxNode = 64

// parseNode reads an address, with a port or without (RFC 7239 §6). It is not valid
// for anything else, such as "unknown" or "_hidden".
func parseNode(b []byte) netip.Addr {
	if len(b) > maxNode {
		return netip.Addr{}
	}
	s, bracketed := b, false
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 || end+1 < len(b) && !isNodePort(b[end+1:]) {
			return netip.Addr{}
		}
		s, bracketed = b[1:end], true
	} else if colon := bytes.IndexByte(b, ':'); colon >= 0 && colon == bytes.LastIndexByte(b, ':') {
		if !isNodePort(b[colon:]) {
			return netip.Addr{}
		}
		s = b[:colon]
	}
	ip, err := netip.ParseAddr(string(s))
	if err != nil || ip.Zone() != "" || bracketed && ip.Is4() {
		return netip.Addr{}
	}
	return ip.Unmap()
}

// isNodePort says whether b is a colon and a port, or an obfuscated one.
func isNodePort(b []byte) bool {
	return len(b) > 1 && b[0] == ':' && isToken(b[1:])
}

func isSecure(proto []byte) bool { return equalFold(proto, "https") || equalFold(proto, "wss") }
