package engine

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// testAuthority signs the certificates of a test.
type testAuthority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(tb testing.TB) *testAuthority {
	tb.Helper()
	a := &testAuthority{key: newKey(tb), pool: x509.NewCertPool()}
	a.cert = a.sign(tb, &x509.Certificate{
		Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}, a.key)
	a.pool.AddCert(a.cert)
	return a
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func (a *testAuthority) sign(tb testing.TB, template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	tb.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent := a.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, a.key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

// issue gives a certificate for a name, of a server or a client.
func (a *testAuthority) issue(tb testing.TB, name string) tls.Certificate {
	tb.Helper()
	key := newKey(tb)
	cert := a.sign(tb, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// server is a config with a certificate for localhost.
func (a *testAuthority) server(tb testing.TB) *tls.Config {
	tb.Helper()
	return &tls.Config{Certificates: []tls.Certificate{a.issue(tb, "localhost")}}
}

// client is a config that trusts a.
func (a *testAuthority) client() *tls.Config {
	return &tls.Config{RootCAs: a.pool, ServerName: "localhost"}
}

// startTLS is startServer with TLS, and what a client needs.
func startTLS(tb testing.TB, cfg Config, register func(*Server)) (*Server, *tls.Config) {
	tb.Helper()
	a := newAuthority(tb)
	if cfg.TLS == nil {
		cfg.TLS = a.server(tb)
	}
	return startServer(tb, cfg, register), a.client()
}

// dialTLS makes a TLS connection, and a WebSocket one on it.
func dialTLS(addr, path string, config *tls.Config) (*testClient, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: config}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return upgradeClient(conn, addr, path)
}

// upgradeClient makes a WebSocket connection on a stream.
func upgradeClient(conn net.Conn, addr, path string) (*testClient, error) {
	_ = conn.SetDeadline(time.Now().Add(patience))
	br, _, err := ws.Dialer{}.Upgrade(conn, &url.URL{Scheme: "wss", Host: addr, Path: path})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	if br == nil {
		br = bufio.NewReaderSize(conn, 64<<10)
	}
	return &testClient{Conn: conn, r: br}, nil
}

// connectTLS dials a test's server and hangs up at the end of the test.
func connectTLS(tb testing.TB, srv *Server, path string, config *tls.Config) *testClient {
	tb.Helper()
	c, err := dialTLS(srv.Addr().String(), path, config)
	if err != nil {
		tb.Fatal("dial:", err)
	}
	tb.Cleanup(func() { _ = c.Conn.Close() })
	return c
}
