package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// answering is a server that reads a request and answers with what give makes of
// its key; nil answers nothing, and holds the connection.
func answering(t *testing.T, give func(accept string) []string) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			request, err := http.ReadRequest(bufio.NewReader(conn))
			if err != nil {
				continue
			}
			if lines := give(acceptKey(request.Header.Get("Sec-WebSocket-Key"))); lines != nil {
				_, _ = io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n")
			}
		}
	}()
	return ln.Addr().String()
}

// What a client must not take for a granted handshake (RFC 6455 §4.1).
func TestDialChecksTheAnswer(t *testing.T) {
	good := func(accept string) []string {
		return []string{"HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: " + accept}
	}
	client := startClient(t, ClientConfig{})
	for name, row := range map[string]struct {
		change func(lines []string) []string
		offer  *Compression
		want   string
	}{
		"good": {func(l []string) []string { return l }, nil, ""},
		"any-case": {func(l []string) []string {
			l[1], l[2] = "upgrade: WebSocket", "connection: keep-alive, upgrade"
			return l
		}, nil, ""},
		"status-200":        {func(l []string) []string { l[0] = "HTTP/1.1 200 OK"; return l }, nil, "it refuses"},
		"no-upgrade":        {func(l []string) []string { l[1] = "X: y"; return l }, nil, "Upgrade is not websocket"},
		"no-connection":     {func(l []string) []string { l[2] = "Connection: close"; return l }, nil, "Connection does not have Upgrade"},
		"wrong-accept":      {func(l []string) []string { l[3] += "x"; return l }, nil, "does not belong to the key"},
		"foreign-protocol":  {func(l []string) []string { return append(l, "Sec-WebSocket-Protocol: z") }, nil, "subprotocol that was not offered"},
		"foreign-extension": {func(l []string) []string { return append(l, "Sec-WebSocket-Extensions: permessage-deflate") }, nil, "extension that was not offered"},
		"unknown-extension": {func(l []string) []string { return append(l, "Sec-WebSocket-Extensions: x") }, &Compression{}, "extension that was not offered"},
		"unasked-parameter": {func(l []string) []string { return append(l, "Sec-WebSocket-Extensions: permessage-deflate; x") }, &Compression{}, "does not keep to the offer"},
		"endless-header":    {func(l []string) []string { return append(l, "X: "+strings.Repeat("x", 2*maxAnswer)) }, nil, "too long"},
		"no-http":           {func([]string) []string { return []string{"hello"} }, nil, "malformed"},
		"agreed-compression": {func(l []string) []string {
			return append(l, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover")
		}, &Compression{}, ""},
	} {
		t.Run("4.1/"+name, func(t *testing.T) {
			addr := answering(t, func(accept string) []string { return row.change(good(accept)) })
			conn, err := dialWith(t, client, "ws://"+addr, DialOptions{Endpoint: Endpoint{Handler: HandlerFuncs{}, Compression: row.offer}})
			switch {
			case row.want == "" && err != nil:
				t.Error(err)
			case row.want == "":
				_ = conn.Close(CloseNormal, "")
			case err == nil || !strings.Contains(err.Error(), row.want):
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
	// The good ones end when their servers do.
}

func TestDialGivesUpOnASilentServer(t *testing.T) {
	addr := answering(t, func(string) []string { return nil })
	client := startClient(t, ClientConfig{HandshakeTimeout: 200 * time.Millisecond})
	if _, err := dialWith(t, client, "ws://"+addr, DialOptions{Endpoint: Endpoint{Handler: HandlerFuncs{}}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Dial gives %v", err)
	}
	if _, err := dialWith(t, client, "wss://"+addr, DialOptions{Endpoint: Endpoint{Handler: HandlerFuncs{}}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Dial over TLS gives %v", err)
	}
}

func TestDialThroughAProxy(t *testing.T) {
	srv := startServer(t, Config{}, serveEcho)
	var asked atomic.Int32
	proxy := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != "Basic dTpw" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		asked.Add(1)
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		here, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); _ = there.Close() }()
		_, _ = io.Copy(here, there)
		_ = here.Close()
	})}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = proxy.Serve(ln) }()
	t.Cleanup(func() { _ = proxy.Close() })
	got := make(chan string, 1)
	opts := DialOptions{
		Endpoint: Endpoint{Handler: HandlerFuncs{Message: func(_ *Conn, _ Op, p []byte) { got <- string(p) }}},
		Proxy:    http.ProxyURL(&url.URL{Scheme: "http", Host: ln.Addr().String(), User: url.UserPassword("u", "p")}),
	}
	client := startClient(t, ClientConfig{})
	conn := mustDial(t, client, fmt.Sprintf("ws://%s/echo", srv.Addr()), opts)
	if err := conn.Send(Text, []byte("through")); err != nil {
		t.Fatal(err)
	}
	if p := next(t, got); p != "through" || asked.Load() != 1 {
		t.Errorf("got %q, the proxy was asked %d times", p, asked.Load())
	}
	opts.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: ln.Addr().String()})
	if _, err := dialWith(t, client, fmt.Sprintf("ws://%s/echo", srv.Addr()), opts); err == nil || !strings.Contains(err.Error(), "407") {
		t.Errorf("a proxy that refuses gives %v", err)
	}
}

func TestDialFromAnAddress(t *testing.T) {
	remote := make(chan string, 1)
	srv := startServer(t, Config{}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: HandlerFuncs{Open: func(c *Conn) { remote <- c.Remote().String() }}})
	})
	mustDial(t, startClient(t, ClientConfig{}), fmt.Sprintf("ws://%s/x", srv.Addr()), DialOptions{
		Endpoint: Endpoint{Handler: HandlerFuncs{}}, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)},
	})
	if from := next(t, remote); !strings.HasPrefix(from, "127.0.0.9:") {
		t.Errorf("the server sees %s", from)
	}
}

func TestManyOutgoingConnections(t *testing.T) {
	const conns = 1500
	if descriptorLimit() < 3*conns {
		t.Skipf("RLIMIT_NOFILE is %d", descriptorLimit())
	}
	srv := startServer(t, Config{Loops: 1}, serveEcho)
	var echoes atomic.Int64
	done := make(chan struct{})
	h := HandlerFuncs{Message: func(_ *Conn, _ Op, p []byte) {
		if string(p) == "hello" && echoes.Add(1) == conns {
			close(done)
		}
	}}
	client := startClient(t, ClientConfig{Loops: 1})
	d, err := client.Dialer(fmt.Sprintf("ws://%s/echo", srv.Addr()), DialOptions{Endpoint: Endpoint{Handler: h}})
	if err != nil {
		t.Fatal(err)
	}
	all := make([]*Conn, conns)
	before := 0
	for i := range all {
		if all[i], err = d.Dial(context.Background()); err != nil {
			t.Fatal(err)
		}
		if i == 0 { // all that runs without connections runs now
			before = runtime.NumGoroutine()
		}
	}
	waitFor(t, "the end of what dialling needs", func() bool { return runtime.NumGoroutine() <= before+3 }) // the timers of both
	for _, c := range all {
		if err := c.Send(Text, []byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	next(t, done)
	if n := client.Connections(); n != conns {
		t.Errorf("%d connections, want %d", n, conns)
	}
}

func TestDialBeyondMaxConns(t *testing.T) {
	srv := startServer(t, Config{}, serveEcho)
	client := startClient(t, ClientConfig{MaxConns: 2})
	opts := DialOptions{Endpoint: Endpoint{Handler: HandlerFuncs{}}}
	addr := fmt.Sprintf("ws://%s/echo", srv.Addr())
	first := mustDial(t, client, addr, opts)
	mustDial(t, client, addr, opts)
	if _, err := dialWith(t, client, addr, opts); !errors.Is(err, errTooMany) {
		t.Errorf("the third gives %v", err)
	}
	_ = first.Close(CloseNormal, "")
	waitFor(t, "the end of the first", func() bool { return client.Connections() < 2 })
	mustDial(t, client, addr, opts)
}
