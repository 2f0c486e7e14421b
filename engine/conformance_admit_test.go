package engine

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestConformanceOrigin is RFC 6455 §10.2: a server that expects pages of
// certain origins only checks the Origin header.
func TestConformanceOrigin(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{}, func(srv *Server, echo *Endpoint) {
		for path, origins := range map[string][]string{
			"/any":   {"*"},
			"/list":  {"https://example.org", "http://localhost:3000"},
			"/mixed": {"https://example.org", "*"},
			"/none":  {},
		} {
			ep := *echo
			ep.Origins = origins
			srv.Handle(path, ep)
		}
	})
	for _, row := range []struct {
		name, path, host, origin string
		status                   int
	}{
		{"10.2/same-origin/https", "/echo", "example.com", "https://example.com", 101},
		{"10.2/same-origin/http", "/echo", "example.com", "http://example.com", 101},
		{"10.2/same-origin/port", "/echo", "example.com:8080", "http://example.com:8080", 101},
		{"10.2/same-origin/default-port-http", "/echo", "example.com:80", "http://example.com", 101},
		{"10.2/same-origin/default-port-https", "/echo", "example.com:443", "https://example.com", 101},
		{"10.2/same-origin/default-port-in-origin", "/echo", "example.com", "https://example.com:443", 101},
		{"10.2/same-origin/any-case", "/echo", "EXAMPLE.com", "https://example.COM", 101},
		{"10.2/same-origin/ipv6", "/echo", "[::1]:8080", "http://[::1]:8080", 101},
		{"10.2/same-origin/other-host", "/echo", "example.com", "https://example.org", 403},
		{"10.2/same-origin/subdomain", "/echo", "example.com", "https://www.example.com", 403},
		{"10.2/same-origin/longer-name", "/echo", "example.com", "https://example.com.evil.example", 403},
		{"10.2/same-origin/name-that-ends-alike", "/echo", "example.com", "https://evilexample.com", 403},
		{"10.2/same-origin/other-port", "/echo", "example.com", "https://example.com:8443", 403},
		{"10.2/same-origin/other-schemes-port", "/echo", "example.com:443", "http://example.com", 403},
		{"10.2/same-origin/null", "/echo", "example.com", "null", 403},
		{"10.2/same-origin/file", "/echo", "example.com", "file://", 403},
		{"10.2/same-origin/empty", "/echo", "example.com", "", 403},
		{"10.2/same-origin/no-scheme", "/echo", "example.com", "example.com", 403},
		{"10.2/same-origin/garbage", "/echo", "example.com", "http://%zz", 403},
		{"10.2/same-origin/duplicate", "/echo", "example.com", "https://example.com\r\nOrigin: https://example.com", 400},
		{"10.2/any/other-host", "/any", "example.com", "https://example.org", 101},
		{"10.2/any/null", "/any", "example.com", "null", 101},
		{"10.2/any/with-others", "/mixed", "example.com", "https://example.net", 101},
		{"10.2/list/listed", "/list", "example.com", "https://example.org", 101},
		{"10.2/list/listed-any-case", "/list", "example.com", "HTTPS://Example.ORG", 101},
		{"10.2/list/listed-with-port", "/list", "example.com", "http://localhost:3000", 101},
		{"10.2/list/same-origin-passes-too", "/list", "example.com", "https://example.com", 101},
		{"10.2/list/other-scheme", "/list", "example.com", "http://example.org", 403},
		{"10.2/list/other-port", "/list", "example.com", "http://localhost:3001", 403},
		{"10.2/list/null", "/list", "example.com", "null", 403},
		{"10.2/list/empty-list", "/none", "example.com", "https://example.org", 403},
	} {
		s.row(t, row.name, func(t *testing.T, _ *rawClient) {
			in := strings.NewReplacer("/echo", row.path, "Host: example.com", "Host: "+row.host).Replace(with("Origin: " + row.origin))
			p := s.dial(t)
			p.send([]byte(in))
			p.expectAnswer(handshakeRow{in: in, status: row.status})
		})
	}
	for _, path := range []string{"/echo", "/list", "/none"} {
		s.row(t, "10.2/no-origin-is-no-browser"+path, func(t *testing.T, _ *rawClient) { s.openAt(t, path).goodbye() })
	}
	s.row(t, "10.2/same-origin/absolute-form-outweighs-host", func(t *testing.T, _ *rawClient) {
		in := strings.Replace(with("Origin: https://example.com"), "/echo", "https://example.org/echo", 1)
		p := s.dial(t)
		p.send([]byte(in))
		p.expectAnswer(handshakeRow{in: in, status: 403})
	})
}

// TestConformanceSubprotocol is RFC 6455 §1.9, §4.1 and §4.2.2.
func TestConformanceSubprotocol(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{}, func(srv *Server, echo *Endpoint) {
		plain := *echo
		srv.Handle("/plain", plain)
		echo.Subprotocols = []string{"chat", "superchat"}
	})
	for _, row := range []struct {
		name, path string
		offers     []string // header lines
		status     int
		chosen     string
	}{
		{"4.2.2/subprotocol/not-offered", "/echo", nil, 101, ""},
		{"4.2.2/subprotocol/one", "/echo", []string{"chat"}, 101, "chat"},
		{"4.2.2/subprotocol/the-clients-order", "/echo", []string{"superchat, chat"}, 101, "superchat"},
		{"4.2.2/subprotocol/unknown-ones-are-passed-over", "/echo", []string{"mqtt,chat"}, 101, "chat"},
		{"4.2.2/subprotocol/none-in-common", "/echo", []string{"mqtt, amqp"}, 101, ""},
		{"4.2.2/subprotocol/server-speaks-none", "/plain", []string{"chat"}, 101, ""},
		{"4.2.2/subprotocol/case-counts", "/echo", []string{"CHAT"}, 101, ""},
		{"4.2.2/subprotocol/several-lines", "/echo", []string{"mqtt", "superchat", "chat"}, 101, "superchat"},
		{"4.1/subprotocol/malformed", "/echo", []string{"chat room"}, 400, ""},
		{"4.1/subprotocol/separator", "/echo", []string{"chat;q=1"}, 400, ""},
		{"4.1/subprotocol/empty", "/echo", []string{""}, 400, ""},
		{"4.1/subprotocol/duplicate", "/echo", []string{"chat, chat"}, 400, ""},
		{"4.1/subprotocol/duplicate-over-lines", "/echo", []string{"chat", "superchat, chat"}, 400, ""},
		{"4.1/subprotocol/malformed-where-none-is-spoken", "/plain", []string{"(chat)"}, 400, ""},
	} {
		s.row(t, row.name, func(t *testing.T, _ *rawClient) {
			var lines []string
			for _, o := range row.offers {
				lines = append(lines, "Sec-WebSocket-Protocol: "+o)
			}
			in := strings.Replace(with(lines...), "/echo", row.path, 1)
			p := s.dial(t)
			p.send([]byte(in))
			if row.status != 101 {
				p.expectAnswer(handshakeRow{in: in, status: row.status})
				return
			}
			p.expectSubprotocol(p.granted(in), row.chosen)
			if got := p.conn().Subprotocol(); got != row.chosen {
				t.Errorf("Conn.Subprotocol is %q, want %q", got, row.chosen)
			}
			p.goodbye()
		})
	}
}

func (p *rawClient) expectSubprotocol(a answer, want string) {
	p.tb.Helper()
	var all []string
	if want != "" {
		all = []string{want}
	}
	if got := a.get("Sec-WebSocket-Protocol"); !slices.Equal(got, all) {
		p.tb.Errorf("Sec-WebSocket-Protocol is %q, want %q", got, all)
	}
}

// admitRow is an Admit function, and what the client must see of it.
type admitRow struct {
	name   string
	admit  func(*Request) error
	status int
	fields []string // that the answer must have
	none   []string // names of fields that it must not have
	body   string
	check  func(t *testing.T, p *rawClient, a answer)
}

var errPrivate = errors.New("private: the database is down")

var admitRows = []admitRow{
	{name: "admit/grants", admit: func(*Request) error { return nil }, status: 101},
	{
		name: "admit/sees-the-request",
		admit: func(r *Request) error {
			return &Refusal{Status: 418, Body: strings.Join([]string{
				r.Path(), r.RawQuery(), r.Query().Get("a"), r.Host(), r.Origin(), r.Header("x-test"), r.Cookie("b"),
				fmt.Sprint(r.Headers()["X-Test"]), fmt.Sprint(r.Subprotocols()), r.Subprotocol(), r.Remote().Network(),
			}, "|")}
		},
		status: 418,
		body:   "/admit/sees-the-request|a=1+2&b=%zz|1 2|example.com|http://example.com|one|2|[one two]|[v2 v1]|v1|tcp\n",
	},
	{
		name:   "admit/sees-the-peers-address",
		admit:  func(r *Request) error { return &Refusal{Status: 400, Body: r.Remote().String()} },
		status: 400,
		check: func(t *testing.T, p *rawClient, a answer) {
			if want := p.tcp.LocalAddr().String() + "\n"; a.body != want {
				t.Errorf("Remote is %q, want %q", a.body, want)
			}
		},
	},
	{
		name:   "admit/refuses/any-error",
		admit:  func(*Request) error { return errPrivate },
		status: 403,
		body:   "Forbidden\n", // and not what the error says
	},
	{
		name: "admit/refuses/status-and-header",
		admit: func(*Request) error {
			return &Refusal{Status: 401, Header: http.Header{"Www-Authenticate": {"Basic", "Bearer"}}, Body: "who are you?"}
		},
		status: 401, fields: []string{"WWW-Authenticate: Basic", "WWW-Authenticate: Bearer"}, body: "who are you?\n",
	},
	{
		name: "admit/refuses/wrapped",
		admit: func(*Request) error {
			return fmt.Errorf("%w: %w", errPrivate, &Refusal{Status: 503, Header: http.Header{"Retry-After": {"7"}}})
		},
		status: 503, fields: []string{"Retry-After: 7"}, body: "Service Unavailable\n",
	},
	{
		name: "admit/refuses/redirect",
		admit: func(*Request) error {
			return &Refusal{Status: 307, Header: http.Header{"Location": {"wss://example.org/"}}}
		},
		status: 307, fields: []string{"Location: wss://example.org/"},
	},
	{name: "admit/refuses/lowest-status", admit: func(*Request) error { return &Refusal{Status: 300} }, status: 300},
	{name: "admit/refuses/highest-status", admit: func(*Request) error { return &Refusal{Status: 599, Body: "no"} }, status: 599},
	{name: "admit/refuses/status-200", admit: func(*Request) error { return &Refusal{Status: 200} }, status: 403},
	{name: "admit/refuses/status-101", admit: func(*Request) error { return &Refusal{Status: 101} }, status: 403},
	{name: "admit/refuses/no-status", admit: func(*Request) error { return &Refusal{} }, status: 403},
	{name: "admit/refuses/status-600", admit: func(*Request) error { return &Refusal{Status: 600} }, status: 403},
	{
		name: "admit/refuses/own-content-type",
		admit: func(*Request) error {
			return &Refusal{Status: 400, Header: http.Header{"Content-Type": {"application/json"}}, Body: "{}"}
		},
		status: 400, fields: []string{"Content-Type: application/json"}, body: "{}\n",
	},
	{
		name: "admit/refuses/header-injection",
		admit: func(*Request) error {
			return &Refusal{Status: 400, Header: http.Header{
				"X-A":              {"a\r\nX-Evil: 1", "a\nX-Evil: 2", "a\x00", "fine"},
				"X-B: c\r\nX-Evil": {"3"},
				"X-Evil:":          {"4"},
				"X-Evil ":          {"5"},
				"":                 {"6"},
			}}
		},
		status: 400, fields: []string{"X-A: fine"}, none: []string{"X-Evil", "X-B", ""},
	},
	{
		name: "admit/refuses/fields-that-frame-the-answer",
		admit: func(*Request) error {
			return &Refusal{Status: 400, Header: http.Header{
				"Content-Length":    {"0"},
				"content-length":    {"1"},
				"Content-Length: 2": {"3"},
				"Transfer-Encoding": {"chunked"},
				"Connection":        {"keep-alive"},
			}}
		},
		status: 400, fields: []string{"Connection: close"}, none: []string{"Transfer-Encoding"}, body: "Bad Request\n",
	},
	{
		name:   "admit/panics",
		admit:  func(*Request) error { panic("asked for") },
		status: 500, body: "internal error\n",
	},
	{
		name: "admit/panics/after-it-has-chosen",
		admit: func(r *Request) error {
			r.SetHeader("X-A", "a")
			r.SetSubprotocol("v2")
			r.SetUser(1)
			panic("asked for")
		},
		status: 500, none: []string{"X-A", "Sec-WebSocket-Protocol"},
	},
	{
		name: "admit/sets/headers",
		admit: func(r *Request) error {
			return want(r.SetHeader("Set-Cookie", "a=1"), r.SetHeader("set-cookie", "b=2"), r.SetHeader("X-Empty", ""))
		},
		status: 101, fields: []string{"Set-Cookie: a=1", "Set-Cookie: b=2", "X-Empty: "},
	},
	{
		name: "admit/sets/header-injection",
		admit: func(r *Request) error {
			return want(
				!r.SetHeader("X-A", "a\r\nX-Evil: 1"), !r.SetHeader("X-A", "a\nX-Evil: 2"), !r.SetHeader("X-A", "a\x00"),
				!r.SetHeader("X-A\r\nX-Evil", "3"), !r.SetHeader("X-Evil:", "4"), !r.SetHeader("X-Evil: 5", "5"),
				!r.SetHeader("", "6"), !r.SetHeader("X Evil", "7"), !r.SetHeader(" X-Evil", "8"),
			)
		},
		status: 101, none: []string{"X-A", "X-Evil"},
	},
	{
		name: "admit/sets/fields-of-the-handshake",
		admit: func(r *Request) error {
			return want(
				!r.SetHeader("Sec-WebSocket-Accept", "x"), !r.SetHeader("sec-websocket-protocol", "x"),
				!r.SetHeader("Sec-WebSocket-Extensions", "x"), !r.SetHeader("Upgrade", "x"), !r.SetHeader("CONNECTION", "x"),
				!r.SetHeader("Content-Length", "5"), !r.SetHeader("Transfer-Encoding", "chunked"),
				!r.SetHeader("Sec-WebSocket-Accept: x", "y"),
			)
		},
		status: 101, // granted looks at all of these
	},
	{
		name: "admit/sets/subprotocol",
		admit: func(r *Request) error {
			return want(r.Subprotocol() == "v1", r.SetSubprotocol("v2"), r.Subprotocol() == "v2", !r.SetSubprotocol("v3"))
		},
		status: 101, fields: []string{"Sec-WebSocket-Protocol: v2"},
		check: func(t *testing.T, p *rawClient, _ answer) {
			if got := p.conn().Subprotocol(); got != "v2" {
				t.Errorf("Conn.Subprotocol is %q", got)
			}
		},
	},
	{
		name:   "admit/sets/no-subprotocol",
		admit:  func(r *Request) error { return want(r.SetSubprotocol("")) },
		status: 101, none: []string{"Sec-WebSocket-Protocol"},
	},
	{
		name: "admit/sets/user",
		admit: func(r *Request) error {
			r.SetUser("somebody")
			return nil
		},
		status: 101,
		check: func(t *testing.T, p *rawClient, _ answer) {
			if p.conn(); p.session.user != "somebody" {
				t.Errorf("Conn.User is %v in OnOpen", p.session.user)
			}
		},
	},
}

// want is an error unless everything holds.
func want(all ...bool) error {
	if i := slices.Index(all, false); i >= 0 {
		return &Refusal{Status: 499, Body: fmt.Sprintf("expectation %d does not hold", i)}
	}
	return nil
}

func TestConformanceAdmit(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{}, func(srv *Server, echo *Endpoint) {
		for _, row := range admitRows {
			ep := *echo
			ep.Admit, ep.Subprotocols = row.admit, []string{"v1"}
			srv.Handle("/"+row.name, ep)
		}
	})
	for _, row := range admitRows {
		s.row(t, row.name, func(t *testing.T, _ *rawClient) {
			in := strings.Replace(with("Origin: http://example.com", "X-Test: one", "X-Test: two", "Cookie: a=1; b=2",
				"Sec-WebSocket-Protocol: v2, v1"), "/echo", "/%61"+row.name[1:]+"?a=1+2&b=%zz", 1)
			p := s.dial(t)
			p.send([]byte(in))
			var a answer
			if row.status == 101 {
				a = p.granted(in)
			} else {
				a = p.refused("GET")
			}
			row.judge(t, a)
			if row.check != nil {
				row.check(t, p, a)
			}
			if row.status == 101 {
				p.goodbye()
			}
		})
	}
}

func (row admitRow) judge(t *testing.T, a answer) {
	t.Helper()
	if a.status != row.status || row.body != "" && a.body != row.body {
		t.Errorf("status %d, body %q; want %d, %q", a.status, a.body, row.status, row.body)
	}
	for _, f := range row.fields {
		if name, value, _ := strings.Cut(f, ": "); !slices.Contains(a.get(name), value) {
			t.Errorf("the answer has no %q: %q", f, a.fields)
		}
	}
	for _, name := range row.none {
		if values := a.get(name); values != nil {
			t.Errorf("the answer has %s: %q", name, values)
		}
	}
}
