package tlswire

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
)

// prepare gives the copy of a config that connections use.
func (b *Backend) prepare(c *tls.Config) *tls.Config {
	if c == nil {
		return nil
	}
	c = c.Clone()
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS12
	}
	// There is no HTTP/2 here, though a config of autocert's offers it.
	c.NextProtos = slices.DeleteFunc(slices.Clone(c.NextProtos), func(p string) bool { return p == "h2" })
	if len(c.NextProtos) == 0 {
		c.NextProtos = []string{"http/1.1"}
	}
	// crypto/tls would cut the first 128 KB into records of one packet each. A
	// frame is of use only when it is whole, and each record costs 22 bytes and a
	// call.
	c.DynamicRecordSizingDisabled = true
	b.letWait(c)
	return c
}

// letWait has the callbacks of a config run beside the pool, because they may wait.
func (b *Backend) letWait(c *tls.Config) {
	p := &b.pool
	if get := c.GetCertificate; get != nil {
		c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			defer p.aside()()
			return get(hello)
		}
	}
	if get := c.GetEncryptedClientHelloKeys; get != nil {
		c.GetEncryptedClientHelloKeys = func(hello *tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
			defer p.aside()()
			return get(hello)
		}
	}
	if choose := c.GetConfigForClient; choose != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			defer p.aside()()
			chosen, err := choose(hello)
			if chosen == nil || err != nil {
				return nil, err
			}
			if s, ok := hello.Conn.(*stream); ok && s.shaking != nil {
				s.shaking.most = mostOf(chosen)
			}
			return b.prepare(chosen), nil
		}
	}
	b.letVerifyWait(c)
}

// letVerifyWait is letWait for the callbacks of the client's certificate and its
// session.
func (b *Backend) letVerifyWait(c *tls.Config) {
	p := &b.pool
	if verify := c.VerifyPeerCertificate; verify != nil {
		c.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
			defer p.aside()()
			return verify(raw, chains)
		}
	}
	if verify := c.VerifyConnection; verify != nil {
		c.VerifyConnection = func(state tls.ConnectionState) error {
			defer p.aside()()
			return verify(state)
		}
	}
	if wrap := c.WrapSession; wrap != nil {
		c.WrapSession = func(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
			defer p.aside()()
			return wrap(state, session)
		}
	}
	if unwrap := c.UnwrapSession; unwrap != nil {
		c.UnwrapSession = func(ticket []byte, state tls.ConnectionState) (*tls.SessionState, error) {
			defer p.aside()()
			return unwrap(ticket, state)
		}
	}
}

// mostOf is how much a handshake may bring.
func mostOf(c *tls.Config) int {
	if c.ClientAuth == tls.NoClientCert {
		return maxFlights
	}
	return maxFlights + maxChain
}
