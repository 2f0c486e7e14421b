package engine

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// oneWorker leaves the handshakes of the servers that a test starts one worker.
func oneWorker(t *testing.T) {
	t.Helper()
	before := runtime.GOMAXPROCS(2)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// Callbacks of the config may wait, for another handshake of the same server too:
// that is how TLS-ALPN-01 gets a certificate.
func TestTLSCallbackThatWaits(t *testing.T) {
	for name, install := range map[string]func(c *tls.Config, call func(name string)){
		"GetCertificate": func(c *tls.Config, call func(string)) {
			cert := &c.Certificates[0]
			c.Certificates = nil
			c.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
				call(h.ServerName)
				return cert, nil
			}
		},
		"GetConfigForClient": func(c *tls.Config, call func(string)) {
			c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
				call(h.ServerName)
				return nil, nil
			}
		},
		"a callback of its config": func(c *tls.Config, call func(string)) {
			chosen := c.Clone()
			chosen.VerifyConnection = func(s tls.ConnectionState) error { call(s.ServerName); return nil }
			c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return chosen, nil }
		},
		"VerifyConnection": func(c *tls.Config, call func(string)) {
			c.VerifyConnection = func(s tls.ConnectionState) error { call(s.ServerName); return nil }
		},
		"VerifyPeerCertificate": func(c *tls.Config, call func(string)) {
			c.ClientAuth = tls.RequireAnyClientCert
			c.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
				cert, err := x509.ParseCertificate(raw[0])
				if err == nil {
					call(cert.Subject.CommonName)
				}
				return err
			}
		},
		"WrapSession": func(c *tls.Config, call func(string)) {
			c.WrapSession = func(s tls.ConnectionState, _ *tls.SessionState) ([]byte, error) {
				call(s.ServerName)
				return []byte("a ticket"), nil
			}
		},
		"GetEncryptedClientHelloKeys": func(c *tls.Config, call func(string)) {
			c.GetEncryptedClientHelloKeys = func(h *tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
				call(h.ServerName)
				return nil, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			oneWorker(t)
			a := newAuthority(t)
			config := a.server(t)
			waiting, other := make(chan struct{}), make(chan struct{})
			install(config, func(name string) {
				switch name {
				case "slow.test":
					close(waiting)
					<-other
				case "fast.test":
					close(other)
				}
			})
			srv := startServer(t, Config{TLS: config}, serveEcho)
			dial := func(name string) error {
				client := a.client()
				client.InsecureSkipVerify, client.ServerName = true, name
				client.ClientSessionCache = tls.NewLRUClientSessionCache(1) // else no session is wrapped
				client.Certificates = []tls.Certificate{a.issue(t, name)}
				c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", srv.Addr().String(), client)
				if err == nil {
					_ = c.SetDeadline(time.Now().Add(patience))
					_, err = upgradeClient(c, srv.Addr().String(), "/echo") // with TLS 1.3 the server may be behind
					_ = c.Close()
				}
				return err
			}
			slow := make(chan error, 1)
			go func() { slow <- dial("slow.test") }()
			select {
			case <-waiting:
			case err := <-slow:
				t.Fatal("the callback was not called:", err)
			}
			if err := dial("fast.test"); err != nil {
				t.Error("while a callback waits:", err)
				close(other)
			}
			if err := <-slow; err != nil {
				t.Error("the one that has waited:", err)
			}
		})
	}
}

// A callback that ends its goroutine ends one handshake.
func TestTLSCallbackThatCallsGoexit(t *testing.T) {
	oneWorker(t)
	a := newAuthority(t)
	cert := a.issue(t, "localhost")
	var calls atomic.Int32
	srv := startServer(t, Config{TLS: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if calls.Add(1) <= 3 {
			runtime.Goexit()
		}
		return &cert, nil
	}}}, serveEcho)
	for range 3 {
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", srv.Addr().String(), a.client())
		if err == nil {
			_ = c.Close()
			t.Error("the handshake succeeds")
		} else if strings.Contains(err.Error(), "timeout") {
			t.Fatal("the handshake does not end:", err)
		}
	}
	if err := connectTLS(t, srv, "/echo", a.client()).echo(codec.OpText, "alive"); err != nil {
		t.Error(err)
	}
}

// The config of GetConfigForClient is made fit as Config.TLS is.
func TestTLSConfigForClientOffersNoHTTP2(t *testing.T) {
	a := newAuthority(t)
	chosen := a.server(t)
	chosen.NextProtos = []string{"h2", "http/1.1"}
	srv := startServer(t, Config{TLS: &tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return chosen, nil },
	}}, func(s *Server) { s.HandleHTTP(http.NotFoundHandler()) })
	client := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: a.client(), ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	answer, err := client.Get("https://" + srv.Addr().String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.ProtoMajor != 1 || len(chosen.NextProtos) != 2 {
		t.Errorf("answered with %s; the config offers %v now", answer.Proto, chosen.NextProtos)
	}
}

// Ticket keys change with the config that GetConfigForClient gives.
func TestTLSTicketKeysOfConfigForClient(t *testing.T) {
	a := newAuthority(t)
	config := a.server(t)
	config.SetSessionTicketKeys([][32]byte{{1}})
	var current atomic.Pointer[tls.Config]
	current.Store(config)
	srv := startServer(t, Config{TLS: &tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return current.Load(), nil },
	}}, serveEcho)
	client := a.client()
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for i, want := range []bool{false, true, false, true} {
		if i == 2 {
			next := config.Clone()
			next.SetSessionTicketKeys([][32]byte{{2}})
			current.Store(next)
		}
		c := connectTLS(t, srv, "/echo", client)
		if err := c.echo(codec.OpText, "hello"); err != nil { // the ticket has come by then
			t.Fatal(err)
		}
		if resumed := c.Conn.(*tls.Conn).ConnectionState().DidResume; resumed != want {
			t.Errorf("connection %d: resumed: %v", i, resumed)
		}
		_ = c.Close()
	}
}
