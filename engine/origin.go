package engine

import (
	"net/url"
	"slices"
	"strings"
)

// allows says whether a page of this origin may connect (RFC 6455 §10.2).
func (e *endpoint) allows(origin, host string) bool {
	return e.anywhere || sameOrigin(origin, host) || slices.Contains(e.Origins, canonicalOrigin(origin))
}

// sameOrigin compares the origin's host and port with the Host header. The
// scheme doesn't count: a proxy in front may end TLS.
func sameOrigin(origin, host string) bool {
	if !validOrigin(origin) {
		return false
	}
	scheme, _, _ := strings.Cut(origin, "://")
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
