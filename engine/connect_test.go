package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// toSocket is a DialContext that goes to a unix socket.
func toSocket(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}

func TestDialAUnixSocket(t *testing.T) {
	authority := newAuthority(t)
	client := startClient(t, ClientConfig{})
	for scheme, server := range map[string]*tls.Config{"ws": nil, "wss": authority.server(t)} {
		path := filepath.Join(t.TempDir(), "s")
		var all <-chan seen
		startServer(t, Config{Network: "unix", Addr: path, TLS: server}, func(s *Server) { all = serveSeen(s) })
		got := make(chan string, 1)
		conn := mustDial(t, client, scheme+"://localhost/echo", DialOptions{
			Endpoint:    Endpoint{Handler: HandlerFuncs{Message: func(_ *Conn, _ Op, p []byte) { got <- string(p) }}},
			TLS:         authority.client(),
			DialContext: toSocket(path),
		})
		if one := next(t, all); one.remote != "@" || one.secure != (scheme == "wss") {
			t.Errorf("%s: seen %+v", scheme, one)
		}
		if err := conn.Send(Text, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if p := next(t, got); p != "hello" {
			t.Errorf("%s: got %q", scheme, p)
		}
	}
}

// DialContext is told where to, and what it cannot do is what Dial returns.
func TestDialContextIsAsked(t *testing.T) {
	client := startClient(t, ClientConfig{})
	for _, row := range []struct{ url, proxy, want string }{
		{"ws://host/", "", "tcp host:80"},
		{"wss://host:1/", "", "tcp host:1"},
		{"ws://[::1]/", "http://proxy/", "tcp proxy:80"},
	} {
		var asked string
		opts := DialOptions{
			Endpoint: Endpoint{Handler: HandlerFuncs{}},
			DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
				asked = network + " " + addr
				return nil, unix.EHOSTDOWN
			},
		}
		if row.proxy != "" {
			opts.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(row.proxy) }
		}
		if _, err := dialWith(t, client, row.url, opts); !errors.Is(err, unix.EHOSTDOWN) || asked != row.want {
			t.Errorf("%+v: asked for %q, Dial gives %v", row, asked, err)
		}
	}
}

// hidden is a connection that is no socket of the kernel's, as far as one can see.
type hidden struct{ net.Conn }

func TestDialContextMustGiveASocket(t *testing.T) {
	srv := startServer(t, Config{}, serveEcho)
	_, err := dialWith(t, startClient(t, ClientConfig{}), fmt.Sprintf("ws://%s/echo", srv.Addr()), DialOptions{
		Endpoint: Endpoint{Handler: HandlerFuncs{}},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return hidden{conn}, err
		},
	})
	if err == nil || !strings.Contains(err.Error(), "no socket of the kernel's") {
		t.Errorf("Dial gives %v", err)
	}
}

// An address to connect from takes its port when the other end is known, unless the
// caller has chosen one.
func TestDialBindsWithoutAPort(t *testing.T) {
	free := func(ip net.IP) int {
		ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: ip})
		if err != nil {
			t.Skip(err)
		}
		defer ln.Close()
		return ln.Addr().(*net.TCPAddr).Port
	}
	for _, at := range []string{"127.0.0.1", "::1"} {
		ip := net.ParseIP(at)
		ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: ip})
		if err != nil {
			t.Log(err)
			continue
		}
		t.Cleanup(func() { _ = ln.Close() })
		for port, want := range map[int]int{0: 1, free(ip): 0} {
			d, err := startClient(t, ClientConfig{}).Dialer("ws://"+ln.Addr().String(), DialOptions{
				Endpoint: Endpoint{Handler: HandlerFuncs{}}, LocalAddr: &net.TCPAddr{IP: ip, Port: port},
			})
			if err != nil {
				t.Fatal(err)
			}
			conn, err := d.connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			from := conn.LocalAddr().(*net.TCPAddr)
			if !from.IP.Equal(ip) || from.Port == 0 || port != 0 && from.Port != port {
				t.Errorf("connects from %v", from)
			}
			if got := bindsWithoutPort(t, conn); got != want {
				t.Errorf("%s, port %d: IP_BIND_ADDRESS_NO_PORT is %d, want %d", at, port, got, want)
			}
		}
	}
}

func bindsWithoutPort(t *testing.T, conn net.Conn) (is int) {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		is, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT)
	})
	if err = errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	return is
}
