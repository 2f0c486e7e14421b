package engine

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"
)

// handshakeRow is a request, the status that must answer it, and header fields
// that the answer must have.
type handshakeRow struct {
	name   string
	in     string
	status int
	fields []string
}

const (
	lineHost       = "Host: example.com\r\n"
	lineUpgrade    = "Upgrade: websocket\r\n"
	lineConnection = "Connection: Upgrade\r\n"
	lineKey        = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	lineVersion    = "Sec-WebSocket-Version: 13\r\n"
)

var (
	acceptExample = []string{"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}
	speaks13      = []string{"Sec-WebSocket-Version: 13", "Upgrade: websocket"}
)

var handshakeRows = []handshakeRow{
	// RFC 6455 §4.2.1: what a request must have
	{"4.2.1/minimal", minimal, 101, acceptExample},
	{"4.2.1/browser/chrome", chrome, 101, []string{"Sec-WebSocket-Accept: hsBlbuDTkk24srzEOTBUlZAlC2g="}},
	{"4.2.1/browser/firefox", firefox, 101, []string{"Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk="}},
	{"4.2.1/browser/safari", safari, 101, acceptExample},
	{"4.2.1/request-line/query", but("/echo", "/echo?a=1&b=%20"), 101, nil},
	{"4.2.1/request-line/absolute-form", but("/echo", "http://example.com/echo"), 101, nil},
	{"4.2.1/request-line/absolute-form-https", but("/echo", "https://example.com/echo?x"), 101, nil},
	{"4.2.1/request-line/absolute-form-no-path", but("/echo", "http://example.com"), 404, nil},
	{"4.2.1/request-line/absolute-form-no-host", but("/echo", "http:///echo"), 400, nil},
	{"4.2.1/request-line/absolute-form-opaque", but("/echo", "http:echo"), 400, nil},
	{"4.2.1/request-line/scheme-without-authority", but("/echo", "mailto:/echo"), 400, nil},
	{"4.2.1/request-line/encoded-path", but("/echo", "/%65ch%6F"), 101, nil},
	{"4.2.1/request-line/bad-percent", but("/echo", "/ech%zz"), 400, nil},
	{"4.2.1/request-line/fragment", but("/echo", "/echo#top"), 400, nil},
	{"4.2.1/request-line/asterisk", but("/echo", "*"), 400, nil},
	{"4.2.1/request-line/authority-form", but("/echo", "example.com:80"), 400, nil},
	{"4.2.1/request-line/relative-path", but("/echo", "echo"), 400, nil},
	{"4.2.1/request-line/no-target", but(" /echo", ""), 400, nil},
	{"4.2.1/request-line/empty-target", but("/echo", ""), 400, nil},
	{"4.2.1/request-line/two-spaces", but("GET ", "GET  "), 400, nil},
	{"4.2.1/request-line/tab", but("GET ", "GET\t"), 400, nil},
	{"4.2.1/request-line/trailing-space", but("HTTP/1.1", "HTTP/1.1 "), 400, nil},
	{"4.2.1/request-line/not-ascii", but("/echo", "/ech\xc3\xb6"), 400, nil},
	{"4.2.1/request-line/method-no-token", but("GET", "G(T"), 400, nil},
	{"4.2.1/version/1.0", but("HTTP/1.1", "HTTP/1.0"), 505, nil},
	{"4.2.1/version/2.0", but("HTTP/1.1", "HTTP/2.0"), 505, nil},
	{"4.2.1/version/preface-of-http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, nil},
	{"4.2.1/version/lower-case", but("HTTP/1.1", "http/1.1"), 400, nil},
	{"4.2.1/version/two-digits", but("HTTP/1.1", "HTTP/1.10"), 400, nil},
	{"4.2.1/version/none", but(" HTTP/1.1", ""), 400, nil},
	{"4.2.1/method/post", but("GET", "POST"), 405, []string{"Allow: GET"}},
	{"4.2.1/method/head", but("GET", "HEAD"), 405, []string{"Allow: GET"}},
	{"4.2.1/method/lower-case", but("GET", "get"), 405, []string{"Allow: GET"}},
	{"4.2.1/method/post-without-upgrade", "POST /echo HTTP/1.1\r\nHost: h\r\n\r\n", 405, []string{"Allow: GET"}},
	{"4.2.1/path/unknown", but("/echo", "/nowhere"), 404, nil},
	{"4.2.1/path/case-counts", but("/echo", "/Echo"), 404, nil},
	{"4.2.1/path/trailing-slash", but("/echo", "/echo/"), 404, nil},
	{"4.2.1/path/two-slashes", but("/echo", "//echo"), 404, nil},
	{"4.2.1/path/dots-are-not-resolved", but("/echo", "/x/../echo"), 404, nil},

	{"4.2.1/host/missing", but(lineHost, ""), 400, nil},
	{"4.2.1/host/duplicate", but(lineHost, lineHost+lineHost), 400, nil},
	{"4.2.1/host/empty", but(lineHost, "Host:\r\n"), 400, nil},
	{"4.2.1/host/any-case", but("Host:", "hOST:"), 101, nil},
	{"4.2.1/host/port", but("example.com", "example.com:8080"), 101, nil},
	{"4.2.1/host/ipv6", but("example.com", "[2001:db8::1]:8080"), 101, nil},
	{"4.2.1/host/space-inside", but("example.com", "exa mple.com"), 400, nil},
	{"4.2.1/host/list", but("example.com", "a.example,b.example:x/"), 400, nil},
	{"4.2.1/host/user", but("example.com", "user@example.com"), 400, nil},

	{"4.2.1/upgrade/missing", but(lineUpgrade, ""), 426, speaks13},
	{"4.2.1/upgrade/plain-get", "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n", 426, speaks13},
	{"4.2.1/upgrade/other-protocol", but("Upgrade: websocket", "Upgrade: h2c"), 426, speaks13},
	{"4.2.1/upgrade/token-begins-alike", but("Upgrade: websocket", "Upgrade: websockets, web socket"), 426, speaks13},
	{"4.2.1/upgrade/any-case", but("Upgrade: websocket", "uPGRADE: WebSocket"), 101, nil},
	{"4.2.1/upgrade/token-list-any-case", but("Upgrade: websocket", "Upgrade: h2c\t ,\tWEBsocket,x"), 101, nil},
	{"4.2.1/upgrade/several-lines", but(lineUpgrade, "Upgrade: h2c\r\nUpgrade: websocket\r\n"), 101, nil},
	{"4.2.1/upgrade/no-space-after-colon", but("Upgrade: websocket", "Upgrade:websocket"), 101, nil},
	{"4.2.1/upgrade/white-space-around", but("Upgrade: websocket", "Upgrade: \t websocket \t "), 101, nil},
	{"4.2.1/connection/missing", but(lineConnection, ""), 400, nil},
	{"4.2.1/connection/other-token", but(lineConnection, "Connection: keep-alive\r\n"), 400, nil},
	{"4.2.1/connection/any-case", but(lineConnection, "CONNECTION: upgrADE\r\n"), 101, nil},
	{"4.2.1/connection/token-list-any-case", but(lineConnection, "Connection: keep-alive,UPGRADE\r\n"), 101, nil},
	{"4.2.1/connection/empty-elements", but(lineConnection, "Connection: , ,Upgrade,\r\n"), 101, nil},
	{"4.2.1/connection/several-lines", but(lineConnection, "Connection: keep-alive\r\nConnection: Upgrade\r\n"), 101, nil},

	{"4.2.1/key/missing", but(lineKey, ""), 400, nil},
	{"4.2.1/key/duplicate", but(lineKey, lineKey+lineKey), 400, nil},
	{"4.2.1/key/empty", but(lineKey, "Sec-WebSocket-Key:\r\n"), 400, nil},
	{"4.2.1/key/short", but("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"), 400, nil},
	{"4.2.1/key/17-bytes", but("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZWU="), 400, nil},
	{"4.2.1/key/18-bytes", but("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZWVl"), 400, nil},
	{"4.2.1/key/no-padding", but("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ"), 400, nil},
	{"4.2.1/key/no-base64", but("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25!ZQ=="), 400, nil},
	{"4.2.1/key/url-alphabet", but("dGhlIHNhbXBsZSBub25jZQ==", "_v8io_9s-lYFgZWcXczP8Q=="), 400, nil},
	{"4.2.1/key/not-canonical", but("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR=="), 400, nil},
	{"4.2.1/key/name-any-case", but("Sec-WebSocket-Key", "sec-websocket-KEY"), 101, acceptExample},

	{"4.4/version/missing", but(lineVersion, ""), 426, speaks13},
	{"4.4/version/8", but(": 13", ": 8"), 426, speaks13},
	{"4.4/version/12", but(": 13", ": 12"), 426, speaks13},
	{"4.4/version/14", but(": 13", ": 14"), 426, speaks13},
	{"4.4/version/list", but(": 13", ": 13, 8"), 426, speaks13},
	{"4.4/version/leading-zero", but(": 13", ": 013"), 426, speaks13},
	{"4.4/version/empty", but(": 13", ":"), 426, speaks13},
	{"4.4/version/duplicate", but(lineVersion, lineVersion+lineVersion), 426, speaks13},

	{"4.2.1/extensions/offered", with("Sec-WebSocket-Extensions: permessage-deflate, x-unknown; a=1"), 101, nil},
	{"4.2.1/unknown-fields-are-ignored", with("X-Forwarded-For: 192.0.2.1", "Sec-WebSocket-Accept: nonsense"), 101, nil},

	// RFC 9112: what every request must be
	{"9112/2.2/bare-lf", strings.ReplaceAll(minimal, "\r\n", "\n"), 400, nil},
	{"9112/2.2/bare-lf-once", but(lineUpgrade, "Upgrade: websocket\n"), 400, nil},
	{"9112/2.2/bare-lf-early", "GET /echo HTTP/1.1\n", 400, nil}, // and nothing more: it can't become right
	{"9112/2.2/bare-cr", but(lineUpgrade, "Upgrade: websocket\rX: y\r\n"), 400, nil},
	{"9112/2.2/cr-cr-lf", but(lineUpgrade, "Upgrade: websocket\r\r\n"), 400, nil},
	{"9112/2.2/garbage", "hello, are you there?\r\n\r\n", 400, nil},
	{"9112/2.2/garbage-one-line", "x\r\n\r\n", 400, nil},
	{"9112/2.2/tls", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, nil},
	{"9112/2.2/nul", "\x00", 400, nil},
	{"9112/5.1/space-before-colon", but("Upgrade:", "Upgrade :"), 400, nil},
	{"9112/5.1/tab-before-colon", but("Upgrade:", "Upgrade\t:"), 400, nil},
	{"9112/5.1/no-colon", with("Nonsense"), 400, nil},
	{"9112/5.1/no-name", with(": x"), 400, nil},
	{"9112/5.1/name-no-token", with("X(y): z"), 400, nil},
	{"9112/5.2/folding-space", but("Upgrade: websocket", "Upgrade: h2c,\r\n websocket"), 400, nil},
	{"9112/5.2/folding-tab", but("Upgrade: websocket", "Upgrade: h2c,\r\n\twebsocket"), 400, nil},
	{"9112/5.2/folding-first-line", but(lineHost, " "+lineHost), 400, nil},
	{"9112/5.5/control-nul", with("X: a\x00b"), 400, nil},
	{"9112/5.5/control-bel", with("X: a\x07b"), 400, nil},
	{"9112/5.5/control-del", with("X: a\x7fb"), 400, nil},
	{"9112/5.5/tab-inside", with("X: a\tb"), 101, nil},
	{"9112/5.5/obs-text", with("X: \xe4\xf6\xfc"), 101, nil},
	{"9112/5.5/empty-value", with("X:"), 101, nil},
	{"9112/6/content-length", with("Content-Length: 5") + "hello", 400, nil},
	{"9112/6/content-length-zero", with("Content-Length: 0"), 101, nil},
	{"9112/6/content-length-twice", with("Content-Length: 0", "Content-Length: 0"), 400, nil},
	{"9112/6/content-length-signed", with("Content-Length: +0"), 400, nil},
	{"9112/6/transfer-encoding", with("Transfer-Encoding: chunked") + "0\r\n\r\n", 400, nil},
	{"9112/6/transfer-encoding-empty", with("Transfer-Encoding:"), 400, nil},

	// Limits (RFC 6455 §10.4, RFC 6585 §5)
	{"6585/5/fields-128", with(slices.Repeat([]string{"X: y"}, 128-5)...), 101, nil},
	{"6585/5/fields-129", with(slices.Repeat([]string{"X: y"}, 129-5)...), 431, nil},
	{"6585/5/bytes-at-the-limit", padded(16 << 10), 101, nil},
	{"6585/5/bytes-over-the-limit", padded(16<<10 + 1), 431, nil},
	{"6585/5/bytes-far-over-the-limit", padded(1 << 20), 431, nil},
	{"6585/5/endless-request-line", "GET /" + strings.Repeat("a", 16<<10), 431, nil},
	{"6585/5/endless-lines", "GET / HTTP/1.1\r\n" + strings.Repeat("a:b\r\n", 4<<10), 431, nil},
}

// padded is the minimal request, n bytes long.
func padded(n int) string {
	empty := with("X: ")
	return with("X: " + strings.Repeat("x", n-len(empty)))
}

func TestConformanceHandshake(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{}, nil)
	for _, row := range handshakeRows {
		s.row(t, row.name, func(t *testing.T, _ *rawClient) {
			p := s.dial(t)
			p.send([]byte(row.in))
			p.expectAnswer(row)
		})
	}
	for _, row := range handshakeRows {
		if len(row.in) < 1<<10 {
			s.row(t, "byte-by-byte/"+row.name, func(t *testing.T, witness *rawClient) {
				p := s.dial(t)
				for i := range len(row.in) {
					p.send([]byte(row.in[i : i+1]))
					if i%16 == 0 {
						witness.barrier()
					}
				}
				p.expectAnswer(row)
			})
		}
	}
}

// expectAnswer wants the answer of a row, and a connection that works behind a
// handshake that is granted.
func (p *rawClient) expectAnswer(row handshakeRow) {
	p.tb.Helper()
	var a answer
	if row.status == 101 {
		a = p.granted(row.in)
	} else {
		method, _, _ := strings.Cut(row.in, " ")
		a = p.refused(method)
	}
	if a.status != row.status {
		p.tb.Errorf("answered with %q, want %d", a.line, row.status)
	}
	for _, f := range row.fields {
		if name, value, _ := strings.Cut(f, ": "); !slices.Contains(a.get(name), value) {
			p.tb.Errorf("the answer has no %q: %q", f, a.fields)
		}
	}
	if row.status == 101 {
		p.send(sent(text("works")))
		p.expect(text("works"))
		p.goodbye()
	}
}

// granted reads the answer to a handshake that must be granted and checks what
// each of them owes (RFC 6455 §4.2.2).
func (p *rawClient) granted(request string) answer {
	p.tb.Helper()
	a := p.answer()
	var key string
	for line := range strings.SplitSeq(request, "\r\n") {
		if name, v, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Sec-WebSocket-Key") {
			key = strings.TrimSpace(v)
		}
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	accept := base64.StdEncoding.EncodeToString(sum[:])
	switch {
	case a.line != "HTTP/1.1 101 Switching Protocols":
		p.tb.Fatalf("status line %q, fields %q; want 101", a.line, a.fields)
	case !slices.Equal(a.get("Upgrade"), []string{"websocket"}):
		p.tb.Errorf("Upgrade is %q", a.get("Upgrade"))
	case !slices.Equal(a.get("Connection"), []string{"Upgrade"}):
		p.tb.Errorf("Connection is %q", a.get("Connection"))
	case !slices.Equal(a.get("Sec-WebSocket-Accept"), []string{accept}):
		p.tb.Errorf("Sec-WebSocket-Accept is %q, want %q", a.get("Sec-WebSocket-Accept"), accept)
	case a.get("Sec-WebSocket-Extensions") != nil:
		p.tb.Errorf("Sec-WebSocket-Extensions is %q, and none is spoken", a.get("Sec-WebSocket-Extensions"))
	case a.get("Content-Length") != nil || a.get("Transfer-Encoding") != nil:
		p.tb.Errorf("a 101 with a body (RFC 9110 §8.6): %q", a.fields)
	}
	return a
}

func TestConformanceHandshakeSplit(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{}, nil)
	frames := sent(text("one"), ping("two"), bin("three"))
	in := append([]byte(minimal), frames...)
	expect := func(p *rawClient) {
		p.granted(minimal)
		p.expect(text("one"), pong("two"), bin("three"))
		p.goodbye()
	}
	s.row(t, "4.2.1/split/frames-in-the-same-segment", func(t *testing.T, _ *rawClient) {
		p := s.dial(t)
		p.send(in)
		expect(p)
	})
	s.row(t, "4.2.1/split/byte-by-byte-with-frames", func(t *testing.T, witness *rawClient) {
		p := s.dial(t)
		for i := range in {
			p.send(in[i : i+1])
			witness.barrier()
		}
		expect(p)
	})
	s.row(t, "4.2.1/split/at-each-point", func(t *testing.T, witness *rawClient) {
		for i := range in {
			p := s.dial(t)
			p.send(in[:i])
			witness.barrier()
			p.send(in[i:])
			expect(p)
		}
	})
	s.row(t, "4.2.1/split/at-each-point-refused", func(t *testing.T, witness *rawClient) {
		bad := []byte(but(": 13", ": 12"))
		for i := range bad {
			p := s.dial(t)
			p.send(bad[:i])
			witness.barrier()
			p.send(bad[i:])
			if a := p.refused("GET"); a.status != 426 {
				t.Fatalf("split at %d: status %d", i, a.status)
			}
		}
	})
}

// A refusal reaches a client that is still sending.
func TestConformanceRefusalWhileSending(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{}, nil)
	for name, in := range map[string]string{
		"4.2.2/refused-while-sending/unknown-path": but("/echo", "/nowhere"),
		"4.2.2/refused-while-sending/no-http":      "\x16\x03\x01",
		"4.2.2/refused-while-sending/too-large":    "GET /" + strings.Repeat("a", 16<<10),
	} {
		s.row(t, name, func(t *testing.T, _ *rawClient) {
			p := s.dial(t)
			p.send([]byte(in))
			p.send(make([]byte, 8<<20)) // more than the kernel's buffers hold
			p.refused("GET")
		})
	}
}

func TestConformanceHandshakeTimeout(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{HandshakeTimeout: time.Millisecond}, nil)
	for name, in := range map[string]string{
		"9110/15.5.9/silent":       "",
		"9110/15.5.9/request-line": "GET /echo HTTP/1.1\r\n",
		"9110/15.5.9/all-but-one":  minimal[:len(minimal)-1],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := s.dial(t)
			p.send([]byte(in))
			if a := p.refused("GET"); a.status != 408 {
				t.Errorf("status %d, want 408", a.status)
			}
		})
	}
}

func TestConformanceMaxConns(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{MaxConns: 1}, nil)
	witness := s.open(t)
	t.Run("4.2.2/too-many-connections", func(t *testing.T) {
		p := s.dial(t)
		p.send([]byte(minimal))
		a := p.refused("GET")
		if a.status != 503 || a.get("Retry-After") == nil {
			t.Errorf("answered with %q, %q; want 503 with Retry-After", a.line, a.fields)
		}
	})
	witness.send(sent(text("still here")))
	witness.expect(text("still here"))
	witness.goodbye()
}

func TestConformanceShutdown(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{}, nil)
	late := s.open(t) // keeps the shutdown waiting
	half := s.dial(t)
	half.send([]byte(minimal[:30]))
	late.barrier()
	done := make(chan error, 1)
	go func() { done <- s.srv.Shutdown(context.Background()) }()
	t.Run("7.1.1/shutdown/open-connection", func(t *testing.T) {
		late.expect(closing(1001, "server is shutting down"))
	})
	for name, p := range map[string]*rawClient{
		"4.2.2/shutdown/handshake-in-progress": half,
		"4.2.2/shutdown/new-connection":        s.dial(t),
	} {
		t.Run(name, func(t *testing.T) {
			if a := p.refused("GET"); a.status != 503 || a.get("Retry-After") == nil {
				t.Errorf("answered with %q, %q; want 503 with Retry-After", a.line, a.fields)
			}
		})
	}
	late.send(sent(closing(1001, "")))
	late.expectEnd()
	_ = late.tcp.Close()
	late.expectInfo(&ending{info: CloseInfo{
		Code: 1001, Reason: "server is shutting down", Initiator: Local, Clean: true, Err: ErrShutdown,
	}})
	if err := <-done; err != nil {
		t.Error("Shutdown:", err)
	}
}
