package engine

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// everyone trusts the loopback addresses, where the tests' clients are.
var loopbackProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// upgradeLines is a handshake for /echo with more header lines.
func upgradeLines(lines ...string) string {
	return "GET /echo HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + strings.Join(append(lines, "", ""), "\r\n")
}

// asked is what became of a handshake.
type asked struct {
	*testClient
	status int
	header http.Header
	body   string
}

// ask sends a handshake as it is on a connection that is there, and reads the answer.
func ask(tb testing.TB, conn net.Conn, handshake string) asked {
	tb.Helper()
	tb.Cleanup(func() { _ = conn.Close() })
	a, err := tryAsk(conn, handshake)
	if err != nil {
		tb.Fatal("no answer to the handshake:", err)
	}
	return a
}

func tryAsk(conn net.Conn, handshake string) (asked, error) {
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, handshake); err != nil {
		return asked{}, err
	}
	r := bufio.NewReader(conn)
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return asked{}, err
	}
	a := asked{&testClient{Conn: conn, r: r}, answer.StatusCode, answer.Header, ""}
	if a.status != 101 {
		body, _ := io.ReadAll(answer.Body)
		a.body = string(body)
	}
	return a, nil
}

// dialTCP connects to a server's first address.
func dialTCP(tb testing.TB, srv *Server) net.Conn {
	tb.Helper()
	return dialNet(tb, srv.Addr())
}

func dialNet(tb testing.TB, addr net.Addr) net.Conn {
	tb.Helper()
	conn, err := net.DialTimeout(addr.Network(), addr.String(), patience)
	if err != nil {
		tb.Fatal(err)
	}
	return conn
}

// seen is what a handler saw of who is there.
type seen struct {
	client, later netip.Addr
	remote        string
	secure        bool
}

// serveSeen serves /echo, and tells of each connection who was there.
func serveSeen(s *Server) <-chan seen {
	all := make(chan seen, 100)
	s.Handle("/echo", Endpoint{Handler: HandlerFuncs{
		Open: func(c *Conn) {
			one := seen{client: c.Request().Client(), remote: c.Remote().String(), secure: c.Request().Secure()}
			go func() { // safe from any goroutine
				one.later = c.Client()
				all <- one
			}()
		},
		Message: func(c *Conn, op Op, p []byte) { _ = c.Reply(op, p) },
	}})
	return all
}

func TestClientOfARequest(t *testing.T) {
	for _, row := range []struct {
		name   string
		cfg    Config
		lines  []string
		client string
		secure bool
	}{
		{"peer", Config{}, nil, "127.0.0.1", false},
		{"no proxies are trusted", Config{}, []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https"}, "127.0.0.1", false},
		{
			"another proxy is trusted",
			Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}},
			[]string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https"},
			"127.0.0.1", false,
		},
		{
			"trusted",
			Config{TrustedProxies: loopbackProxies},
			[]string{"X-Forwarded-For: 6.6.6.6, 192.0.2.1", "X-Forwarded-Proto: https"},
			"192.0.2.1", true,
		},
		{
			"trusted/Forwarded",
			Config{TrustedProxies: loopbackProxies, ForwardedHeader: "forwarded"},
			[]string{"X-Forwarded-For: 6.6.6.6", `Forwarded: for="[2001:db8::1]"`},
			"2001:db8::1", false,
		},
		{
			"trusted/IPv4 on a dual-stack listener",
			Config{Addr: ":0", TrustedProxies: loopbackProxies},
			[]string{"X-Forwarded-For: 192.0.2.1"},
			"192.0.2.1", false,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			var all <-chan seen
			srv := startServer(t, row.cfg, func(s *Server) { all = serveSeen(s) })
			_, port, _ := net.SplitHostPort(srv.Addr().String())
			conn, err := net.Dial("tcp4", "127.0.0.1:"+port)
			if err != nil {
				t.Fatal(err)
			}
			a := ask(t, conn, upgradeLines(row.lines...))
			if a.status != 101 {
				t.Fatalf("answered with %d", a.status)
			}
			want := netip.MustParseAddr(row.client)
			if one := <-all; one.client != want || one.later != want || one.secure != row.secure {
				t.Errorf("seen %+v, want %v, secure %t", one, want, row.secure)
			}
			if err := a.echo(codec.OpText, "hello"); err != nil {
				t.Error(err)
			}
		})
	}
}

// A page that came in the clear is not of the origin that a trusted proxy serves by
// TLS; without a trusted proxy nobody knows.
func TestOriginBehindATrustedProxy(t *testing.T) {
	for _, row := range []struct {
		proxies []netip.Prefix
		origin  string
		status  int
	}{
		{loopbackProxies, "https://example.com", 101},
		{loopbackProxies, "http://example.com", 403},
		{nil, "http://example.com", 101},
	} {
		srv := startServer(t, Config{TrustedProxies: row.proxies}, serveEcho)
		a := ask(t, dialTCP(t, srv), upgradeLines("X-Forwarded-Proto: https", "Origin: "+row.origin))
		if a.status != row.status {
			t.Errorf("origin %s, trusted %v: answered with %d, want %d", row.origin, row.proxies, a.status, row.status)
		}
	}
}

func TestWhoIsThereIsChecked(t *testing.T) {
	for _, row := range []struct {
		cfg  Config
		want string
	}{
		{Config{TrustedProxies: []netip.Prefix{{}}}, "TrustedProxies[0]"},
		{Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}}, "TrustedProxies[0]"},
		{Config{ForwardedHeader: "X-Real-IP"}, "ForwardedHeader"},
		{Config{MaxConnsPerIP: -1}, "MaxConnsPerIP is negative"},
		{Config{MaxHandshakeRate: -1}, "MaxHandshakeRate is negative"},
		{Config{Network: "unix"}, "must be a path"},
		{Config{Network: "unix", Addr: "/" + strings.Repeat("x", 101)}, "101 bytes"},
		{Config{Network: "unix", Addr: "/a?b"}, "Addr"},
		{Config{Listeners: []Listener{{Addr: ":1", Mode: 0o600}}}, "Mode"},
		{Config{Listeners: []Listener{{Network: "unix", Addr: "/x", Mode: 0o10000}}}, "Mode"},
		{Config{ReusePort: true, Addr: ":1", Listeners: []Listener{{Network: "unix", Addr: "/x"}}}, "ReusePort"},
		{Config{ReusePort: true, Addr: ":1", Listeners: []Listener{{Addr: ":1"}}}, "there twice"},
		{Config{ProxyProtocol: true, Listeners: []Listener{{Addr: ":1"}}}, "ProxyProtocol is for Addr"},
	} {
		_, err := New(row.cfg)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%+v gives %v, want %q", row.cfg, err, row.want)
		}
	}
}

// shutDown ends a server and waits for it.
func shutDown(t *testing.T, srv *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}
