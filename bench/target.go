package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/engine"
)

// Target is where connections go, and how they are made. URL, the values of Header and
// Subprotocols are Templates: {i} in them is the connection's number.
type Target struct {
	// URL is ws://… or wss://…, or ws+unix:/run/app.sock:/path for a unix socket, and
	// wss+unix: for TLS there. Results have it as it stands here, but for a password;
	// so a secret is for Lines. A line in it is escaped.
	URL string

	Header       http.Header // added to the opening handshake, such as Origin
	Subprotocols []string
	Lines        []string    // what {line} stands for; see Template
	Compress     bool        // offers permessage-deflate
	TLS          *tls.Config // for wss; nil: the system's certificates

	// LocalAddrs are addresses to connect from, in turn: each has some 28,000 ports for
	// one address of a server.
	LocalAddrs []net.IP

	// Proxy gives the http proxy to connect through, as engine.DialOptions has it. Nil
	// means none.
	Proxy func(*http.Request) (*url.URL, error)

	// PID is the server's process, if it runs on this machine and is to be looked at;
	// 0: it is not.
	PID int

	// DialTimeout bounds one opening handshake. Zero means 10 s.
	DialTimeout time.Duration
}

// check says what is wrong with the target.
func (t *Target) check() error {
	for _, text := range slices.Concat([]string{t.URL}, t.Subprotocols, t.headerValues()) {
		template, err := ParseTemplate(text)
		switch {
		case err != nil:
			return err
		case template.HasLine() && len(t.Lines) == 0:
			return errors.New("there are no lines for {line} (--lines FILE)")
		}
	}
	for i, line := range t.Lines {
		if line == "" || strings.ContainsFunc(line, isControl) {
			return fmt.Errorf("line %d for {line} is empty, or has control characters", i+1)
		}
	}
	if err := t.checkAddress(); err != nil {
		return err
	}
	if err := t.checkHeader(); err != nil {
		return err
	}
	return t.checkLocal()
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

func (t *Target) headerValues() (all []string) {
	for _, values := range t.Header {
		all = append(all, values...)
	}
	return all
}

// checkHeader looks at what would be left out of a request without a word, and at what
// is the engine's own.
func (t *Target) checkHeader() error {
	for name := range t.Header {
		switch {
		case name == "" || strings.ContainsFunc(name, func(r rune) bool {
			return r <= ' ' || r >= 0x7f || strings.ContainsRune("()<>@,;:\\\"/[]?={}", r)
		}):
			return fmt.Errorf("%q cannot be the name of a header", name)
		case name == "Sec-Websocket-Protocol":
			return errors.New("the header Sec-WebSocket-Protocol is made of the subprotocols (--subprotocol)")
		case name == "Sec-Websocket-Extensions":
			return errors.New("the header Sec-WebSocket-Extensions is made of what is offered (--compress)")
		case slices.Contains([]string{"Upgrade", "Connection", "Sec-Websocket-Key", "Sec-Websocket-Version"}, name):
			return fmt.Errorf("the header %s is made for each handshake", name)
		case slices.ContainsFunc(t.Header[name], func(v string) bool { return strings.ContainsFunc(v, isControl) }):
			return fmt.Errorf("the header %s has control characters", name)
		}
	}
	return nil
}

// options are those of the engine for connection i.
func (t *Target) options(i int, h engine.Handler) engine.DialOptions {
	o := engine.DialOptions{
		Header: t.header(i),
		TLS:    t.TLS,
		Proxy:  t.Proxy,
		Endpoint: engine.Endpoint{
			Handler:        h,
			Subprotocols:   t.filled(t.Subprotocols, i),
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
	if _, _, ok := t.unix(); ok {
		name, _ := t.socket(i)
		o.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", name)
		}
	}
	return o
}

// header is that of connection i.
func (t *Target) header(i int) http.Header {
	h := make(http.Header, len(t.Header))
	for name, values := range t.Header {
		h[name] = t.filled(values, i)
	}
	return h
}

func (t *Target) filled(texts []string, i int) (all []string) {
	for _, text := range texts {
		all = append(all, t.fill(text, i, asItIs))
	}
	return all
}

const (
	maxMessage = 64 << 20
	maxQueue   = 256 << 20
)
