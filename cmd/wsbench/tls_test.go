package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// pemFiles are an authority, and a certificate that it has signed.
type pemFiles struct{ ca, cert, key string }

// issue makes a certificate for a name, of a server or a client, by an authority of its
// own.
func issue(t *testing.T, name string) pemFiles {
	t.Helper()
	dir := t.TempDir()
	write := func(file, kind string, der []byte) string {
		file = filepath.Join(dir, file)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	sign := func(c, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
		c.SerialNumber = big.NewInt(time.Now().UnixNano())
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	caKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ca := &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER := sign(ca, ca, caKey, caKey)
	cert := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pemFiles{write("ca", "CERTIFICATE", caDER), write("cert", "CERTIFICATE", sign(cert, ca, key, caKey)), write("key", "EC PRIVATE KEY", keyDER)}
}

// serveTLS starts a server for wss that sends everything back, and keeps which name it
// was asked for last, and by whom.
func serveTLS(t *testing.T, is pemFiles, clients string) (url string, sni, client *atomic.Value) {
	t.Helper()
	sni, client = new(atomic.Value), new(atomic.Value)
	pair, err := tls.LoadX509KeyPair(is.cert, is.key)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sni.Store(r.TLS.ServerName)
		for _, c := range r.TLS.PeerCertificates {
			client.Store(c.Subject.CommonName)
		}
		echo(w, r, 0)
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	if clients != "" {
		srv.TLS.ClientAuth, srv.TLS.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		b, _ := os.ReadFile(clients)
		srv.TLS.ClientCAs.AppendCertsFromPEM(b)
	}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return strings.Replace(srv.URL, "https", "wss", 1), sni, client
}

func TestTLS(t *testing.T) {
	server, user, other := issue(t, "bench.test"), issue(t, "user.test"), issue(t, "bench.test")
	open, sni, _ := serveTLS(t, server, "")
	closed, _, client := serveTLS(t, server, user.ca)
	known := []string{"--ca=" + server.ca, "--server-name=bench.test"}
	for _, c := range []struct {
		name   string
		url    string
		flags  []string
		code   int
		says   string
		sni    string
		client string
	}{
		{"ca", open, known, exitOK, "errors      none", "bench.test", ""},
		{"insecure", open, []string{"--insecure"}, exitOK, "errors      none", "", ""},
		{"insecure with a name", open, []string{"--insecure", "--server-name=x.test"}, exitOK, "errors      none", "x.test", ""},
		{"unknown authority", open, []string{"--server-name=bench.test"}, exitFailed, "unknown authority", "", ""},
		{"another authority", open, []string{"--server-name=bench.test", "--ca=" + other.ca}, exitFailed, "unknown authority", "", ""},
		{"no name", open, []string{"--ca=" + server.ca}, exitFailed, "127.0.0.1", "", ""},
		{"another name", open, []string{"--ca=" + server.ca, "--server-name=x.test"}, exitFailed, "x.test", "", ""},
		{"client", closed, append(known, "--cert="+user.cert, "--key="+user.key), exitOK, "errors      none", "", "user.test"},
		{"no client", closed, known, exitFailed, "certificate required", "", ""},
		{"another client", closed, append(known, "--cert="+other.cert, "--key="+other.key), exitFailed, "tls:", "", ""},
		{"a wrong key", closed, append(known, "--cert="+user.cert, "--key="+other.key), exitUsage, "--cert", "", ""},
		{"no key", closed, append(known, "--cert="+user.cert), exitUsage, "go together", "", ""},
		{"no authority in the file", open, []string{"--ca=" + server.key}, exitUsage, "holds no certificate", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			sni.Store("")
			client.Store("")
			out, errs := mustRun(t, c.code, briefly(append([]string{c.url, "--conns=2"}, c.flags...)...)...)
			if !strings.Contains(out+errs, c.says) {
				t.Errorf("it says %s%s, not %q", out, errs, c.says)
			}
			if sni.Load() != c.sni && c.url == open || client.Load() != c.client {
				t.Errorf("the server was asked for %q, by %q", sni.Load(), client.Load())
			}
		})
	}
}
