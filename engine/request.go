package engine

import (
	"bytes"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// Request is the opening handshake's request. It is readable in Admit and, by
// way of Conn.Request, in OnOpen; not later. The strings that it gives are
// copies and may be kept. Loop-only.
type Request struct {
	conn        *Conn
	head        requestHead
	url         *url.URL // of a target that is not what it says in so many letters
	path        string
	query       []byte   // where url is nil
	offers      []string // subprotocols of the client, in its order
	subprotocol string
	header      http.Header // for the answer
	user        any
	taken       *taken // it came by way of net/http
	admitting   bool
}

// Path is the path of the request, decoded.
func (r *Request) Path() string { return r.path }

// RawQuery is the query without the question mark, as it came.
func (r *Request) RawQuery() string {
	if r.url != nil {
		return r.url.RawQuery
	}
	return string(r.query)
}

// Query is the decoded query. Malformed pairs are left out.
func (r *Request) Query() url.Values {
	values, _ := url.ParseQuery(r.RawQuery())
	return values
}

// Host is the Host header, or the host of a target in absolute form, which takes
// its place (RFC 9112 §3.2.2).
func (r *Request) Host() string {
	if r.url != nil && r.url.Host != "" {
		return r.url.Host
	}
	return r.Header("Host")
}

// Origin is the Origin header, "" if there was none.
func (r *Request) Origin() string { return r.Header("Origin") }

// Header is the first value of a header field, "" if there is none. The name's
// case doesn't count.
func (r *Request) Header(name string) string {
	name = strings.ToLower(name)
	for _, f := range r.head.fields {
		if equalFold(f.name, name) {
			return string(f.value)
		}
	}
	return ""
}

// Headers gives all header fields, as net/http would.
func (r *Request) Headers() http.Header {
	h := make(http.Header, len(r.head.fields))
	for _, f := range r.head.fields {
		name := textproto.CanonicalMIMEHeaderKey(string(f.name))
		h[name] = append(h[name], string(f.value))
	}
	return h
}

// Cookie is the value of a cookie, "" if there is none. Malformed cookies are
// passed over, as in net/http.
func (r *Request) Cookie(name string) string {
	req := http.Request{Header: r.Headers()}
	c, err := req.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// Remote is the peer's address.
func (r *Request) Remote() net.Addr { return r.conn.remote }

// Subprotocols are those that the client offers, in its order. Don't change the
// slice.
func (r *Request) Subprotocols() []string { return r.offers }

// Subprotocol is the one that is chosen so far, or "".
func (r *Request) Subprotocol() string { return r.subprotocol }

// SetSubprotocol chooses, in Admit, one of those that the client offers, or ""
// for none. It says whether the client offers it; if not, nothing changes.
func (r *Request) SetSubprotocol(name string) bool {
	if !r.admitting || name != "" && !slices.Contains(r.offers, name) {
		return false
	}
	r.subprotocol = name
	return true
}

// SetHeader adds, in Admit, a header field to the answer that grants the
// handshake, such as a cookie. It says whether the field can be sent: not one
// that belongs to the handshake itself, none with control characters.
func (r *Request) SetHeader(name, value string) bool {
	name = textproto.CanonicalMIMEHeaderKey(name)
	if _, ok := userField(name, value); !ok || handshakeFields[name] || answerFields[name] || !r.admitting {
		return false
	}
	if r.header == nil {
		r.header = http.Header{}
	}
	r.header.Add(name, value)
	return true
}

// handshakeFields are those of the answer that grants a handshake.
var handshakeFields = map[string]bool{
	"Upgrade": true, "Sec-Websocket-Accept": true, "Sec-Websocket-Protocol": true, "Sec-Websocket-Extensions": true,
}

// SetUser gives, in Admit, the connection's user state (Conn.User).
func (r *Request) SetUser(v any) { r.user = v }

// reset forgets the request. The slices of head point into a buffer that has
// another owner by now.
func (r *Request) reset() {
	clear(r.head.fields)
	clear(r.offers)
	*r = Request{head: requestHead{fields: r.head.fields[:0]}, offers: r.offers[:0]}
}

// parseTarget takes the request target apart: "/path?query", or the absolute
// form that RFC 9112 §3.2.2 has servers accept. It gives the endpoint of that path.
func (r *Request) parseTarget(endpoints map[string]*endpoint) (*endpoint, *refusal) {
	path, query, _ := bytes.Cut(r.head.target, []byte{'?'})
	if len(path) == 0 || path[0] != '/' || bytes.ContainsAny(r.head.target, "%#") {
		bad := r.parseURL()
		return endpoints[r.path], bad
	}
	r.query = query
	ep := endpoints[string(path)]
	if ep != nil {
		r.path = ep.path // and no copy is made
	} else {
		r.path = string(path)
	}
	return ep, nil
}

// parseURL is parseTarget where that takes more than a look.
func (r *Request) parseURL() *refusal {
	u, err := url.ParseRequestURI(string(r.head.target))
	switch {
	case err != nil || bytes.IndexByte(r.head.target, '#') >= 0:
		return refuseTarget
	case u.Scheme == "" && !strings.HasPrefix(u.Path, "/"):
		return refuseTarget
	case u.Scheme != "" && u.Hostname() == "": // RFC 9110 §4.2.1
		return refuseTarget
	case u.Path == "":
		u.Path = "/"
	}
	r.url, r.path = u, u.Path
	return nil
}

// maxOffers is how many subprotocols a client may offer.
const maxOffers = 64

// parseOffers reads Sec-WebSocket-Protocol: tokens, each once (RFC 6455 §4.1).
func (r *Request) parseOffers() *refusal {
	for _, f := range r.head.fields {
		if !equalFold(f.name, "sec-websocket-protocol") {
			continue
		}
		for one := range bytes.SplitSeq(f.value, []byte{','}) {
			one = bytes.Trim(one, " \t")
			if len(r.offers) == maxOffers || !isToken(one) || slices.Contains(r.offers, string(one)) {
				return refuseProtocols
			}
			r.offers = append(r.offers, string(one))
		}
	}
	return nil
}
