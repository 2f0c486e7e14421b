package engine

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writePair writes a certificate and its key as files.
func writePair(t *testing.T, pair tls.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCertificateReload(t *testing.T) {
	a := newAuthority(t)
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	first, second := a.issue(t, "localhost"), a.issue(t, "localhost")
	writePair(t, first, certFile, keyFile)
	cert, err := LoadCertificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	cert.every = 0
	srv := startServer(t, Config{TLS: &tls.Config{GetCertificate: cert.Get}}, serveEcho)
	want := func(what string, pair tls.Certificate) {
		t.Helper()
		c := connectTLS(t, srv, "/echo", a.client())
		if got := c.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw; !bytes.Equal(got, pair.Certificate[0]) {
			t.Errorf("%s: the server shows another certificate", what)
		}
	}
	want("at the start", first)
	touch := func(name string, when time.Time) {
		if err := os.Chtimes(name, when, when); err != nil {
			t.Fatal(err)
		}
	}
	// Halfway through a renewal the pair doesn't fit.
	writePair(t, second, certFile, filepath.Join(t.TempDir(), "elsewhere"))
	touch(certFile, time.Now().Add(time.Minute))
	want("with half of a new pair", first)
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	want("without a key", first)
	writePair(t, second, certFile, keyFile)
	touch(keyFile, time.Now().Add(2*time.Minute))
	want("with a new pair", second)
}

func TestCertificateIsLookedAtOnceASecond(t *testing.T) {
	a := newAuthority(t)
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	first := a.issue(t, "localhost")
	writePair(t, first, certFile, keyFile)
	cert, err := LoadCertificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	cert.every = time.Hour
	writePair(t, a.issue(t, "a longer name than before"), certFile, keyFile)
	if got, err := cert.Get(nil); err != nil || !bytes.Equal(got.Certificate[0], first.Certificate[0]) {
		t.Error("the files were read before it was time")
	}
}

func TestLoadCertificateRefuses(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	writePair(t, a.issue(t, "one"), file("cert1"), file("key1"))
	writePair(t, a.issue(t, "two"), file("cert2"), file("key2"))
	for _, pair := range [][2]string{{"cert1", "key2"}, {"cert1", "none"}, {"none", "key1"}, {"key1", "cert1"}} {
		if _, err := LoadCertificate(file(pair[0]), file(pair[1])); err == nil {
			t.Errorf("%v is accepted", pair)
		}
	}
}
