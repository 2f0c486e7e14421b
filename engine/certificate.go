package engine

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Certificate is a certificate with its key, from files that may be replaced
// while the server runs:
//
//	cert, err := engine.LoadCertificate("cert.pem", "key.pem")
//	cfg.TLS = &tls.Config{GetCertificate: cert.Get}
//
// It looks at the files during handshakes, once a second at most. When one has
// changed, both are read; when they don't load, such as halfway through a
// renewal, the old pair stays in use and the log (slog.Default()) says so.
// Connections that are open keep what they began with.
type Certificate struct {
	// immutable
	certFile, keyFile string
	every             time.Duration // between two looks

	current atomic.Pointer[tls.Certificate]

	mu     sync.Mutex // held while looking; others go on with current
	looked time.Time
	seen   [2]fileStamp // of the last attempt to load, also of one that failed
}

// fileStamp tells that a file has changed.
type fileStamp struct {
	modified time.Time
	size     int64
}

// LoadCertificate reads a certificate, with the chain behind it, and its key, both
// in PEM.
func LoadCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, every: time.Second, looked: time.Now()}
	c.seen = c.stamps() // before the files are read, so that no change is missed
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("engine: load certificate: %w", err)
	}
	c.current.Store(&pair)
	return c, nil
}

// Get gives the certificate, whatever the client asks for. It is meant for
// tls.Config.GetCertificate. Safe from any goroutine.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.mu.TryLock() {
		c.look()
		c.mu.Unlock()
	}
	return c.current.Load(), nil
}

// look reads the files again if they have changed. The caller holds mu.
func (c *Certificate) look() {
	if time.Since(c.looked) < c.every {
		return
	}
	c.looked = time.Now()
	stamps := c.stamps()
	if stamps == c.seen {
		return
	}
	c.seen = stamps
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		slog.Error("the new certificate does not load; the old one stays in use", "file", c.certFile, "err", err)
		return
	}
	c.current.Store(&pair)
	slog.Info("a new certificate is in use", "file", c.certFile, "until", pair.Leaf.NotAfter)
}

// stamps are those of both files, zero for one that is not there.
func (c *Certificate) stamps() (s [2]fileStamp) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			s[i] = fileStamp{info.ModTime(), info.Size()}
		}
	}
	return s
}
