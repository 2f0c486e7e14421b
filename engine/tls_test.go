package engine

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

func TestTLSEcho(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			srv, config := startTLS(t, Config{}, serveEcho)
			config.MinVersion, config.MaxVersion = version, version
			c := connectTLS(t, srv, "/echo", config)
			for _, size := range []int{0, 1, 125, 126, 1 << 10, 16<<10 - 4, 16 << 10, 64 << 10, 300 << 10} {
				if err := c.echo(codec.OpText, strings.Repeat("x", size)); err != nil {
					t.Fatalf("%d bytes: %v", size, err)
				}
			}
			for i := range 100 { // pipelined
				if err := c.send(codec.OpText, fmt.Append(nil, i)); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 100 {
				if err := c.expect(codec.OpText, fmt.Sprint(i)); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.send(codec.OpClose, codec.AppendClose(nil, 1000, "")); err != nil {
				t.Fatal(err)
			}
			if err := c.expectClose(1000, ""); err != nil {
				t.Error(err)
			}
		})
	}
}

// slowly writes each byte by itself.
type slowly struct{ net.Conn }

func (s slowly) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := s.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func TestTLSByteByByte(t *testing.T) {
	srv, config := startTLS(t, Config{}, serveEcho)
	raw, err := net.Dial("tcp", srv.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close() //nolint:errcheck // a test's end
	c, err := upgradeClient(tls.Client(slowly{raw}, config), srv.Addr().String(), "/echo")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.echo(codec.OpText, strings.Repeat("slow", 500)); err != nil {
		t.Error(err)
	}
}

func TestTLSServerName(t *testing.T) {
	a := newAuthority(t)
	one, two := a.issue(t, "one.test"), a.issue(t, "two.test")
	srv := startServer(t, Config{TLS: &tls.Config{Certificates: []tls.Certificate{one, two}}}, serveEcho)
	for _, name := range []string{"one.test", "two.test"} {
		config := a.client()
		config.ServerName = name // which the client checks
		c := connectTLS(t, srv, "/echo", config)
		if err := c.echo(codec.OpText, name); err != nil {
			t.Error(err)
		}
	}
}

func TestTLSNextProto(t *testing.T) {
	srv, config := startTLS(t, Config{}, serveEcho)
	for _, row := range []struct {
		offers []string
		want   string // "": refused
	}{
		{[]string{"http/1.1"}, "http/1.1"},
		{[]string{"h2", "http/1.1"}, "http/1.1"},
		{[]string{"h2"}, ""},
	} {
		config := config.Clone()
		config.NextProtos = row.offers
		conn, err := tls.Dial("tcp", srv.Addr().String(), config)
		if err != nil {
			if row.want != "" || !strings.Contains(err.Error(), "no application protocol") {
				t.Errorf("%v: %v", row.offers, err)
			}
			continue
		}
		if got := conn.ConnectionState().NegotiatedProtocol; got != row.want {
			t.Errorf("%v: negotiated %q, want %q", row.offers, got, row.want)
		}
		_ = conn.Close()
	}
}

func TestTLSClientCertificate(t *testing.T) {
	a := newAuthority(t)
	config := a.server(t)
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, a.pool
	names := make(chan string, 2)
	srv := startServer(t, Config{TLS: config}, func(s *Server) {
		s.Handle("/echo", Endpoint{
			Handler: HandlerFuncs{
				Open: func(c *Conn) {
					names <- c.Request().TLS().PeerCertificates[0].Subject.CommonName
				},
				Message: echoHandler.Message,
			},
			Admit: func(r *Request) error {
				names <- r.TLS().VerifiedChains[0][0].Subject.CommonName
				return nil
			},
		})
	})
	with := a.client()
	with.Certificates = []tls.Certificate{a.issue(t, "bora")}
	c := connectTLS(t, srv, "/echo", with)
	if err := c.echo(codec.OpText, "hello"); err != nil {
		t.Fatal(err)
	}
	if inAdmit, inOpen := <-names, <-names; inAdmit != "bora" || inOpen != "bora" {
		t.Errorf("Admit sees %q, OnOpen %q", inAdmit, inOpen)
	}
	if c, err := dialTLS(srv.Addr().String(), "/echo", a.client()); err == nil {
		_ = c.Close()
		t.Error("a client without a certificate is served")
	} else if !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("a client without a certificate gets %v", err)
	}
}

func TestTLSResumption(t *testing.T) {
	srv, config := startTLS(t, Config{}, serveEcho)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for i := range 3 {
		c := connectTLS(t, srv, "/echo", config)
		if err := c.echo(codec.OpText, "hello"); err != nil { // the ticket has come by then
			t.Fatal(err)
		}
		if resumed := c.Conn.(*tls.Conn).ConnectionState().DidResume; resumed != (i > 0) {
			t.Errorf("connection %d: resumed: %v", i, resumed)
		}
		_ = c.Close()
	}
}

func TestTLSWrongProtocol(t *testing.T) {
	srv, _ := startTLS(t, Config{Listeners: []Listener{{Addr: "127.0.0.1:0"}}}, serveEcho)
	secure, plain := srv.Addrs()[0].String(), srv.Addrs()[1].String()
	for _, row := range []struct{ name, addr, say, hears string }{
		{"http to the TLS port", secure, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.0 400 Bad Request\r\n"},
		{"garbage to the TLS port", secure, "\x00\x01\x02\x03\x04", "\x15\x03\x01\x00\x02\x02\x0a"},
		{"a broken hello", secure, "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "\x15\x03\x01\x00\x02\x02\x32"},
		{"TLS to the plain port", plain, "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := net.Dial("tcp", row.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close() //nolint:errcheck // a test's end
			_ = c.SetDeadline(time.Now().Add(patience))
			if _, err := io.WriteString(c, row.say); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(c)
			if err != nil || !strings.HasPrefix(string(got), row.hears) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// hello is the beginning of a TLS handshake.
func hello(t *testing.T) []byte {
	t.Helper()
	here, there := net.Pipe()
	defer here.Close() //nolint:errcheck // a pipe
	go func() {
		_ = tls.Client(there, &tls.Config{InsecureSkipVerify: true}).Handshake()
		_ = there.Close()
	}()
	p := make([]byte, 16<<10)
	n, err := here.Read(p)
	if err != nil {
		t.Fatal(err)
	}
	return p[:n]
}

func TestTLSHandshakeTimeout(t *testing.T) {
	srv, _ := startTLS(t, Config{HandshakeTimeout: 300 * time.Millisecond, CloseTimeout: time.Second}, serveEcho)
	first := hello(t)
	for name, row := range map[string]struct {
		say   []byte
		hears string
	}{
		"silent":       {nil, "\x15\x03\x01\x00\x02\x02\x50"},
		"half a hello": {first[:50], "\x15\x03\x01\x00\x02\x02\x50"},
		"a hello":      {first, "\x16\x03\x03"}, // and the end
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", srv.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close() //nolint:errcheck // a test's end
			_ = c.SetDeadline(time.Now().Add(patience))
			_, _ = c.Write(row.say)
			got, err := io.ReadAll(c)
			if err != nil || !strings.HasPrefix(string(got), row.hears) {
				t.Errorf("got %.20q, %v", got, err)
			}
		})
	}
}

func TestTLSHangUpInTheHandshake(t *testing.T) {
	srv, config := startTLS(t, Config{MaxTLSHandshakes: 3}, serveEcho)
	first := hello(t)
	for i := range 40 {
		c, err := net.Dial("tcp", srv.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(first[:1+i*len(first)/40])
		if i%2 == 0 {
			_ = c.(*net.TCPConn).SetLinger(0) // a reset
		}
		_ = c.Close()
	}
	waitFor(t, "the connections' end", func() bool { return srv.Connections() == 0 })
	if err := connectTLS(t, srv, "/echo", config).echo(codec.OpText, "still here"); err != nil {
		t.Error(err)
	}
}

// waitFor waits for what other goroutines bring about.
func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s does not come", what)
		}
	}
}

// A handshake is refused when none of those under way waits for its client.
func TestTLSTooManyHandshakes(t *testing.T) {
	a := newAuthority(t)
	cert := a.issue(t, "localhost")
	inside, goOn := make(chan struct{}, 2), make(chan struct{})
	srv := startServer(t, Config{MaxTLSHandshakes: 2, TLS: &tls.Config{
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if h.ServerName == "" {
				inside <- struct{}{}
				<-goOn
			}
			return &cert, nil
		},
	}}, serveEcho)
	defer close(goOn)
	config := a.client()
	before := connectTLS(t, srv, "/echo", config)
	first := hello(t)
	for range 2 {
		c, err := net.Dial("tcp", srv.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // a test's end
		_, _ = c.Write(first)
		<-inside
	}
	if c, err := dialTLS(srv.Addr().String(), "/echo", config); err == nil {
		_ = c.Close()
		t.Error("a third handshake is served")
	} else if !strings.Contains(err.Error(), "internal error") {
		t.Errorf("a third handshake gets %v, want an alert", err)
	}
	if err := before.echo(codec.OpText, "I was here before"); err != nil {
		t.Error(err)
	}
}

func TestTLSGarbageRecord(t *testing.T) {
	ends := make(chan CloseInfo, 1)
	srv, config := startTLS(t, Config{Loops: 1}, func(s *Server) {
		serveEcho(s)
		s.Handle("/watched", Endpoint{Handler: HandlerFuncs{
			Message: echoHandler.Message,
			Close:   func(_ *Conn, info CloseInfo) { ends <- info },
		}})
	})
	other := connectTLS(t, srv, "/echo", config)
	c := connectTLS(t, srv, "/watched", config)
	if err := c.echo(codec.OpText, "good"); err != nil {
		t.Fatal(err)
	}
	secured := c.Conn.(*tls.Conn)
	if _, err := io.WriteString(secured.NetConn(), "\x17\x03\x03\x00\x20"+strings.Repeat("x", 32)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.recv(); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
		t.Errorf("the peer hears %v, want an alert", err)
	}
	_ = c.Close()
	select {
	case info := <-ends:
		if info.Code != codec.CloseAbnormal || info.Initiator != Remote || info.Err == nil || info.Clean {
			t.Errorf("it ended with %+v", info)
		}
	case <-time.After(patience):
		t.Error("OnClose was not called")
	}
	if err := other.echo(codec.OpText, "not affected"); err != nil {
		t.Error(err)
	}
}

func TestTLSPanicInGetCertificate(t *testing.T) {
	a := newAuthority(t)
	cert := a.issue(t, "localhost")
	srv := startServer(t, Config{TLS: &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if h.ServerName == "panic.test" {
			panic("no such name")
		}
		if h.Conn.RemoteAddr() == nil || h.Conn.LocalAddr() == nil {
			return nil, errors.New("there are no addresses")
		}
		return &cert, nil
	}}}, serveEcho)
	bad := a.client()
	bad.ServerName = "panic.test"
	if c, err := dialTLS(srv.Addr().String(), "/echo", bad); err == nil {
		_ = c.Close()
		t.Error("the handshake succeeds")
	}
	if err := connectTLS(t, srv, "/echo", a.client()).echo(codec.OpText, "alive"); err != nil {
		t.Error(err)
	}
}

func TestTLSUnknownAuthority(t *testing.T) {
	srv, _ := startTLS(t, Config{}, serveEcho)
	_, err := dialTLS(srv.Addr().String(), "/echo", newAuthority(t).client())
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		t.Errorf("got %v", err)
	}
	waitFor(t, "the connection's end", func() bool { return srv.Connections() == 0 })
}
