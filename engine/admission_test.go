package engine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// fromIP connects from an address of 127.0.0.0/8, all of which are ours.
func fromIP(tb testing.TB, srv *Server, ip string) net.Conn {
	tb.Helper()
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	conn, err := d.Dial("tcp4", srv.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	return conn
}

func TestMaxConnsPerIP(t *testing.T) {
	srv := startServer(t, Config{MaxConnsPerIP: 2}, serveEcho)
	var open []asked
	for range 2 {
		open = append(open, ask(t, fromIP(t, srv, "127.0.0.1"), upgradeLines()))
	}
	for _, a := range open {
		if a.status != 101 {
			t.Fatalf("one of the first two was answered with %d", a.status)
		}
	}
	third := ask(t, fromIP(t, srv, "127.0.0.1"), upgradeLines("X-Forwarded-For: 192.0.2.1"))
	if third.status != http.StatusTooManyRequests || third.header.Get("Retry-After") == "" {
		t.Errorf("the third is answered with %d, %v", third.status, third.header)
	}
	if n := srv.refusals.client.Load(); n != 1 {
		t.Errorf("%d were counted, want 1", n)
	}
	if a := ask(t, fromIP(t, srv, "127.0.0.2"), upgradeLines()); a.status != 101 {
		t.Errorf("another address is answered with %d", a.status)
	}
	if err := open[0].send(codec.OpClose, codec.AppendClose(nil, 1000, "")); err != nil {
		t.Fatal(err)
	}
	if err := open[0].expectClose(1000, ""); err != nil {
		t.Fatal(err)
	}
	untilAdmitted(t, func() int { return ask(t, fromIP(t, srv, "127.0.0.1"), upgradeLines()).status })
}

// untilAdmitted tries until a place is free: the server hears of an end a moment
// after the client.
func untilAdmitted(t *testing.T, try func() int) {
	t.Helper()
	status := 0
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if status = try(); status == 101 {
			return
		}
	}
	t.Errorf("still answered with %d", status)
}

// Behind a trusted proxy the cap is for its clients, and not for itself.
func TestMaxConnsPerIPBehindAProxy(t *testing.T) {
	for name, cfg := range map[string]Config{
		"header": {TrustedProxies: loopbackProxies},
		"PROXY":  {ProxyProtocol: true, TrustedProxies: loopbackProxies},
		"anyone": {ProxyProtocol: true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.MaxConnsPerIP = 2
			var asks, granted atomic.Int32
			srv := startServer(t, cfg, func(s *Server) {
				s.Handle("/echo", Endpoint{Handler: echoHandler, Admit: func(*Request) error { asks.Add(1); return nil }})
			})
			handshake := func(client string) string {
				if !cfg.ProxyProtocol {
					return upgradeLines("X-Forwarded-For: 6.6.6.6, " + client)
				}
				family := "TCP4"
				if strings.Contains(client, ":") {
					family = "TCP6"
				}
				return fmt.Sprintf("PROXY %s %s %s 1 2\r\n%s", family, client, client, upgradeLines())
			}
			for i, row := range []struct {
				client string
				status int
			}{
				{"192.0.2.1", 101},
				{"192.0.2.1", 101},
				{"192.0.2.1", 429},
				{"192.0.2.2", 101},
				{"2001:db8::1", 101},
				{"2001:db8:0:0:ffff::9", 101},
				{"2001:db8::2", 429},
				{"2001:db8:0:1::1", 101},
			} {
				if a := ask(t, dialTCP(t, srv), handshake(row.client)); a.status != row.status {
					t.Errorf("%d: %s is answered with %d, want %d", i, row.client, a.status, row.status)
				} else if a.status == 101 {
					granted.Add(1)
				}
			}
			if asks.Load() != granted.Load() {
				t.Errorf("Admit was asked %d times for %d clients", asks.Load(), granted.Load())
			}
			if cfg.ProxyProtocol {
				return
			}
			for range 4 { // no client: the proxy itself has no limit
				if a := ask(t, dialTCP(t, srv), upgradeLines()); a.status != 101 {
					t.Errorf("the proxy itself is answered with %d", a.status)
				}
			}
		})
	}
}

// A connection counts until its end, whichever that is.
func TestMaxConnsPerIPCountsDown(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") })
	for _, row := range []struct {
		name string
		end  func(t *testing.T, conn net.Conn)
	}{
		{"nothing was sent", func(t *testing.T, conn net.Conn) { _ = conn.Close() }},
		{"hung up in the handshake", func(t *testing.T, conn net.Conn) { _, _ = io.WriteString(conn, "GET /ec") }},
		{"reset", func(t *testing.T, conn net.Conn) {
			ask(t, conn, upgradeLines())
			_ = conn.(*net.TCPConn).SetLinger(0)
		}},
		{"malformed", func(t *testing.T, conn net.Conn) { ask(t, conn, "no http\r\n\r\n") }},
		{"refused by Admit", func(t *testing.T, conn net.Conn) { ask(t, conn, upgradeLines("Refuse: me")) }},
		{"a timeout", func(t *testing.T, conn net.Conn) { ask(t, conn, "GET ") }},
		{"closed", func(t *testing.T, conn net.Conn) {
			a := ask(t, conn, upgradeLines())
			_ = a.send(codec.OpClose, codec.AppendClose(nil, 1000, ""))
			if err := a.expectClose(1000, ""); err != nil {
				t.Error(err)
			}
		}},
		{"a protocol error", func(t *testing.T, conn net.Conn) {
			a := ask(t, conn, upgradeLines())
			_, _ = a.Write([]byte{0x83, 0x80, 0, 0, 0, 0})
			_, _ = io.Copy(io.Discard, a.r)
		}},
		{"hung up", func(t *testing.T, conn net.Conn) { ask(t, conn, upgradeLines()) }},
		{"a panic", func(t *testing.T, conn net.Conn) {
			a := ask(t, conn, upgradeLines())
			_ = a.send(codec.OpText, []byte("panic"))
			_, _ = io.Copy(io.Discard, a.r)
		}},
		{"net/http", func(t *testing.T, conn net.Conn) {
			if a := ask(t, conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); a.body != "page" {
				t.Errorf("net/http answers %d %q", a.status, a.body)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := Config{MaxConnsPerIP: 1, HandshakeTimeout: 200 * time.Millisecond, CloseTimeout: 200 * time.Millisecond}
			srv := startServer(t, cfg, func(s *Server) {
				s.HandleHTTP(page)
				s.Handle("/echo", Endpoint{
					Handler: HandlerFuncs{Message: func(_ *Conn, _ Op, p []byte) {
						if string(p) == "panic" {
							panic("asked for")
						}
					}},
					Admit: func(r *Request) error {
						if r.Header("Refuse") != "" {
							return errors.New("refused")
						}
						return nil
					},
				})
			})
			for range 2 {
				conn := dialTCP(t, srv)
				row.end(t, conn)
				if row.name == "net/http" { // it still has the connection
					if a := ask(t, dialTCP(t, srv), upgradeLines()); a.status != 429 {
						t.Errorf("beside it another is answered with %d", a.status)
					}
				}
				_ = conn.Close()
				settled(t, srv)
			}
			untilAdmitted(t, func() int { return ask(t, dialTCP(t, srv), upgradeLines()).status })
		})
	}
}

func TestMaxConnsPerIPWithTLS(t *testing.T) {
	srv, config := startTLS(t, Config{MaxConnsPerIP: 1, CloseTimeout: 200 * time.Millisecond}, serveEcho)
	first := ask(t, tls.Client(dialTCP(t, srv), config), upgradeLines())
	if first.status != 101 {
		t.Fatalf("answered with %d", first.status)
	}
	second := tls.Client(dialTCP(t, srv), config)
	_ = second.SetDeadline(time.Now().Add(patience))
	var alert tls.AlertError
	if err := second.Handshake(); !errors.As(err, &alert) && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "remote error") {
		t.Errorf("the second one's TLS handshake gives %v", err)
	}
	_ = second.Close()
	_ = first.Close()
	settled(t, srv)
	for range 2 { // a handshake that fails counts down, too
		conn := dialTCP(t, srv)
		_, _ = io.WriteString(conn, "\x16\x03\x01\x00\x05hello")
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
		settled(t, srv)
	}
}

// Many clients come and go in every way at once; nothing is left counted, and never
// are more admitted than may be.
func TestMaxConnsPerIPInAStorm(t *testing.T) {
	const most = 3
	var mu sync.Mutex
	now := make(map[netip.Addr]int)
	cfg := Config{MaxConnsPerIP: most, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}, CloseTimeout: time.Second}
	srv := startServer(t, cfg, func(s *Server) {
		s.HandleHTTP(http.NotFoundHandler())
		s.Handle("/echo", Endpoint{Handler: HandlerFuncs{
			Open: func(c *Conn) {
				mu.Lock()
				defer mu.Unlock()
				if now[c.Client()]++; now[c.Client()] > most {
					t.Errorf("%d connections of %v", now[c.Client()], c.Client())
				}
			},
			Close: func(c *Conn, _ CloseInfo) {
				mu.Lock()
				defer mu.Unlock()
				now[c.Client()]--
			},
			Message: func(c *Conn, op Op, p []byte) { _ = c.Reply(op, p) },
		}})
	})
	var storm sync.WaitGroup
	for i := range 8 {
		storm.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			for range 60 {
				from := []string{"127.0.0.1", "127.0.0.2", "127.0.0.9"}[rng.IntN(3)]
				conn := fromIP(t, srv, from)
				client := fmt.Sprintf("X-Forwarded-For: 192.0.2.%d", rng.IntN(2))
				switch rng.IntN(5) {
				case 0:
					_, _ = io.WriteString(conn, "GET / HT")
				case 1:
					_, _ = tryAsk(conn, "GET / HTTP/1.1\r\nHost: h\r\n"+client+"\r\n\r\n")
				case 2:
					_, _ = tryAsk(conn, "nonsense\r\n\r\n")
				default:
					if a, err := tryAsk(conn, upgradeLines(client)); err == nil && a.status == 101 {
						_ = a.echo(codec.OpText, "x")
					}
				}
				_ = conn.Close()
			}
		})
	}
	storm.Wait()
	settled(t, srv)
	if srv.refusals.client.Load() == 0 {
		t.Error("nobody was refused: that was no storm")
	}
}

func TestMaxHandshakeRate(t *testing.T) {
	const rate = 5
	srv := startServer(t, Config{MaxHandshakeRate: rate}, serveEcho)
	granted, refused := 0, 0
	for began := time.Now(); refused == 0; {
		switch a := ask(t, dialTCP(t, srv), upgradeLines()); a.status {
		case 101:
			granted++
		case 503:
			refused++
			if a.header.Get("Retry-After") != "1" {
				t.Errorf("refused with %v", a.header)
			}
		default:
			t.Fatalf("answered with %d", a.status)
		}
		if most := rate * (1 + time.Since(began).Seconds()); float64(granted) > most {
			t.Fatalf("%d granted in %v", granted, time.Since(began))
		}
	}
	if granted < rate {
		t.Errorf("%d granted at once, want %d", granted, rate)
	}
	if n := srv.refusals.rate.Load(); n != 1 {
		t.Errorf("%d were counted, want 1", n)
	}
	untilAdmitted(t, func() int { return ask(t, dialTCP(t, srv), upgradeLines()).status })
}

// Over the rate TLS connections end before their handshake has cost anything.
func TestMaxHandshakeRateWithTLS(t *testing.T) {
	srv, config := startTLS(t, Config{MaxHandshakeRate: 1}, serveEcho)
	hellos := 0
	for range 3 {
		conn := tls.Client(dialTCP(t, srv), config)
		_ = conn.SetDeadline(time.Now().Add(patience))
		if conn.Handshake() == nil {
			hellos++
		}
		_ = conn.Close()
	}
	if n := int(srv.refusals.rate.Load()); n == 0 || hellos+n != 3 {
		t.Errorf("%d handshakes, %d refused, of 3", hellos, n)
	}
}

func TestNetworkOf(t *testing.T) {
	same := func(a, b string) bool {
		return networkOf(netip.MustParseAddr(a)) == networkOf(netip.MustParseAddr(b))
	}
	if !same("2001:db8::1", "2001:db8::ffff:1:2:3") || same("2001:db8::1", "2001:db8:0:1::1") {
		t.Error("IPv6 counts by 64 bits")
	}
	if same("192.0.2.1", "192.0.2.2") || same("0.0.0.0", "::1") {
		t.Error("IPv4 counts by the whole address, apart from IPv6")
	}
}
