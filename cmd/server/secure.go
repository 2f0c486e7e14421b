package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"strings"
	"time"

	"github.com/headrace/headrace/engine"
)

// secure gives the TLS that the settings ask for, nil for none, and what to say
// about it.
func secure(opts *options, logger *slog.Logger) (config *tls.Config, note string, err error) {
	switch {
	case opts.tlsSelfSigned:
		cert, err := selfSigned(time.Now())
		if err != nil {
			return nil, "", fmt.Errorf("make a certificate: %w", err)
		}
		return &tls.Config{Certificates: []tls.Certificate{cert}}, selfSignedNote(cert), nil
	case opts.tlsCert != "":
		for _, f := range []struct{ setting, name string }{{"tls-cert", opts.tlsCert}, {"tls-key", opts.tlsKey}} {
			if _, err := os.ReadFile(f.name); err != nil {
				return nil, "", fmt.Errorf("%s: the file cannot be read: %w", opts.cite(f.setting), cause(err))
			}
		}
		cert, err := engine.LoadCertificate(opts.tlsCert, opts.tlsKey)
		if err != nil {
			return nil, "", fmt.Errorf("%s, %s: they must be PEM, and the key that of the certificate: %w",
				opts.cite("tls-cert"), opts.cite("tls-key"), errors.Unwrap(err))
		}
		warnOfDates(cert, logger)
		return &tls.Config{GetCertificate: cert.Get}, "", nil
	default:
		return nil, "", nil
	}
}

// warnOfDates warns of a certificate that browsers will refuse today.
func warnOfDates(cert *engine.Certificate, logger *slog.Logger) {
	pair, err := cert.Get(nil)
	if err != nil || pair.Leaf == nil {
		return
	}
	switch now := time.Now(); {
	case now.After(pair.Leaf.NotAfter):
		logger.Warn("the certificate has expired: clients will refuse it", "since", pair.Leaf.NotAfter)
	case now.Before(pair.Leaf.NotBefore):
		logger.Warn("the certificate is not valid yet: clients will refuse it", "until", pair.Leaf.NotBefore)
	}
}

// selfSignedFor is how long a certificate of our own is valid. It lives in memory
// only, so a new start makes a new one.
const selfSignedFor = 14 * 24 * time.Hour

// selfSigned makes a certificate for this machine, signed by nobody else.
func selfSigned(now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	names := []string{"localhost"}
	if host, err := os.Hostname(); err == nil && host != "localhost" {
		names = append(names, host)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: program + ", self-signed"},
		NotBefore:    now.Add(-time.Hour), // for clocks that are a little late
		NotAfter:     now.Add(selfSignedFor),
		DNSNames:     names,
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// selfSignedNote says what a browser is going to say, and how to see that it
// speaks to this server.
func selfSignedNote(cert tls.Certificate) string {
	var hex []string
	for _, b := range sha256.Sum256(cert.Certificate[0]) {
		hex = append(hex, fmt.Sprintf("%02X", b))
	}
	return "The certificate is self-signed: browsers warn of it. It is this server's if its SHA-256 fingerprint is\n  " +
		strings.Join(hex[:16], ":") + ":\n  " + strings.Join(hex[16:], ":") + "\n"
}
