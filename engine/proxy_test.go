package engine

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/proxywire"
	"github.com/headrace/headrace/engine/internal/simwire"
)

// PROXY headers, over real sockets. What a header is stands in package proxywire.

const (
	proxyV1 = "PROXY TCP4 192.0.2.1 10.0.0.1 4660 80\r\n"
	proxyV2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x28" + // with four bytes of what else there may be
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\x12\x34\x00\x50" + "\x04\x00\x01\x00"
	proxyLocal = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
)

func TestProxyHeaderCutAnywhere(t *testing.T) {
	var all <-chan seen
	srv := startServer(t, Config{ProxyProtocol: true}, func(s *Server) { all = serveSeen(s) })
	for header, remote := range map[string]string{proxyV1: "192.0.2.1:4660", proxyV2: "[2001:db8::1]:4660"} {
		whole := header + upgradeLines()
		for cut := range len(header) + 2 {
			conn := dialTCP(t, srv)
			if _, err := io.WriteString(conn, whole[:cut]); err != nil {
				t.Fatal(err)
			}
			if cut > 0 {
				time.Sleep(time.Millisecond) // so that the loop may read it alone; the test holds without, too
			}
			a := ask(t, conn, whole[cut:])
			if a.status != 101 {
				t.Fatalf("cut at %d: answered with %d", cut, a.status)
			}
			one := <-all
			if want := netip.MustParseAddrPort(remote).Addr(); one.remote != remote || one.client != want || one.later != want {
				t.Fatalf("cut at %d: seen %+v, want %s", cut, one, remote)
			}
			if err := a.echo(codec.OpText, "behind"); err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			_ = conn.Close()
		}
	}
}

func TestProxyHeaderBeforeTLS(t *testing.T) {
	var all <-chan seen
	srv, config := startTLS(t, Config{ProxyProtocol: true}, func(s *Server) { all = serveSeen(s) })
	for _, together := range []bool{false, true} {
		conn := dialTCP(t, srv)
		raw := conn
		if together {
			raw = &headerFirst{Conn: conn, header: proxyV1}
		} else if _, err := io.WriteString(conn, proxyV1); err != nil {
			t.Fatal(err)
		}
		a := ask(t, tls.Client(raw, config), upgradeLines())
		if a.status != 101 {
			t.Fatalf("answered with %d", a.status)
		}
		if one := <-all; one.remote != "192.0.2.1:4660" || !one.secure {
			t.Errorf("seen %+v", one)
		}
		if err := a.echo(codec.OpText, "behind"); err != nil {
			t.Error(err)
		}
	}
}

// headerFirst sends a header in one write with what is written first.
type headerFirst struct {
	net.Conn
	header string
}

func (h *headerFirst) Write(p []byte) (int, error) {
	before := h.header
	h.header = ""
	n, err := h.Conn.Write(append([]byte(before), p...))
	return max(0, n-len(before)), err
}

// What a proxy that speaks for itself, or doesn't know, says in the request has no
// witness. What one says that is known to speak for another proxy has.
func TestProxyHeaderAndForwarded(t *testing.T) {
	for _, row := range []struct{ name, header, client string }{
		{"LOCAL", proxyLocal, "127.0.0.1"},
		{"UNKNOWN", "PROXY UNKNOWN\r\n", "127.0.0.1"},
		{"a client", proxyV1, "192.0.2.1"},
		{"another trusted proxy", "PROXY TCP4 127.0.0.9 10.0.0.1 4660 80\r\n", "6.6.6.6"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var all <-chan seen
			srv := startServer(t, Config{ProxyProtocol: true, TrustedProxies: loopbackProxies}, func(s *Server) { all = serveSeen(s) })
			a := ask(t, dialTCP(t, srv), row.header+upgradeLines("X-Forwarded-For: 6.6.6.6"))
			if a.status != 101 {
				t.Fatalf("answered with %d", a.status)
			}
			if one := <-all; one.client.String() != row.client {
				t.Errorf("seen %+v, want %s", one, row.client)
			}
		})
	}
}

func TestProxyHeaderIsRequired(t *testing.T) {
	elsewhere := []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	for _, row := range []struct {
		name, sent string
		trusted    []netip.Prefix
	}{
		{"missing", upgradeLines(), nil},
		{"malformed", "PROXY TCP4 192.0.2.1\r\n" + upgradeLines(), nil},
		{"v1 too long", "PROXY TCP4 " + strings.Repeat("1", 200), nil},
		{"v2 too long", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff", nil},
		{"a peer that isn't trusted", proxyV1 + upgradeLines(), elsewhere},
		{"a peer that isn't trusted and says nothing", "", elsewhere},
	} {
		for _, secure := range []bool{false, true} {
			name := row.name
			cfg := Config{ProxyProtocol: true, TrustedProxies: row.trusted, MaxConnsPerIP: 1, HandshakeTimeout: time.Hour}
			start := startServer
			if secure {
				name += "/TLS"
				start = func(tb testing.TB, cfg Config, register func(*Server)) *Server {
					srv, _ := startTLS(tb, cfg, register)
					return srv
				}
			}
			t.Run(name, func(t *testing.T) {
				srv := start(t, cfg, serveEcho)
				for range 3 { // none of them counts
					conn := dialTCP(t, srv)
					_, _ = io.WriteString(conn, row.sent)
					expectCut(t, conn)
				}
				if n := srv.refusals.proxy.Load(); n != 3 {
					t.Errorf("%d were counted, want 3", n)
				}
				settled(t, srv)
			})
		}
	}
}

// expectCut expects the end of a stream, orderly or not, without a byte.
func expectCut(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	n, err := conn.Read(make([]byte, 1))
	var late net.Error
	if n > 0 || err == nil || errors.As(err, &late) && late.Timeout() {
		t.Errorf("read %d bytes, %v; want the end", n, err)
	}
	_ = conn.Close()
}

// settled waits until no connection is left, nor counted.
func settled(t *testing.T, srv *Server) {
	t.Helper()
	var left int
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		left = 0
		if srv.clients != nil {
			srv.clients.mu.Lock()
			left = len(srv.clients.conns)
			srv.clients.mu.Unlock()
		}
		if left == 0 && srv.Connections() == 0 && srv.places.Load() == 0 {
			return
		}
	}
	t.Errorf("%d connections are left, %d places, %d addresses", srv.Connections(), srv.places.Load(), left)
}

func TestProxyHeaderThatDoesNotCome(t *testing.T) {
	srv := startServer(t, Config{ProxyProtocol: true, HandshakeTimeout: 300 * time.Millisecond, CloseTimeout: 100 * time.Millisecond}, serveEcho)
	for _, sent := range []string{"", proxyV1[:10], proxyV2[:20]} {
		conn := dialTCP(t, srv)
		_, _ = io.WriteString(conn, sent)
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
			t.Errorf("after %q: %q, %v", sent, answer, err)
		}
		_ = conn.Close()
	}
	settled(t, srv)
}

// net/http sees the client, too.
func TestProxyHeaderBeforeHTTP(t *testing.T) {
	srv := startServer(t, Config{ProxyProtocol: true}, func(s *Server) {
		s.HandleHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.RemoteAddr)
		}))
	})
	conn := dialTCP(t, srv)
	_, _ = io.WriteString(conn, proxyV1)
	a := ask(t, conn, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if a.body != "192.0.2.1:4660" {
		t.Errorf("net/http was told %q", a.body)
	}
}

// Listeners without ProxyProtocol take no header, beside one with it.
func TestProxyHeaderIsOfOneListener(t *testing.T) {
	srv := startServer(t, Config{Listeners: []Listener{{Addr: "127.0.0.1:0", ProxyProtocol: true}}}, serveEcho)
	if a := ask(t, dialNet(t, srv.Addrs()[0]), proxyV1+upgradeLines()); a.status != 400 {
		t.Errorf("a header on a plain listener is answered with %d", a.status)
	}
	if a := ask(t, dialNet(t, srv.Addrs()[1]), proxyV1+upgradeLines()); a.status != 101 {
		t.Errorf("a header where it belongs is answered with %d", a.status)
	}
}

// Headers on simulated connections: read in any pieces, with hang-ups and resets in
// between, and below the watch for wrong use of the seam.
func TestProxyHeaderSimulated(t *testing.T) {
	for seed := range uint64(200) {
		cfg, err := Config{
			MaxConnsPerIP: 3, HandshakeTimeout: 2 * time.Second, CloseTimeout: time.Second, Logger: slog.New(slog.DiscardHandler),
		}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		var srv *Server
		opened, cut, wanted, refused := 0, 0, 0, 0
		backend := proxywire.New(simwire.New(simwire.Options{
			Seed: seed, Loops: 2, ReadBuffer: 64, Interleave: 0.1,
			Misuse: func(what string) { t.Errorf("seed %d: %s", seed, what) },
			Script: func(sim *simwire.Sim) {
				rng := sim.Rand()
				for range 30 {
					var p *simwire.Peer
					p = sim.Dial(simwire.Profile{
						SendBuffer: 64 << 10, MaxRead: 1 + rng.IntN(40), ServerLag: 5 * time.Millisecond,
						Data: func([]byte) {}, End: func(error) { p.Close() },
					})
					sent := []string{proxyV1, proxyV2, proxyLocal, "PROXY nonsense\r\n", "GET "}[rng.IntN(5)] + simRequest
					switch rng.IntN(6) {
					case 0:
						p.Write([]byte(sent[:rng.IntN(len(sent))]))
						p.Close()
					default:
						p.Write([]byte(sent))
						if strings.HasPrefix(sent, "GET") || strings.Contains(sent, "nonsense") {
							refused++
						} else {
							wanted++
						}
					}
					sim.Run(sim.Now() + time.Duration(rng.IntN(50))*time.Millisecond)
				}
				sim.Run(sim.Now() + 20*time.Second)
				if n := srv.refusals.client.Load(); uint64(opened)+n < uint64(wanted) {
					t.Errorf("seed %d: %d opened and %d refused, of %d", seed, opened, n, wanted)
				}
				if cut < refused {
					t.Errorf("seed %d: %d were cut, at least %d should be", seed, cut, refused)
				}
			},
		}), proxywire.Options{
			Listeners: []bool{true},
			Trusts:    func(net.Addr) bool { return true },
			Refused:   func(net.Addr, error) { cut++ },
		})
		srv = newServer(cfg, backend)
		srv.proxied = []bool{true}
		srv.poison = true
		srv.Handle("/a", Endpoint{Handler: HandlerFuncs{Open: func(*Conn) { opened++ }}, PingInterval: -1})
		srv.started.Store(true)
		_ = srv.serve()
		if len(srv.clients.conns) != 0 || srv.Connections() != 0 {
			t.Errorf("seed %d: %d addresses and %d connections are left", seed, len(srv.clients.conns), srv.Connections())
		}
	}
}
