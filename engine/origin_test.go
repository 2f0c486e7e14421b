package engine

import "testing"

func TestSameOrigin(t *testing.T) {
	for _, row := range []struct {
		name, origin, host string
		same               bool
	}{
		{"equal", "https://example.com", "example.com", true},
		{"scheme-does-not-count", "http://example.com", "example.com", true},
		{"any-case", "https://EXAMPLE.com", "example.COM", true},
		{"port", "http://h:81", "h:81", true},
		{"default-port-80", "http://h", "h:80", true},
		{"default-port-443", "https://h", "h:443", true},
		{"default-port-80-in-origin", "http://h:80", "h", true},
		{"default-port-ws", "ws://h:80", "h", true},
		{"default-port-wss", "wss://h", "h:443", true},
		{"default-port-of-the-other-scheme", "https://h", "h:80", false},
		{"default-port-of-an-unknown-scheme", "app://h", "h:80", false},
		{"unknown-scheme", "app://h", "h", true},
		{"port-ends-like-the-default", "http://h:8080", "h:80", false},
		{"ipv6", "http://[::1]", "[::1]:80", true},
		{"ipv6-address-ends-like-a-port", "http://[::80]", "[::]", false},
		{"other-host", "https://a", "b", false},
		{"other-port", "https://h:1", "h:2", false},
		{"port-on-one-side", "https://h:1", "h", false},
		{"suffix", "https://h.evil", "h", false},
		{"prefix", "https://evilh", "h", false},
		{"trailing-dot", "https://h.", "h", false},
		{"null", "null", "null", false},
		{"null-host", "null", "", false},
		{"empty", "", "", false},
		{"file", "file://", "", false},
		{"host-without-scheme", "h", "h", false},
		{"opaque", "data:h", "h", false},
		{"malformed", "https://h:port", "h:port", false},
		{"malformed-percent", "https://%zz", "%zz", false},
	} {
		t.Run("10.2/"+row.name, func(t *testing.T) {
			if got := sameOrigin(row.origin, row.host, false); got != row.same {
				t.Errorf("origin %q, host %q: %v, want %v", row.origin, row.host, got, row.same)
			}
		})
	}
}

func TestSameOriginOverTLS(t *testing.T) {
	for origin, want := range map[string]bool{
		"https://h": true, "https://h:443": true, "app://h": true,
		"http://h": false, "HTTP://h": false, "http://h:443": false, // anybody between may have written that page
	} {
		if got := sameOrigin(origin, "h", true); got != want {
			t.Errorf("origin %q over TLS: %v, want %v", origin, got, want)
		}
	}
}

func TestValidOrigin(t *testing.T) {
	for origin, want := range map[string]bool{
		"https://example.com":       true,
		"http://localhost:3000":     true,
		"http://[::1]:80":           true,
		"app://x":                   true,
		"":                          false,
		"*":                         false,
		"null":                      false,
		"example.com":               false,
		"//example.com":             false,
		"https://":                  false,
		"https:///":                 false,
		"https://example.com/":      false,
		"https://example.com/a":     false,
		"https://example.com?":      false,
		"https://example.com?a":     false,
		"https://example.com#":      false,
		"https://example.com#a":     false,
		"https://user@example.com":  false,
		"https://example.com:port":  false,
		"https://*.example.com":     false, // there are no patterns, so it would never match
		"https://example.com, null": false,
	} {
		if got := validOrigin(origin); got != want {
			t.Errorf("%q: %v, want %v", origin, got, want)
		}
	}
}

func TestAllowsOrigin(t *testing.T) {
	ep, err := newEndpoint("/", Endpoint{Handler: HandlerFuncs{}, Origins: []string{"https://Example.ORG"}})
	if err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]bool{
		"https://example.org":     true,
		"https://EXAMPLE.org":     true,
		"https://h":               true, // the same origin
		"http://example.org":      false,
		"https://example.org:443": true, // the default port, which a browser leaves out
		"https://example.org/":    false,
		"null":                    false,
		"*":                       false,
	} {
		if got := ep.allows(origin, "h", false); got != want {
			t.Errorf("%q: %v, want %v", origin, got, want)
		}
	}
}
