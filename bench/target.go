package bench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/headrace/headrace/engine"
)

// Target is where connections go, and how they are made.
type Target struct {
	// URL is ws://… or wss://…. It is a Template: {i} in it is the connection's number.
	URL string

	Header       http.Header // added to the opening handshake, such as Origin
	Subprotocols []string
	Compress     bool        // offers permessage-deflate
	TLS          *tls.Config // for wss; nil: the system's certificates

	// LocalAddrs are addresses to connect from, in turn: each has some 28,000 ports for
	// one address of a server.
	LocalAddrs []net.IP

	// PID is the server's process, if it runs on this machine and is to be looked at;
	// 0: it is not.
	PID int

	// DialTimeout bounds one opening handshake. Zero means 10 s.
	DialTimeout time.Duration
}

// check says what is wrong with the target.
func (t *Target) check() error {
	if _, err := ParseTemplate(t.URL); err != nil {
		return err
	}
	u, err := url.Parse(t.at(0))
	if err != nil {
		return err
	}
	if u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" {
		return fmt.Errorf("%q is no ws:// or wss:// URL", t.URL)
	}
	if u.Fragment != "" {
		return errors.New("the URL of a WebSocket has no #fragment (RFC 6455 §3)")
	}
	return nil
}

// at gives the URL of a connection.
func (t *Target) at(i int) string {
	url, err := ParseTemplate(t.URL)
	if err != nil {
		return "" // check has said so
	}
	return string(url.AppendTo(nil, i, 0, nil))
}

// options are those of the engine for connection i.
func (t *Target) options(i int, h engine.Handler) engine.DialOptions {
	o := engine.DialOptions{
		Header: t.Header,
		TLS:    t.TLS,
		Endpoint: engine.Endpoint{
			Handler:        h,
			Subprotocols:   t.Subprotocols,
			PingInterval:   -1, // what is measured is the server's traffic, not ours
			MaxMessage:     maxMessage,
			MaxQueue:       maxQueue,
			MaxControlRate: -1,
		},
	}
	if t.Compress {
		o.Compression = &engine.Compression{PeerBits: 15}
	}
	if n := len(t.LocalAddrs); n > 0 {
		o.LocalAddr = &net.TCPAddr{IP: t.LocalAddrs[i%n]}
	}
	return o
}

const (
	maxMessage = 64 << 20
	maxQueue   = 256 << 20
)
