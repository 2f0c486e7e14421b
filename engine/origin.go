package engine

import (
	"net/url"
	"slices"
	"strings"
)

// allows says whether a page of this origin may connect (RFC 6455 §10.2). secure
// says that the connection speaks TLS.
func (e *endpoint) allows(origin, host string, secure bool) bool {
	return e.anywhere || sameOrigin(origin, host, secure) || slices.Contains(e.Origins, canonicalOrigin(origin))
}

// sameOrigin compares the origin's host and port with the Host header. Of the
// scheme this counts: a page that came in the clear may be anybody's, so it is not
// of the origin that we serve over TLS. Without TLS here, a proxy in front may
// have ended it.
func sameOrigin(origin, host string, secure bool) bool {
	if !validOrigin(origin) {
		return false
	}
	scheme, _, _ := strings.Cut(origin, "://")
	if secure && strings.EqualFold(scheme, "http") {
		return false
	}
	return canonicalOrigin(origin) == canonicalOrigin(scheme+"://"+host)
}

// canonicalOrigin gives an origin in lower case, without the default port.
func canonicalOrigin(origin string) string {
	origin = strings.ToLower(origin)
	switch scheme, _, _ := strings.Cut(origin, "://"); scheme {
	case "http", "ws":
		return strings.TrimSuffix(origin, ":80")
	case "https", "wss":
		return strings.TrimSuffix(origin, ":443")
	default:
		return origin
	}
}

// validOrigin says whether s is scheme://host[:port] (RFC 6454 §6.2).
func validOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && u.Host != "" && strings.EqualFold(s, u.Scheme+"://"+u.Host) &&
		!strings.Contains(u.Host, "*") // there are no patterns
}
