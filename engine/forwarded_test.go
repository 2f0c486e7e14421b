package engine

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// headOf parses a request with these header lines.
func headOf(tb testing.TB, lines ...string) *requestHead {
	tb.Helper()
	h := new(requestHead)
	if bad := h.parse([]byte("GET / HTTP/1.1\r\n" + strings.Join(append(lines, "", ""), "\r\n"))); bad != nil {
		tb.Fatal(bad)
	}
	return h
}

// trusting is a server whose trusted proxies are 10.0.0.0/8 and 2001:db8:f::/48.
func trusting(header string) *Server {
	return &Server{cfg: Config{
		ForwardedHeader: header,
		TrustedProxies:  []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:f::/48")},
	}}
}

const nearProxy = "10.0.0.1" // the peer in these tests

var forwardedRows = []struct {
	name   string
	lines  []string
	client string
	secure bool
}{
	{"none", nil, nearProxy, false},
	{"one", []string{"X-Forwarded-For: 192.0.2.1"}, "192.0.2.1", false},
	{"spoofed/left of the truth", []string{"X-Forwarded-For: 6.6.6.6, 192.0.2.1"}, "192.0.2.1", false},
	{"spoofed/in a line of its own", []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 192.0.2.1"}, "192.0.2.1", false},
	{"spoofed/in the other field", []string{"Forwarded: for=6.6.6.6", "X-Forwarded-For: 192.0.2.1"}, "192.0.2.1", false},
	{"spoofed/in the other field alone", []string{"Forwarded: for=6.6.6.6;proto=https"}, nearProxy, false},
	{"spoofed/a trusted address on the left", []string{"X-Forwarded-For: 10.0.0.9, 192.0.2.1"}, "192.0.2.1", false},
	{"spoofed/a quotation mark", []string{`X-Forwarded-For: "6.6.6.6, 192.0.2.1`}, "192.0.2.1", false},
	{"chain", []string{"X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.1.1.1, 10.2.2.2"}, "192.0.2.1", false},
	{"chain/over two lines", []string{"X-Forwarded-For: 192.0.2.1,10.1.1.1", "X-Forwarded-For:10.2.2.2"}, "192.0.2.1", false},
	{"chain/all trusted", []string{"X-Forwarded-For: 10.3.3.3, 10.2.2.2"}, "10.3.3.3", false},
	{"chain/IPv6 proxy", []string{"X-Forwarded-For: 192.0.2.1, 2001:db8:f::7"}, "192.0.2.1", false},
	{"chain/broken off", []string{"X-Forwarded-For: 192.0.2.1, unknown, 10.2.2.2"}, "10.2.2.2", false},
	{"port", []string{"X-Forwarded-For: 192.0.2.1:4711"}, "192.0.2.1", false},
	{"IPv6", []string{"X-Forwarded-For: 2001:db8::1"}, "2001:db8::1", false},
	{"IPv6/brackets", []string{"X-Forwarded-For: [2001:db8::1]"}, "2001:db8::1", false},
	{"IPv6/brackets and port", []string{"X-Forwarded-For: [2001:db8::1]:443"}, "2001:db8::1", false},
	{"IPv6/mapped", []string{"X-Forwarded-For: 192.0.2.1, ::ffff:10.0.0.2"}, "192.0.2.1", false},
	{"IPv6/zone", []string{"X-Forwarded-For: fe80::1%eth0"}, nearProxy, false},
	{"empty elements", []string{"X-Forwarded-For: , 192.0.2.1 ,\t,"}, "192.0.2.1", false},
	{"empty", []string{"X-Forwarded-For:"}, nearProxy, false},
	{"malformed", []string{"X-Forwarded-For: 192.0.2.256"}, nearProxy, false},
	{"malformed/port", []string{"X-Forwarded-For: 192.0.2.1:"}, nearProxy, false},
	{"malformed/bracket", []string{"X-Forwarded-For: [2001:db8::1"}, nearProxy, false},
	{"malformed/IPv4 in brackets", []string{"X-Forwarded-For: [192.0.2.1]"}, nearProxy, false},
	{"malformed/long", []string{"X-Forwarded-For: " + strings.Repeat("1", 8000)}, nearProxy, false},
	{"proto", []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https"}, "192.0.2.1", true},
	{"proto/spoofed", []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "X-Forwarded-Proto: http"}, "192.0.2.1", false},

	{"7239/one", []string{"Forwarded: for=192.0.2.1"}, "192.0.2.1", false},
	{"7239/spoofed in the other field", []string{"X-Forwarded-For: 6.6.6.6", "Forwarded: for=192.0.2.1"}, "192.0.2.1", false},
	{"7239/all parameters", []string{`Forwarded: By="[2001:db8::9]:1";FOR="[2001:db8::1]:4711" ; proto=https;host="a,b;\"c\\"`}, "2001:db8::1", true},
	{"7239/chain", []string{"Forwarded: for=6.6.6.6, for=192.0.2.1;proto=https, for=10.1.1.1;proto=http"}, "192.0.2.1", true},
	{"7239/spoofed by an open quotation mark", []string{`Forwarded: for="6.6.6.6, for=192.0.2.1`}, "192.0.2.1", false},
	{"7239/spoofed by an escaped one", []string{`Forwarded: for="6.6.6.6\", for=192.0.2.1`}, "192.0.2.1", false},
	{"7239/spoofed by way of the host", []string{`Forwarded: for=192.0.2.1;host="x\", for=6.6.6.6"`}, "192.0.2.1", false},
	{"7239/a comma in quotes", []string{`Forwarded: for=6.6.6.6, for=192.0.2.1;host="a, for=7.7.7.7"`}, "192.0.2.1", false},
	{"7239/unknown", []string{"Forwarded: for=192.0.2.1, for=unknown"}, nearProxy, false},
	{"7239/hidden", []string{`Forwarded: for=192.0.2.1, for="_gazonk"`}, nearProxy, false},
	{"7239/hidden port", []string{`Forwarded: for="192.0.2.1:_p"`}, "192.0.2.1", false},
	{"7239/no for", []string{"Forwarded: for=192.0.2.1, proto=https"}, nearProxy, true},
	{"7239/for twice", []string{"Forwarded: for=192.0.2.1;for=192.0.2.2"}, nearProxy, false},
	{"7239/malformed", []string{`Forwarded: for="192.0.2.1"x`}, nearProxy, false},
	{"7239/malformed/name", []string{"Forwarded: f or=192.0.2.1"}, nearProxy, false},
	{"7239/malformed/no value", []string{"Forwarded: for"}, nearProxy, false},
	{"7239/malformed/after for", []string{"Forwarded: for=192.0.2.1;x"}, nearProxy, false},
}

func TestForwarded(t *testing.T) {
	for _, row := range forwardedRows {
		t.Run(row.name, func(t *testing.T) {
			header := xForwardedFor
			if strings.HasPrefix(row.name, "7239") {
				header = forwardedHeader
			}
			client, secure := trusting(header).forwardedBy(netip.MustParseAddr(nearProxy), headOf(t, row.lines...))
			if client != netip.MustParseAddr(row.client) || secure != row.secure {
				t.Errorf("the client is %v (secure %t), want %s (%t)", client, secure, row.client, row.secure)
			}
		})
	}
}

// FuzzForwarded puts anything before what a trusted proxy has added, in the same
// line or in one before, and looks whether the proxy is still believed.
func FuzzForwarded(f *testing.F) {
	for _, row := range forwardedRows {
		for _, line := range row.lines {
			_, value, _ := strings.Cut(line, ":")
			f.Add(value, true)
			f.Add(value, false)
		}
	}
	truth := netip.MustParseAddr("192.0.2.1")
	f.Fuzz(func(t *testing.T, spoof string, oneLine bool) {
		if fd, bad := parseField([]byte("x:" + spoof)); bad != nil || len(fd.value) != len(strings.Trim(spoof, " \t")) {
			t.Skip("no header field")
		}
		for header, added := range map[string]string{
			xForwardedFor:   "192.0.2.1",
			forwardedHeader: `for="192.0.2.1:80";host="` + "a\\\", for=7.7.7.7" + `"`,
		} {
			lines := []string{header + ": " + spoof, header + ": " + added}
			if oneLine {
				lines = []string{header + ": " + spoof + ", " + added}
			}
			h := headOf(t, lines...)
			if client, _ := trusting(header).forwardedBy(netip.MustParseAddr(nearProxy), h); client != truth {
				t.Errorf("%q makes the client %v", lines, client)
			}
			// Alone it must not break anything, and what it gives is no zero address.
			alone := headOf(t, lines[0])
			if client, _ := trusting(header).forwardedBy(netip.MustParseAddr(nearProxy), alone); !client.IsValid() || client.Is4In6() {
				t.Errorf("%q makes the client %v", lines[0], client)
			}
			n := 0
			for one := range alone.lastFirst(strings.ToLower(header)) {
				if n += len(one); len(one) == 0 {
					t.Errorf("%q has an empty element", lines[0])
				}
			}
			if n > len(lines[0]) {
				t.Errorf("the elements of %q are longer than it", lines[0])
			}
		}
	})
}

func TestListsAreCutFromTheRight(t *testing.T) {
	for list, want := range map[string][]string{
		`a, b,c`:           {"c", "b", "a"},
		`a="x,y", b`:       {"b", `a="x,y"`},
		`a="x\",y", b`:     {"b", `a="x\",y"`},
		`a="x\\", b`:       {"b", `a="x\\"`},
		`,, a ,,`:          {"a"},
		`"`:                {`"`},
		`a", b="c`:         {`a", b="c`},
		``:                 nil,
		`a="\\\"", b="\""`: {`b="\""`, `a="\\\""`},
	} {
		h := &requestHead{fields: []field{{[]byte("list"), []byte(list)}}}
		var got []string
		for one := range h.lastFirst("list") {
			got = append(got, string(one))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s gives %q, want %q", list, got, want)
		}
	}
}
