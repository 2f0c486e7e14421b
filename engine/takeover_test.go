package engine

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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

// The loops take connections over before they have accepted one, also where other
// processes would get whatever comes to the port, and nobody else is counted.
func TestUpgradeOnASharedPort(t *testing.T) {
	srv := startServer(t, Config{ReusePort: true, Loops: 3}, serveEcho)
	for range 3 {
		startServer(t, Config{ReusePort: true, Addr: srv.Addr().String()}, serveEcho)
	}
	addr := serveTaken(t, srv, "/echo")
	const conns = 6
	for range conns {
		c, err := dial(addr, "/rooms/x")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // a test's end
		if err := c.echo(codec.OpText, "taken"); err != nil {
			t.Fatal(err)
		}
	}
	srv.mu.Lock()
	loops := len(srv.loops)
	srv.mu.Unlock()
	if n := srv.Stats().Accepted; n != conns || loops != 3 {
		t.Errorf("%d connections were accepted, want %d; %d loops have some, want 3", n, conns, loops)
	}
}

// Who is there does not change on the way through net/http.
func TestUpgradeKeepsWhoIsThere(t *testing.T) {
	for _, row := range []struct{ name, header, remote, client string }{
		{"LOCAL", proxyLocal, "127.0.0.1", "127.0.0.1"},
		{"UNKNOWN", "PROXY UNKNOWN\r\n", "127.0.0.1", "127.0.0.1"},
		{"a client", proxyV1, "192.0.2.1", "192.0.2.1"},
		{"another trusted proxy", "PROXY TCP4 127.0.0.9 10.0.0.1 4660 80\r\n", "127.0.0.9", "6.6.6.6"},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/tls=%t", row.name, secure), func(t *testing.T) {
				var all <-chan seen
				register := func(s *Server) {
					all = serveSeen(s)
					s.HandleHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = s.Upgrade(w, r, "/echo", nil) }))
				}
				cfg := Config{ProxyProtocol: true, TrustedProxies: loopbackProxies, MaxConnsPerIP: 1}
				var srv *Server
				var config *tls.Config
				if secure {
					srv, config = startTLS(t, cfg, register)
				} else {
					srv = startServer(t, cfg, register)
				}
				conn := dialTCP(t, srv)
				if _, err := io.WriteString(conn, row.header); err != nil {
					t.Fatal(err)
				}
				if secure {
					conn = tls.Client(conn, config)
				}
				a := ask(t, conn, strings.Replace(upgradeLines("X-Forwarded-For: 6.6.6.6"), "/echo", "/x", 1))
				if a.status != 101 {
					t.Fatalf("answered with %d", a.status)
				}
				one := next(t, all)
				if host, _, _ := net.SplitHostPort(one.remote); host != row.remote || one.client.String() != row.client || one.later != one.client {
					t.Errorf("seen %+v, want %s for %s", one, row.remote, row.client)
				}
				_ = a.Close()
				waitFor(t, "the end", func() bool { return srv.Connections() == 0 })
				srv.clients.mu.Lock()
				defer srv.clients.mu.Unlock()
				if len(srv.clients.conns) != 0 {
					t.Errorf("%v are counted after the end", srv.clients.conns)
				}
			})
		}
	}
}

// A connection that goes through net/http is one connection, not two, to every limit.
func TestUpgradeCountsOnce(t *testing.T) {
	for name, cfg := range map[string]Config{
		"MaxConns": {MaxConns: 1}, "MaxConnsPerIP": {MaxConnsPerIP: 1}, "MaxHandshakeRate": {MaxHandshakeRate: 1},
	} {
		t.Run(name, func(t *testing.T) {
			srv := startServer(t, cfg, func(s *Server) {
				serveEcho(s)
				s.HandleHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = s.Upgrade(w, r, "/echo", nil) }))
			})
			c := connect(t, srv, "/x")
			if err := c.echo(codec.OpText, "alone"); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the count of one", func() bool { return srv.Connections() == 1 && srv.places.Load() == 1 })
			_ = c.Close()
			waitFor(t, "the end", func() bool { return srv.Connections() == 0 && srv.places.Load() == 0 })
		})
	}
}

// A connection of another Server's HandleHTTP counts there until it counts here.
func TestUpgradeFromAnotherServersHandleHTTP(t *testing.T) {
	srv := startServer(t, Config{MaxConnsPerIP: 1}, serveEcho)
	other := startServer(t, Config{MaxConnsPerIP: 1}, func(s *Server) {
		s.HandleHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = srv.Upgrade(w, r, "/echo", nil) }))
	})
	for range 2 {
		c := connect(t, other, "/x")
		if err := c.echo(codec.OpText, "taken"); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the end there", func() bool { return other.Connections() == 0 && other.places.Load() == 0 })
		if n, places := srv.Connections(), srv.places.Load(); n != 1 || places != 1 {
			t.Errorf("%d connections and %d places here, want 1", n, places)
		}
		_ = c.Close()
		waitFor(t, "the end here", func() bool { return srv.Connections() == 0 && srv.places.Load() == 0 })
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
	waitFor(t, "the end of all", func() bool { return srv.Connections() == 0 })
}

// A request is judged as it came, not as net/http has put it right.
func TestUpgradeJudgesWhatCame(t *testing.T) {
	srv := startServer(t, Config{}, serveEcho)
	addr := serveTaken(t, srv, "/echo")
	for _, row := range []struct {
		name, from, to string
		status         int
	}{
		{"length", "Host:", "Content-Length: 5\r\nHost:", 400},
		{"chunked", "Host:", "Transfer-Encoding: chunked\r\nHost:", 400},
		{"old-version", "HTTP/1.1", "HTTP/1.0", 505},
		{"nothing", "Host:", "Content-Length: 0\r\nHost:", 101},
		{"absolute", "GET ", "GET http://example.com", 101},
	} {
		t.Run(row.name, func(t *testing.T) {
			conn, err := net.Dial("tcp4", addr)
			if err != nil {
				t.Fatal(err)
			}
			request := strings.Replace(upgradeLines(), "/echo", "/rooms/x", 1)
			if a := ask(t, conn, strings.Replace(request, row.from, row.to, 1)+"5\r\nhello\r\n0\r\n\r\n"); a.status != row.status {
				t.Errorf("answered with %d, want %d", a.status, row.status)
			}
		})
	}
}

func TestUpgradeBehindStripPrefix(t *testing.T) {
	srv := startServer(t, Config{}, func(s *Server) {
		paths := make(chan string, 1)
		s.Handle("/room", Endpoint{
			Admit:   func(r *Request) error { paths <- r.Path() + "?" + r.RawQuery(); return nil },
			Handler: HandlerFuncs{Open: func(c *Conn) { _ = c.Reply(Text, []byte(<-paths)) }},
		})
		up := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = s.Upgrade(w, r, "/room", nil) })
		mux := http.NewServeMux()
		mux.Handle("/a/", http.StripPrefix("/a/", up))
		mux.Handle("/b/", http.StripPrefix("/b", up))
		s.HandleHTTP(mux)
	})
	for path, want := range map[string]string{"/a/blue?x=1": "/blue?x=1", "/a/": "/?", "/b/bl%20ue": "/bl ue?", "/b/": "/?"} {
		if err := connect(t, srv, path).expect(codec.OpText, want); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// wrapping gives connections as a listener does that counts them.
type wrapping struct{ net.Listener }

func (l wrapping) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return struct{ net.Conn }{conn}, err
}

// What net/http itself has to answer: requests that are none, and connections that are
// no socket.
func TestUpgradeAnswersByNetHTTP(t *testing.T) {
	srv := startServer(t, Config{}, serveEcho)
	for _, row := range []struct {
		name   string
		change func(*httptest.Server)
		start  func(*httptest.Server)
		fields http.Header
		status int
		answer http.Header // of those two fields
		says   string
	}{
		{
			"no-upgrade", nil, (*httptest.Server).Start, nil,
			426,
			http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}},
			"no WebSocket handshake",
		},
		{
			"http2", func(s *httptest.Server) { s.EnableHTTP2 = true }, (*httptest.Server).StartTLS, nil,
			505,
			http.Header{},
			"no WebSocket handshake",
		},
		{
			"tls", nil, (*httptest.Server).StartTLS,
			http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}},
			500,
			http.Header{"Connection": {"close"}},
			"*tls.Conn",
		},
		{
			"wrapped", func(s *httptest.Server) { s.Listener = wrapping{s.Listener} }, (*httptest.Server).Start,
			http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}},
			500,
			http.Header{"Connection": {"close"}},
			"only a socket itself can be moved",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			said := make(chan error, 1)
			other := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { said <- srv.Upgrade(w, r, "/echo", nil) }))
			if row.change != nil {
				row.change(other)
			}
			row.start(other)
			defer other.Close()
			r, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, other.URL, nil)
			maps.Copy(r.Header, row.fields)
			answer, err := other.Client().Transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.Close { // net/http takes the field away
				answer.Header.Set("Connection", "close")
			}
			got := http.Header{}
			for _, name := range []string{"Upgrade", "Connection"} {
				if values := answer.Header.Values(name); len(values) > 0 {
					got[name] = values
				}
			}
			if answer.StatusCode != row.status || !reflect.DeepEqual(got, row.answer) {
				t.Errorf("answered with %d %v, want %d %v", answer.StatusCode, got, row.status, row.answer)
			}
			if err := next(t, said); err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("Upgrade gives %v", err)
			}
		})
	}
	if n := srv.Stats().Accepted; n != 0 {
		t.Errorf("%d connections were taken over", n)
	}
}

// gated holds Upgrade up when it has got the connection from net/http.
type gated struct {
	http.ResponseWriter
	at   chan<- struct{}
	gate <-chan struct{}
	late time.Duration // how much longer
}

func (g gated) Unwrap() http.ResponseWriter { return nil }

func (g gated) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(g.ResponseWriter).Hijack()
	g.at <- struct{}{}
	<-g.gate
	time.Sleep(g.late)
	return conn, buffered, err
}

// The server has ended when Upgrade has got the connection.
func TestUpgradeAnswersBehindTheEnd(t *testing.T) {
	srv := startServer(t, Config{}, serveEcho)
	at, gate := make(chan struct{}, 1), make(chan struct{})
	said := make(chan error, 1)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said <- srv.Upgrade(gated{w, at, gate, 0}, r, "/echo", nil)
	}))
	defer other.Close()
	go func() {
		<-at
		shutDown(t, srv)
		close(gate)
	}()
	a := ask(t, dialNet(t, other.Listener.Addr()), upgradeLines())
	if err := next(t, said); a.status != 503 || a.header.Get("Retry-After") == "" || !errors.Is(err, net.ErrClosed) {
		t.Errorf("answered with %d %v, and Upgrade gives %v", a.status, a.header, err)
	}
}

// A client that has reset its connection by then, whose address is gone with it.
func TestUpgradeOfAConnectionThatIsReset(t *testing.T) {
	srv := startServer(t, Config{}, serveEcho)
	at, gate := make(chan struct{}, 1), make(chan struct{})
	said := make(chan error, 1)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said <- srv.Upgrade(gated{w, at, gate, 0}, r, "/echo", nil)
	}))
	defer other.Close()
	before := warmUp(t, srv, "/echo")
	conn := dialNet(t, other.Listener.Addr()).(*net.TCPConn)
	if _, err := io.WriteString(conn, upgradeLines()); err != nil {
		t.Fatal(err)
	}
	next(t, at)
	_ = conn.SetLinger(0)
	_ = conn.Close()
	close(gate)
	if err := next(t, said); err == nil {
		t.Error("it was taken over")
	}
	waitFor(t, "the end of all descriptors", func() bool { return openDescriptors() <= before })
}

// A loop that is held up by a callback.
func TestUpgradeAnswersForABusyLoop(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	srv := startServer(t, Config{Loops: 1, HandshakeTimeout: 300 * time.Millisecond}, func(s *Server) {
		s.Handle("/busy", Endpoint{Handler: HandlerFuncs{Message: func(*Conn, Op, []byte) { close(entered); <-leave }}})
	})
	addr := serveTaken(t, srv, "/busy")
	first, err := dial(addr, "/rooms/x")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close() //nolint:errcheck // a test's end
	if err := first.send(codec.OpText, nil); err != nil {
		t.Fatal(err)
	}
	next(t, entered)
	if _, err := dial(addr, "/rooms/x"); err == nil || err.Error() != "unexpected HTTP response status: 503" {
		t.Errorf("got %v", err)
	}
	close(leave)
	_ = first.Close()
	waitFor(t, "the end of both", func() bool { return srv.Connections() == 0 })
	if n := srv.Stats().Accepted; n != 1 {
		t.Errorf("%d connections came to the loop, want 1", n)
	}
}

// Connections that are on their way to the loops when these end: Upgrade returns, each
// client hears of the end, and no descriptor is left behind.
func TestUpgradeWhileTheServerEnds(t *testing.T) {
	const rounds, conns = 12, 100
	before := openDescriptors()
	for range rounds {
		srv, err := New(Config{Addr: "127.0.0.1:0", Loops: 2, CloseTimeout: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		serveEcho(srv)
		served := make(chan error, 1)
		go func() { served <- srv.Run(context.Background()) }()
		<-srv.Ready()
		at, gate := make(chan struct{}, conns), make(chan struct{})
		returned := make(chan struct{}, conns)
		var started atomic.Int32
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			late := time.Duration(started.Add(1)) * 16 * time.Millisecond / conns // some come at each moment of the end
			_ = srv.Upgrade(gated{w, at, gate, late}, r, "/echo", nil)
			returned <- struct{}{}
		}))
		heard := make(chan error, conns)
		for range conns {
			conn := dialNet(t, other.Listener.Addr())
			go func() {
				_ = conn.SetDeadline(time.Now().Add(patience))
				_, _ = io.WriteString(conn, upgradeLines())
				_, err := io.Copy(io.Discard, conn)
				_ = conn.Close()
				heard <- err
			}()
		}
		for range conns {
			next(t, at)
		}
		close(gate)
		shutDown(t, srv)
		next(t, served)
		for range conns {
			next(t, returned)
			if err := next(t, heard); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("a client hears nothing")
			}
		}
		other.Close()
	}
	waitFor(t, "the end of all descriptors", func() bool { return openDescriptors() <= before })
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
		{"HTTP/1.0", strings.Replace(upgradeLines(), "HTTP/1.1", "HTTP/1.0", 1), 505},
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
