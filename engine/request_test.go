package engine

import (
	"slices"
	"strings"
	"testing"
)

// parsedRequest is a request that the checks for every request have passed.
func parsedRequest(t *testing.T, in string) *Request {
	t.Helper()
	r := new(Request)
	if bad := r.head.parse([]byte(in)); bad != nil {
		t.Fatalf("%q: %v", in, bad)
	}
	if _, bad := r.checkHTTP(nil); bad != nil {
		t.Fatalf("%q: %v", in, bad)
	}
	return r
}

func TestRequestReads(t *testing.T) {
	r := parsedRequest(t, "GET /a%20b/%c3%a4?x=1&x=2&bad=%zz&y=%26 HTTP/1.1\r\n"+
		"Host: example.com:81\r\nOrigin: https://example.org\r\nX-One: first\r\nx-one: second\r\nX-Empty:\r\n"+
		"Cookie: a=1; b=\"two\"\r\nCookie: c=3; a=4\r\n\r\n")
	for _, row := range [][3]string{
		{"Path", r.Path(), "/a b/ä"},
		{"RawQuery", r.RawQuery(), "x=1&x=2&bad=%zz&y=%26"},
		{"Query x", strings.Join(r.Query()["x"], " "), "1 2"},
		{"Query y", r.Query().Get("y"), "&"},
		{"Query bad", strings.Join(r.Query()["bad"], " "), ""},
		{"Host", r.Host(), "example.com:81"},
		{"Origin", r.Origin(), "https://example.org"},
		{"Header", r.Header("X-ONE"), "first"},
		{"Header of an empty field", r.Header("X-Empty"), ""},
		{"Header of none", r.Header("X-Two"), ""},
		{"Headers", strings.Join(r.Headers()["X-One"], " "), "first second"},
		{"Cookie", r.Cookie("a"), "1"},
		{"Cookie in quotes", r.Cookie("b"), "two"},
		{"Cookie of another line", r.Cookie("c"), "3"},
		{"Cookie of none", r.Cookie("d"), ""},
	} {
		if row[1] != row[2] {
			t.Errorf("%s gives %q, want %q", row[0], row[1], row[2])
		}
	}
	if h := r.Headers(); len(h) != 5 || h["X-Empty"] == nil {
		t.Errorf("Headers are %q", h)
	}
}

// A malformed cookie hides itself, not the good ones around it.
func TestRequestCookieAmongBadOnes(t *testing.T) {
	r := parsedRequest(t, "GET / HTTP/1.1\r\nHost: h\r\nCookie: a=1; nonsense; b c=2; session=good\r\n\r\n")
	if got := r.Cookie("session"); got != "good" {
		t.Errorf("Cookie gives %q, want %q", got, "good")
	}
}

func TestRequestTarget(t *testing.T) {
	for target, want := range map[string]string{
		"/":                        "/ example.com",
		"/a/../b":                  "/a/../b example.com",
		"//a":                      "//a example.com",
		"/%2F":                     "// example.com",
		"/a:b@c":                   "/a:b@c example.com",
		"http://h":                 "/ h",
		"http://h?q":               "/ h",
		"https://h:1/a":            "/a h:1",
		"http://user@h/a":          "/a h",
		"ws://[::1]:80/a":          "/a [::1]:80",
		"":                         "",
		"*":                        "",
		"a":                        "",
		"?q":                       "",
		"a:1":                      "",
		"h.example:80":             "",
		"http:a":                   "",
		"http:/a":                  "",
		"http://":                  "",
		"http://:80/a":             "",
		"http:///a":                "",
		"/a#b":                     "",
		"/#":                       "",
		"/%":                       "",
		"/%0":                      "",
		"http://%zz/":              "",
		"http://h:port/":           "",
		"mailto:/a":                "",
		"http://h/a#b":             "",
		"javascript:alert(1)//a/b": "",
	} {
		r := new(Request)
		r.head.target = []byte(target)
		r.head.fields = []field{{[]byte("host"), []byte("example.com")}}
		var got string
		if _, bad := r.parseTarget(nil); bad == nil {
			got = r.Path() + " " + r.Host()
		}
		if got != want {
			t.Errorf("%q: path and host are %q, want %q", target, got, want)
		}
	}
}

func TestRequestHostSyntax(t *testing.T) {
	for host, want := range map[string]bool{
		"h": true, "example.com:80": true, "[::1]:80": true, "192.0.2.1": true, "xn--bcher-kva.example": true, "%C3%A4": true, "a_b~c": true,
		"": false, "a b": false, "a/b": false, "a?b": false, "a#b": false, "a@b": false, "a\\b": false, "\"a\"": false, "<a>": false, "\xc3\xa4": false, "a\tb": false,
	} {
		if got := isHost([]byte(host)); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
}

func TestRequestOffers(t *testing.T) {
	const head = "GET / HTTP/1.1\r\nHost: h\r\n"
	for in, want := range map[string][]string{
		"":                                    nil,
		"Sec-WebSocket-Protocol: a\r\n":       {"a"},
		"SEC-WEBSOCKET-PROTOCOL:a,\tb ,C\r\n": {"a", "b", "C"},
		"Sec-WebSocket-Protocol: b\r\nX: y\r\nSec-WebSocket-Protocol: a\r\n": {"b", "a"},
		"Sec-WebSocket-Protocol: a, A\r\n":                                   {"a", "A"},
	} {
		r := parsedRequest(t, head+in+"\r\n")
		if bad := r.parseOffers(); bad != nil || !slices.Equal(r.Subprotocols(), want) {
			t.Errorf("%q: %q, %v; want %q", in, r.Subprotocols(), bad, want)
		}
	}
	for _, in := range []string{"", ",", "a,", ",a", "a,,b", "a b", "a;b", "a/b", "\"a\"", "a,a", "\xc3\xa4"} {
		r := parsedRequest(t, head+"Sec-WebSocket-Protocol: "+in+"\r\n\r\n")
		if bad := r.parseOffers(); bad != refuseProtocols {
			t.Errorf("%q: %v, want a refusal", in, bad)
		}
	}
}

// Only Admit may choose; OnOpen, which reads the same Request, may not.
func TestRequestChoosesInAdmitOnly(t *testing.T) {
	r := &Request{offers: []string{"a", "b"}, subprotocol: "a"}
	if r.SetSubprotocol("b") || r.SetSubprotocol("") || r.SetHeader("X", "y") || r.Subprotocol() != "a" || r.header != nil {
		t.Errorf("outside Admit: subprotocol %q, header %v", r.Subprotocol(), r.header)
	}
	r.admitting = true
	if !r.SetSubprotocol("b") || !r.SetHeader("x", "y") || r.Subprotocol() != "b" || r.header.Get("X") != "y" {
		t.Errorf("in Admit: subprotocol %q, header %v", r.Subprotocol(), r.header)
	}
	if r.SetSubprotocol("c") || r.SetSubprotocol("B") || r.Subprotocol() != "b" {
		t.Errorf("a subprotocol that nobody has offered: %q", r.Subprotocol())
	}
	if !r.SetSubprotocol("") || r.Subprotocol() != "" {
		t.Errorf("no subprotocol: %q", r.Subprotocol())
	}
}

// A Request serves one handshake after the other and must forget each.
func TestRequestReset(t *testing.T) {
	r := parsedRequest(t, strings.Replace(with("Sec-WebSocket-Protocol: a, b"), "/echo", "http://h/echo?q", 1))
	if bad := r.parseOffers(); bad != nil {
		t.Fatal(bad)
	}
	r.admitting = true
	r.SetSubprotocol("b")
	r.SetHeader("X", "y")
	r.SetUser("u")
	fields, offers := r.head.fields, r.offers
	r.reset()
	if r.conn != nil || r.url != nil || r.path != "" || r.subprotocol != "" || r.header != nil || r.user != nil || r.admitting ||
		len(r.head.fields) != 0 || len(r.offers) != 0 || r.head.method != nil || r.Host() != "" {
		t.Errorf("after reset: %+v", r)
	}
	for i, f := range fields {
		if f.name != nil || f.value != nil {
			t.Errorf("field %d still points at %q: %q", i, f.name, f.value)
		}
	}
	if offers[0] != "" || offers[1] != "" {
		t.Errorf("offers are still %q", offers)
	}
}
