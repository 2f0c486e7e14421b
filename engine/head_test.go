package engine

import (
	"bufio"
	"bytes"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"
)

func TestEndOfHead(t *testing.T) {
	for _, row := range []struct {
		name, in string
		end      int
		bad      *refusal
	}{
		{"nothing", "", 0, nil},
		{"9112/2.1/line-in-progress", "GET / HT", 0, nil},
		{"9112/2.1/line", "GET / HTTP/1.1\r\n", 0, nil},
		{"9112/2.1/cr-of-the-empty-line", "GET / HTTP/1.1\r\n\r", 0, nil},
		{"9112/2.1/no-fields", "GET / HTTP/1.1\r\n\r\n", 18, nil},
		{"9112/2.1/fields", "GET / HTTP/1.1\r\nA: b\r\n\r\n", 24, nil},
		{"9112/2.1/bytes-behind", "GET / HTTP/1.1\r\n\r\n\r\n\n\x00", 18, nil},
		{"9112/2.2/bare-lf", "GET / HTTP/1.1\n", 0, refuseBareLF},
		{"9112/2.2/bare-lf-in-place-of-the-empty-line", "GET / HTTP/1.1\r\n\n", 0, refuseBareLF},
		{"9112/2.2/empty-line-first", "\r\nGET / HTTP/1.1\r\n\r\n", 0, refuseNotHTTP},
		{"9112/2.2/lf-first", "\n", 0, refuseNotHTTP},
		{"9112/3/space-first", " GET", 0, refuseNotHTTP},
		{"tls", "\x16\x03\x01", 0, refuseNotHTTP},
	} {
		t.Run(row.name, func(t *testing.T) {
			if end, _, bad := endOfHead([]byte(row.in), 0); end != row.end || bad != row.bad {
				t.Errorf("end %d, refusal %v; want %d, %v", end, bad, row.end, row.bad)
			}
		})
	}
}

func TestParseHead(t *testing.T) {
	var h requestHead
	bad := h.parse([]byte("PUT /a?b HTTP/1.0\r\nA:b\r\nc-d: \t e, f \t\r\nA:\r\n\r\n"))
	if bad != nil {
		t.Fatal(bad)
	}
	if string(h.method) != "PUT" || string(h.target) != "/a?b" || string(h.version) != "HTTP/1.0" {
		t.Errorf("request line: %q %q %q", h.method, h.target, h.version)
	}
	want := []string{"A=b", "c-d=e, f", "A="}
	var got []string
	for _, f := range h.fields {
		got = append(got, string(f.name)+"="+string(f.value))
	}
	if !slices.Equal(got, want) {
		t.Errorf("fields are %q, want %q", got, want)
	}
	if v, n := h.get("a"); n != 2 || string(v) != "" {
		t.Errorf("get gives %q, %d; want the last value of two", v, n)
	}
	if v, n := h.get("x"); n != 0 || v != nil {
		t.Errorf("get of a field that is not there gives %q, %d", v, n)
	}
}

func TestParseHeadRefuses(t *testing.T) {
	const line = "GET / HTTP/1.1\r\n"
	for in, want := range map[string]*refusal{
		"GET / HTTP/1.1":                          refuseRequestLine, // with the CRLF below it has no end
		"GET /\r\n":                               refuseRequestLine,
		"GET\r\n":                                 refuseRequestLine,
		"GET  HTTP/1.1\r\n":                       refuseRequestLine,
		"GET / / HTTP/1.1\r\n":                    refuseRequestLine,
		"G:T / HTTP/1.1\r\n":                      refuseRequestLine,
		"GET /\x7f HTTP/1.1\r\n":                  refuseRequestLine,
		"GET / HTTP/1,1\r\n":                      refuseRequestLine,
		"GET / HTTP/11.1\r\n":                     refuseRequestLine,
		"GET / HTTP/x.1\r\n":                      refuseRequestLine,
		line + " A: b\r\n":                        refuseFolding,
		line + "A: b\r\n\tc\r\n":                  refuseFolding,
		line + "A\r\n":                            refuseField,
		line + ": b\r\n":                          refuseField,
		line + "A : b\r\n":                        refuseField,
		line + "\xc3\xa4: b\r\n":                  refuseField,
		line + "A: b\rc\r\n":                      refuseField,
		line + "A: \x00\r\n":                      refuseField,
		line + strings.Repeat("A: b\r\n", 129):    refuseTooManyFields,
		line + strings.Repeat("A: b\r\n", 128):    nil,
		line + "A: \x80\xff\tb\r\n":               nil,
		line + "!#$%&'*+-.^_`|~09azAZ: x\r\n":     nil,
		"!#$%&'*+-.^_`|~09azAZ * HTTP/9.9\r\n":    nil,
		"GET http://u@[::1]:1/?#{|} HTTP/1.1\r\n": nil, // the target is judged later, by parseTarget
	} {
		var h requestHead
		if !strings.HasSuffix(in, "\r\n") {
			in += " \r\n"
		}
		if bad := h.parse([]byte(in + "\r\n")); bad != want {
			t.Errorf("%.60q: %v, want %v", in, bad, want)
		}
	}
}

func TestHasToken(t *testing.T) {
	for in, want := range map[string]bool{
		"A: upgrade\r\n":                 true,
		"a: UPGRADE\r\n":                 true,
		"A: x,upgrade\r\n":               true,
		"A: x ,\t Upgrade \t, y\r\n":     true,
		"A: ,,upgrade,,\r\n":             true,
		"A: x\r\nB: y\r\nA: upgrade\r\n": true,
		"":                               false,
		"A:\r\n":                         false,
		"B: upgrade\r\n":                 false,
		"A: upgrades\r\n":                false,
		"A: up, grade\r\n":               false,
		"A: x upgrade\r\n":               false,
		"A: \"upgrade\"\r\n":             false,
		"A: upgrade;q=1\r\n":             false,
		"A: \x55\x10grade\r\n":           false,
		"A: \x15pgrade\r\n":              false,
		"A: upgrade\u00a0\r\n":           false, // white space and case are ASCII's
	} {
		var h requestHead
		if bad := h.parse([]byte("GET / HTTP/1.1\r\n" + in + "\r\n")); bad != nil && want {
			t.Fatalf("%q: %v", in, bad)
		} else if got := bad == nil && h.hasToken("a", "upgrade"); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
		if got := hasTokenIn(h.values("a"), "upgrade"); got != want {
			t.Errorf("%q as net/http has it: %v, want %v", in, got, want)
		}
	}
	for _, folds := range []string{"web\u017focket", "websoc\u212aet"} { // in Unicode
		if hasTokenIn([]string{folds}, "websocket") || equalFold([]byte(folds), "websocket") {
			t.Errorf("%q is taken for websocket", folds)
		}
	}
}

// values gives the fields of a name as net/http does.
func (h *requestHead) values(name string) (values []string) {
	for _, f := range h.fields {
		if equalFold(f.name, name) {
			values = append(values, string(f.value))
		}
	}
	return values
}

// fieldsThatMatter are those by which a handshake is judged.
var fieldsThatMatter = []string{"Upgrade", "Connection", "Origin", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions"}

// FuzzHead checks that where reads end changes nothing, and that a request which
// we accept is the same request to net/http: a proxy or a handler that reads it
// with net/http must not see another host, target or key than we do.
//
// Where the two rightly differ, the oracle is not asked:
//   - net/http accepts more: bare LF, folding, control characters, other
//     versions, no Host, a malformed one, or two.
//   - net/http judges Content-Length and Transfer-Encoding while it parses. Here
//     checkWebSocket does, so only requests without them are compared.
//   - net/http reads a CONNECT target as host:port. Here it is a target like
//     any other, until checkWebSocket refuses the method.
func FuzzHead(f *testing.F) {
	for _, in := range []string{minimal, chrome, firefox, safari, with("A: b") + "behind", but("/echo", "http://user@h:1/%2f?q=#"), "GET", "\x16\x03\x01"} {
		f.Add([]byte(in), uint16(7), uint16(40))
	}
	for _, row := range handshakeRows {
		if len(row.in) < 1<<10 {
			f.Add([]byte(row.in), uint16(len(row.in)/2), uint16(1))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, cut, step uint16) {
		end, _, bad := endOfHead(in, 0)
		splitEnd, splitBad := splitHead(in, int(cut), int(step))
		if end != splitEnd || bad != splitBad {
			t.Fatalf("whole: %d, %v; split at %d and every %d: %d, %v", end, bad, cut, step, splitEnd, splitBad)
		}
		if end == 0 {
			return
		}
		if !bytes.HasSuffix(in[:end], []byte("\r\n\r\n")) || bytes.Contains(in[:end-1], []byte("\r\n\r\n")) {
			t.Fatalf("the head ends at %d of %q", end, in)
		}
		var r Request
		if r.head.parse(in[:end]) != nil {
			return
		}
		// What the parser accepts goes through all checks, whatever they say.
		_, checked := r.checkHTTP(nil)
		_, _ = r.checkWebSocket()
		_ = r.parseOffers()
		_ = r.Headers()
		_ = r.Cookie("a")
		if checked == nil {
			compareHead(t, &r, in[:end])
		}
	})
}

// splitHead is endOfHead for bytes that come in pieces: up to cut, then step by
// step.
func splitHead(in []byte, cut, step int) (end int, bad *refusal) {
	from := 0
	for n := min(cut, len(in)); ; n = min(n+max(1, step), len(in)) {
		end, from, bad = endOfHead(in[:n], from)
		if end > 0 || bad != nil || n == len(in) {
			return end, bad
		}
	}
}

// compareHead asks net/http what it sees.
func compareHead(t *testing.T, r *Request, head []byte) {
	_, lengths := r.head.get("content-length")
	_, encodings := r.head.get("transfer-encoding")
	if lengths+encodings > 0 || string(r.head.method) == "CONNECT" {
		return
	}
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		t.Fatalf("net/http refuses what we accept: %v\n%q", err, head)
	}
	if req.Method != string(r.head.method) || req.RequestURI != string(r.head.target) || req.Proto != "HTTP/1.1" {
		t.Fatalf("request line: net/http has %q %q %q, we have %q %q", req.Method, req.RequestURI, req.Proto, r.head.method, r.head.target)
	}
	if path := r.Path(); path != req.URL.Path && (path != "/" || req.URL.Path != "") {
		t.Fatalf("path: net/http has %q, we have %q", req.URL.Path, path)
	}
	if req.URL.RawQuery != r.RawQuery() {
		t.Fatalf("query: net/http has %q, we have %q", req.URL.RawQuery, r.RawQuery())
	}
	if req.Host != r.Host() {
		t.Fatalf("host: net/http has %q, we have %q", req.Host, r.Host())
	}
	for _, name := range fieldsThatMatter {
		if got, want := r.Headers()[name], req.Header[name]; !slices.Equal(got, want) {
			t.Fatalf("%s: net/http has %q, we have %q", name, want, got)
		}
		if got, want := r.Header(name), req.Header.Get(name); got != want {
			t.Fatalf("%s: net/http has %q first, we have %q", name, want, got)
		}
		value, n := r.head.get(strings.ToLower(name))
		if all := req.Header[textproto.CanonicalMIMEHeaderKey(name)]; n != len(all) || n > 0 && string(value) != all[n-1] {
			t.Fatalf("%s: net/http has %q, get gives %q, %d", name, all, value, n)
		}
	}
}
