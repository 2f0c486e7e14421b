package engine

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/tlswire"
)

// DialOptions say how a Dialer connects, and what becomes of the connections. Only
// Endpoint.Handler is required.
type DialOptions struct {
	// Endpoint has the handler and the limits. Origins and Admit have no meaning
	// here; Subprotocols are offered, in this order.
	Endpoint

	// Header is added to the request, such as Authorization or Origin.
	Header http.Header

	// TLS is for wss. Nil means the system's certificates and the name in the URL.
	TLS *tls.Config

	// LocalAddr is the address to connect from. Nil lets the system choose. Without a
	// port it has as many connections as there are ephemeral ports, to each address
	// that is dialed.
	LocalAddr *net.TCPAddr

	// DialContext, if not nil, makes the connection to the server, or to the proxy,
	// in place of net.Dialer, and LocalAddr has no meaning then. It must give a
	// *net.TCPConn or a *net.UnixConn, such as one to a unix socket whatever the URL
	// says:
	//
	//	DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
	//		return new(net.Dialer).DialContext(ctx, "unix", "/run/app.sock")
	//	},
	//
	// Dial takes ownership of what it gives. It is called on Dial's goroutine.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// Proxy gives the proxy to connect through, an http URL, or nil for none, as
	// http.ProxyFromEnvironment does. Nil means none.
	Proxy func(*http.Request) (*url.URL, error)

	// Check, if not nil, looks at the answer that grants the handshake. An error
	// ends the connection and is returned by Dial. It runs on Dial's goroutine.
	Check func(*http.Response) error
}

// HandshakeError says that a server did not grant the opening handshake.
type HandshakeError struct {
	// Response is what the server has answered. Its Body has the first 4 KB.
	Response *http.Response
	// What is wrong with it.
	What string
}

// Error implements error.
func (e *HandshakeError) Error() string {
	return fmt.Sprintf("engine: the server does not grant the handshake: %s (%s)", e.What, e.Response.Status)
}

// Dialer makes connections to one URL.
type Dialer struct {
	client   *Client
	opts     DialOptions
	endpoint *endpoint
	url      *url.URL
	host     string // to connect to, with a port
	tls      *tls.Config
}

// Dialer prepares connections to a ws or wss URL. A user name and password in it are
// sent with the request (RFC 7617), unless DialOptions.Header has an Authorization.
func (c *Client) Dialer(rawURL string, opts DialOptions) (*Dialer, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil && strings.Contains(rawURL, "@"): // err has the URL, and that may have a password
		return nil, errors.New("engine: dial: the URL is malformed")
	case err != nil:
		return nil, fmt.Errorf("engine: dial: %w", err)
	case u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" || u.Fragment != "":
		named := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, Fragment: u.Fragment}
		return nil, fmt.Errorf("engine: dial %q: it must be ws://host[:port]/path or wss://, without a fragment (RFC 6455 §3)", &named)
	}
	setDefault(&u.Path, "/")
	ep, err := newEndpoint(u.EscapedPath(), opts.Endpoint)
	if err != nil {
		return nil, err
	}
	ep.rules.Side, ep.deflateRules.Side = codec.Client, codec.Client
	d := &Dialer{client: c, opts: opts, endpoint: ep, url: u, host: withPort(u)}
	if u.Scheme == "wss" {
		d.tls = opts.TLS.Clone()
		if d.tls == nil {
			d.tls = new(tls.Config)
		}
		setDefault(&d.tls.ServerName, u.Hostname())
		if d.tls.NextProtos == nil {
			d.tls.NextProtos = []string{"http/1.1"}
		}
	}
	return d, nil
}

// withPort is the address of a URL's host.
func withPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "http": "80", "wss": "443", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// Dial connects, and returns when the connection is open: OnOpen has been called
// by then. ctx and ClientConfig.HandshakeTimeout bound the time. It blocks, on a
// goroutine of the caller's; afterwards the connection has none. Safe from any
// goroutine. A server that refuses gives a *HandshakeError.
func (d *Dialer) Dial(ctx context.Context) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.client.host.cfg.HandshakeTimeout)
	defer cancel()
	conn, err := d.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("engine: dial %s: %w", d.url.Redacted(), err)
	}
	return conn, nil
}

func (d *Dialer) dial(ctx context.Context) (*Conn, error) {
	raw, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	// A deadline of the past wakes whoever waits when ctx ends.
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	conn := raw
	if d.tls != nil {
		conn = tlswire.Client(conn, d.tls)
	}
	granted, err := d.shake(conn)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, err
	}
	return d.client.adopt(ctx, conn, granted)
}

// singly reads single bytes, so many at most.
type singly struct {
	r    io.Reader
	left int
}

func (s *singly) Read(p []byte) (int, error) {
	if s.left--; s.left < 0 {
		return 0, errAnswerTooLong
	}
	return s.r.Read(p[:min(1, len(p))])
}

const (
	maxAnswer    = 64 << 10
	bodyPatience = 500 * time.Millisecond // for the text of a refusal
)

var errAnswerTooLong = errors.New("the answer's headers are too long")

// granted is what a server has agreed to.
type granted struct {
	id      *identity
	deflate *deflation
	behind  []byte // frames that came with the answer
}

// shake makes the opening handshake (RFC 6455 §4.1).
func (d *Dialer) shake(conn net.Conn) (*granted, error) {
	request, key := d.request()
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: conn, N: maxAnswer}
	br := bufio.NewReader(limited)
	answer, err := readAnswer(br, request)
	if err != nil {
		if limited.N <= 0 {
			err = errAnswerTooLong
		}
		return nil, err
	}
	g, what := d.judge(answer, key)
	if what != "" {
		_ = conn.SetReadDeadline(time.Now().Add(bodyPatience)) // it may have no end
		head, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
		answer.Body = io.NopCloser(bytes.NewReader(head))
		return nil, &HandshakeError{Response: answer, What: what}
	}
	if d.opts.Check != nil {
		if err := d.opts.Check(answer); err != nil {
			return nil, err
		}
	}
	if n := br.Buffered(); n > 0 { // else it would keep the reader's buffer for as long as the connection lives
		g.behind, _ = br.Peek(n)
	}
	return g, nil
}

// readAnswer reads the answer to a request, and passes over those before it that only
// inform (RFC 9110 §15.2).
func readAnswer(br *bufio.Reader, request *http.Request) (*http.Response, error) {
	for {
		answer, err := http.ReadResponse(br, request)
		if err != nil || answer.StatusCode/100 != 1 || answer.StatusCode == http.StatusSwitchingProtocols {
			return answer, err
		}
	}
}

func (d *Dialer) request() (r *http.Request, key string) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	key = base64.StdEncoding.EncodeToString(nonce[:])
	r = &http.Request{Method: http.MethodGet, URL: d.url, Host: d.url.Host, ProtoMajor: 1, ProtoMinor: 1, Header: d.opts.Header.Clone()}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if h := r.Header.Get("Host"); h != "" {
		r.Host = h
	}
	if u := d.url.User; u != nil && r.Header.Get("Authorization") == "" {
		password, _ := u.Password()
		r.SetBasicAuth(u.Username(), password)
	}
	if _, given := r.Header["User-Agent"]; !given {
		r.Header.Set("User-Agent", "headrace")
	}
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", key)
	if len(d.opts.Subprotocols) > 0 {
		r.Header.Set("Sec-WebSocket-Protocol", strings.Join(d.opts.Subprotocols, ", "))
	}
	if z := d.endpoint.Compression; z != nil {
		r.Header.Set("Sec-WebSocket-Extensions", string(z.options().AppendOffer(nil)))
	}
	return r, key
}

// judge checks the answer (RFC 6455 §4.1, the last list). what says what is wrong.
func (d *Dialer) judge(answer *http.Response, key string) (g *granted, what string) {
	h := answer.Header
	protocols, accepts := h.Values("Sec-WebSocket-Protocol"), h.Values("Sec-WebSocket-Accept")
	switch {
	case answer.StatusCode != http.StatusSwitchingProtocols:
		return nil, "it refuses"
	case !answer.ProtoAtLeast(1, 1): // it cannot mean what it says (RFC 9110 §15.2)
		return nil, "it speaks HTTP/1.0"
	case !equalFold([]byte(h.Get("Upgrade")), "websocket"):
		return nil, "Upgrade is not websocket"
	case !hasTokenIn(h.Values("Connection"), "upgrade"):
		return nil, "Connection does not have Upgrade"
	case len(accepts) != 1 || accepts[0] != acceptOf(key):
		return nil, "Sec-WebSocket-Accept does not belong to the key"
	case len(protocols) > 1 || len(protocols) == 1 && !slices.Contains(d.opts.Subprotocols, protocols[0]):
		return nil, "a subprotocol that was not offered"
	}
	g = &granted{id: d.endpoint.identify(h.Get("Sec-WebSocket-Protocol"))}
	var answers [][]byte
	for _, v := range h.Values("Sec-WebSocket-Extensions") {
		if v != "" { // an empty list is none (RFC 9110 §5.6.1)
			answers = append(answers, []byte(v))
		}
	}
	var options codec.DeflateOptions
	if z := d.endpoint.Compression; z != nil {
		options = z.options()
	} else if len(answers) > 0 {
		return nil, "an extension that was not offered"
	}
	params, ok, err := options.CheckAnswer(answers)
	if err != nil {
		return nil, err.Error()
	}
	if ok {
		g.deflate = &deflation{params: params}
	}
	return g, ""
}

// hasTokenIn is requestHead.hasToken for the values of a header of net/http.
func hasTokenIn(values []string, token string) bool {
	for _, list := range values {
		for one := range strings.SplitSeq(list, ",") {
			if equalFold([]byte(strings.Trim(one, " \t")), token) {
				return true
			}
		}
	}
	return false
}

// acceptOf is what the server makes of a key (RFC 6455 §1.3).
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
