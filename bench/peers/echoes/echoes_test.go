package echoes

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/headrace/headrace/bench"
)

// certificate is for the loopback, and signs itself.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{{127, 0, 0, 1}}}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// patience is how long a message may take.
const patience = 20 * time.Second

// Every library does every job that it is said to do, with every byte of every message.
func TestEveryKindEchoes(t *testing.T) {
	cert := certificate(t)
	for i := range Kinds {
		k := &Kinds[i]
		if k.Name == "nbio" && raceDetector {
			continue // it writes and reads fields of its own from several goroutines without a lock
		}
		for _, o := range []Options{{Deflate: Plain}, {Deflate: Single}, {Deflate: Takeover}, {Deflate: Plain, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}} {
			if !k.Does(o) {
				continue
			}
			addr, err := k.Listen(o)
			if err != nil {
				t.Errorf("%s: %v", k.Name, err)
				continue
			}
			scheme := "ws://"
			if o.TLS != nil {
				scheme = "wss://"
			}
			depth, most := 3, 70_000
			if k.Name == "nbio" && o.TLS != nil { // it damages larger ones over TLS, however it is set up
				depth, most = 1, 1000
			}
			for _, text := range []bool{false, true} {
				r, err := bench.Echo{
					Target: bench.Target{URL: scheme + addr + "/", Compress: o.Deflate != Plain, TLS: &tls.Config{InsecureSkipVerify: true}},
					Conns:  4, InFlight: depth, Text: text, Sizes: bench.Sizes{Min: 20, Max: most}, Duration: 200 * time.Millisecond, Loops: 1,
					Patience: patience, Grace: patience,
				}.Run(context.Background(), nil)
				if err != nil {
					t.Errorf("%s, %s%s: %v", k.Name, scheme, o.Deflate, err)
				} else if r.Counts.Errors() > 0 || r.Counts.Received == 0 {
					t.Errorf("%s, %s%s: %+v, refused %v, ended %v", k.Name, scheme, o.Deflate, r.Counts, r.Refused, r.Ended)
				}
			}
		}
	}
}
