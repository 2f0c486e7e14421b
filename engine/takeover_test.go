package engine

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/headrace/headrace/codec"
)

// serveTaken is a net/http server whose requests go to a Server by Upgrade.
func serveTaken(t *testing.T, srv *Server, path string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rooms/{room}", func(w http.ResponseWriter, r *http.Request) {
		if err := srv.Upgrade(w, r, path, r.PathValue("room")); err != nil {
			t.Log(err)
		}
	})
	other := httptest.NewServer(mux)
	t.Cleanup(other.Close)
	return other.Listener.Addr().String()
}

func TestUpgradeFromAnotherServer(t *testing.T) {
	seen := make(chan string, 1)
	srv := startServer(t, Config{}, func(s *Server) {
		s.Handle("/room", Endpoint{
			Handler: HandlerFuncs{
				Open:    func(c *Conn) { _ = c.Reply(Text, fmt.Appendf(nil, "welcome to %v", c.User())) },
				Message: func(c *Conn, op Op, p []byte) { _ = c.Reply(op, p) },
			},
			Admit: func(r *Request) error { seen <- r.Path() + "?" + r.RawQuery(); return nil },
		})
	})
	addr := serveTaken(t, srv, "/room")
	c, err := dial(addr, "/rooms/blue?x=1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // a test's end
	if err := c.expect(codec.OpText, "welcome to blue"); err != nil {
		t.Fatal(err)
	}
	if path := next(t, seen); path != "/rooms/blue?x=1" {
		t.Errorf("Admit saw %s", path)
	}
	for _, p := range []string{"one", "", string(make([]byte, 70_000))} {
		if err := c.echo(codec.OpBinary, p); err != nil {
			t.Fatal(err)
		}
	}
	if n := srv.Connections(); n != 1 {
		t.Errorf("%d connections are open", n)
	}
	_ = c.Close()
	waitFor(t, "the end", func() bool { return srv.Connections() == 0 })
}

// Frames that came behind the request, in net/http's buffer by then, are heard.
func TestUpgradeHearsWhatCameBehind(t *testing.T) {
	srv := startServer(t, Config{}, serveEcho)
	addr := serveTaken(t, srv, "/echo")
	conn, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test's end
	request := "GET /rooms/x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := fmt.Fprintf(conn, "%s\x81\x82\x00\x00\x00\x00hi", request); err != nil {
		t.Fatal(err)
	}
	c := &testClient{Conn: conn, r: bufio.NewReader(conn)}
	if _, err := http.ReadResponse(c.r, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.expect(codec.OpText, "hi"); err != nil {
		t.Error(err)
	}
}

func TestUpgradeFromHandleHTTP(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%t", secure), func(t *testing.T) {
			register := func(s *Server) {
				serveEcho(s)
				mux := http.NewServeMux()
				mux.HandleFunc("/deep/{x}", func(w http.ResponseWriter, r *http.Request) { _ = s.Upgrade(w, r, "/echo", nil) })
				s.HandleHTTP(mux)
			}
			tight := Config{MaxConns: 1, MaxConnsPerIP: 1} // it is one connection all the while
			var c *testClient
			var srv *Server
			if secure {
				s, config := startTLS(t, tight, register)
				srv, c = s, connectTLS(t, s, "/deep/1", config)
			} else {
				srv = startServer(t, tight, register)
				c = connect(t, srv, "/deep/1")
			}
			for _, p := range []string{"a", string(make([]byte, 100_000)), "b"} {
				if err := c.echo(codec.OpBinary, p); err != nil {
					t.Fatal(err)
				}
			}
			if n, places := srv.Connections(), srv.places.Load(); n != 1 || places != 1 {
				t.Errorf("%d connections and %d places, want 1", n, places)
			}
		})
	}
}

// Who came by way of a proxy that says so in a PROXY header is still known after
// net/http has had the connection.
func TestUpgradeKnowsTheClientBehindAProxy(t *testing.T) {
	var all <-chan seen
	srv := startServer(t, Config{ProxyProtocol: true}, func(s *Server) {
		all = serveSeen(s)
		mux := http.NewServeMux()
		mux.HandleFunc("/rooms/x", func(w http.ResponseWriter, r *http.Request) { _ = s.Upgrade(w, r, "/echo", nil) })
		s.HandleHTTP(mux)
	})
	a := ask(t, dialTCP(t, srv), "PROXY TCP4 192.0.2.1 192.0.2.2 7 8\r\n"+upgradeTo("/rooms/x"))
	if a.status != 101 {
		t.Fatalf("answered with %d", a.status)
	}
	if one := next(t, all); one.client.String() != "192.0.2.1" || one.remote != "192.0.2.1:7" {
		t.Errorf("seen %+v", one)
	}
}

func TestUpgradeRefuses(t *testing.T) {
	srv := startServer(t, Config{}, serveEcho)
	addr := serveTaken(t, srv, "/echo")
	for _, row := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"no-upgrade", func(r *http.Request) { r.Header.Del("Upgrade") }, 426},
		{"no-key", func(r *http.Request) { r.Header.Del("Sec-WebSocket-Key") }, 400},
		{"old-version", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "8") }, 426},
		{"foreign-origin", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+addr+"/rooms/x", nil)
			r.Header.Set("Upgrade", "websocket")
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Sec-WebSocket-Version", "13")
			r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
			row.change(r)
			answer, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != row.status {
				t.Errorf("answered with %d, want %d", answer.StatusCode, row.status)
			}
		})
	}
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if srv.Upgrade(w, r, "/echo", nil) == nil {
			t.Error("a foreign TLS connection was taken over")
		}
	}))
	defer secure.Close()
	r, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, secure.URL, nil)
	r.Header = http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}
	answer, err := secure.Client().Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != 500 {
		t.Errorf("a foreign TLS connection is answered with %d", answer.StatusCode)
	}
	waitFor(t, "the end of all", func() bool { return srv.Connections() == 0 })
}

func TestUpgradeWithoutARunningServer(t *testing.T) {
	srv, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	serveEcho(srv)
	addr := serveTaken(t, srv, "/echo")
	if _, err := dial(addr, "/rooms/x"); err == nil || err.Error() != "unexpected HTTP response status: 503" {
		t.Errorf("got %v", err)
	}
}

// A proxy keeps its connections, and sends handshakes behind other requests.
func TestHandshakeBehindARequest(t *testing.T) {
	const page = "GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n"
	for _, row := range []struct {
		name, first, remote, client string
		cfg                         Config
		lines                       []string
	}{
		{"peer", "", "127.0.0.1", "127.0.0.1", Config{MaxConnsPerIP: 1, MaxConns: 1}, nil},
		{"forwarded", "", "127.0.0.1", "192.0.2.7", Config{MaxConnsPerIP: 1, TrustedProxies: loopbackProxies}, []string{"X-Forwarded-For: 192.0.2.7"}},
		{"PROXY", proxyV1, "192.0.2.1", "192.0.2.1", Config{MaxConnsPerIP: 1, ProxyProtocol: true}, nil},
		{
			"LOCAL", proxyLocal, "127.0.0.1", "127.0.0.1",
			Config{MaxConnsPerIP: 1, ProxyProtocol: true, TrustedProxies: loopbackProxies},
			[]string{"X-Forwarded-For: 192.0.2.7"},
		},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/tls=%t", row.name, secure), func(t *testing.T) {
				var all <-chan seen
				register := func(s *Server) {
					all = serveSeen(s)
					s.HandleHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) }))
				}
				srv, config := (*Server)(nil), (*tls.Config)(nil)
				if secure {
					srv, config = startTLS(t, row.cfg, register)
				} else {
					srv = startServer(t, row.cfg, register)
				}
				conn := dialTCP(t, srv)
				if _, err := io.WriteString(conn, row.first); err != nil {
					t.Fatal(err)
				}
				if secure {
					conn = tls.Client(conn, config)
				}
				if a := ask(t, conn, page); a.body != "/page" {
					t.Fatalf("the request is answered with %d, %q", a.status, a.body)
				}
				a := ask(t, conn, upgradeLines(row.lines...))
				if a.status != 101 {
					t.Fatalf("the handshake is answered with %d", a.status)
				}
				one := next(t, all)
				if host, _, _ := net.SplitHostPort(one.remote); host != row.remote || one.client.String() != row.client || one.secure != secure {
					t.Errorf("seen %+v", one)
				}
				if err := a.echo(codec.OpText, "behind"); err != nil {
					t.Error(err)
				}
				if n, places := srv.Connections(), srv.places.Load(); n != 1 || places != 1 {
					t.Errorf("%d connections and %d places, want 1", n, places)
				}
				_ = a.Close()
				settled(t, srv)
			})
		}
	}
}

// A handshake that comes back is judged like one that has never been away.
func TestHandshakeBehindARequestIsJudged(t *testing.T) {
	srv := startServer(t, Config{}, func(s *Server) {
		serveEcho(s)
		s.HandleHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "page") }))
	})
	for _, row := range []struct {
		name, request string
		status        int
	}{
		{"foreign-origin", upgradeLines("Origin: https://evil.example"), 403},
		{"content-length", upgradeLines("Content-Length: 2") + "hi", 400},
		{"transfer-encoding", upgradeLines("Transfer-Encoding: chunked") + "0\r\n\r\n", 400},
		{"HTTP/1.0", strings.Replace(upgradeLines(), "HTTP/1.1", "HTTP/1.0", 1), 426},
		{"POST", "POST" + strings.TrimPrefix(upgradeLines(), "GET"), 405},
		{"another path", strings.Replace(upgradeLines(), "/echo", "/page", 1), 200},
		{"another protocol", strings.Replace(upgradeLines(), "websocket", "h2c", 1), 200},
	} {
		t.Run(row.name, func(t *testing.T) {
			conn := dialTCP(t, srv)
			if a := ask(t, conn, "GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n"); a.status != 200 {
				t.Fatalf("the request is answered with %d", a.status)
			}
			if a := ask(t, conn, row.request); a.status != row.status {
				t.Errorf("the handshake is answered with %d, want %d", a.status, row.status)
			}
		})
	}
}

// More has come than net/http's buffer holds, in one read of ours.
func TestHandshakeBehindARequestWithFrames(t *testing.T) {
	srv := startServer(t, Config{}, func(s *Server) {
		serveEcho(s)
		s.HandleHTTP(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	})
	const frame = "\x82\xfe\x27\x10\x00\x00\x00\x00" // 10,000 bytes, masked with zeros
	all := "GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n" + upgradeLines()
	for i := range 10 {
		all += frame + strings.Repeat(string(rune('a'+i)), 10_000)
	}
	a := ask(t, dialTCP(t, srv), all)
	if a.status != 200 {
		t.Fatalf("the request is answered with %d", a.status)
	}
	if answer, err := http.ReadResponse(a.r, nil); err != nil || answer.StatusCode != 101 {
		t.Fatalf("the handshake is answered with %v, %v", answer, err)
	}
	for i := range 10 {
		if err := a.expect(codec.OpBinary, strings.Repeat(string(rune('a'+i)), 10_000)); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
}
