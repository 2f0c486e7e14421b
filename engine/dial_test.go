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
	"slices"
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
		"unicode-upgrade":   {func(l []string) []string { l[1] = "Upgrade: webſocKet"; return l }, nil, "Upgrade is not websocket"},
		"no-connection":     {func(l []string) []string { l[2] = "Connection: close"; return l }, nil, "Connection does not have Upgrade"},
		"wrong-accept":      {func(l []string) []string { l[3] += "x"; return l }, nil, "does not belong to the key"},
		"foreign-protocol":  {func(l []string) []string { return append(l, "Sec-WebSocket-Protocol: z") }, nil, "subprotocol that was not offered"},
		"foreign-extension": {func(l []string) []string { return append(l, "Sec-WebSocket-Extensions: permessage-deflate") }, nil, "extension that was not offered"},
		"unknown-extension": {func(l []string) []string { return append(l, "Sec-WebSocket-Extensions: x") }, &Compression{}, "extension that was not offered"},
		"unasked-parameter": {func(l []string) []string { return append(l, "Sec-WebSocket-Extensions: permessage-deflate; x") }, &Compression{}, "does not keep to the offer"},
		"endless-header":    {func(l []string) []string { return append(l, "X: "+strings.Repeat("x", 2*maxAnswer)) }, nil, "too long"},
		"no-http":           {func([]string) []string { return []string{"hello"} }, nil, "malformed"},
		"http-1.0":          {func(l []string) []string { l[0] = "HTTP/1.0 101 Switching Protocols"; return l }, nil, "it speaks HTTP/1.0"},
		"two-accepts":       {func(l []string) []string { return append(l, "Sec-WebSocket-Accept: x") }, nil, "does not belong to the key"},
		"no-extensions":     {func(l []string) []string { return append(l, "Sec-WebSocket-Extensions: ") }, nil, ""},
		"none-agreed":       {func(l []string) []string { return append(l, "Sec-WebSocket-Extensions: ") }, &Compression{}, ""},
		"hints-first": {func(l []string) []string {
			return append([]string{"HTTP/1.1 100 Continue", "", "HTTP/1.1 103 Early Hints", "Link: </x>", ""}, l...)
		}, nil, ""},
		"endless-hints": {func(l []string) []string {
			return append(slices.Repeat([]string{"HTTP/1.1 103 Early Hints", ""}, maxAnswer/20), l...)
		}, nil, "too long"},
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

// A user name and password in the URL are sent, but for a header of the caller's own.
func TestDialSendsThePassword(t *testing.T) {
	asked := make(chan string, 1)
	srv := startServer(t, Config{}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: HandlerFuncs{Open: func(c *Conn) { asked <- c.Request().Header("Authorization") }}})
	})
	client := startClient(t, ClientConfig{})
	for _, row := range []struct{ user, header, want string }{
		{"", "", ""},
		{"u:p@", "", "Basic dTpw"},
		{"u%40h:p%3A%2F@", "", "Basic dUBoOnA6Lw=="},
		{"u@", "", "Basic dTo="},
		{"u:p@", "Bearer x", "Bearer x"},
	} {
		opts := DialOptions{Endpoint: Endpoint{Handler: HandlerFuncs{}}, Header: http.Header{}}
		if row.header != "" {
			opts.Header.Set("Authorization", row.header)
		}
		mustDial(t, client, fmt.Sprintf("ws://%s%s/x", row.user, srv.Addr()), opts)
		if got := next(t, asked); got != row.want {
			t.Errorf("%+v: the server is sent %q", row, got)
		}
	}
}

// No error has the password of a URL.
func TestDialHidesThePassword(t *testing.T) {
	client := startClient(t, ClientConfig{})
	for _, rawURL := range []string{
		"ws://user:secret@host:x/",
		"ws://user:secret@ho st/",
		"ws://user:se/secret@host/",
		"ws://user:%zzsecret@host/",
		"http://user:secret@host/",
		"ws://user:secret@host/#fragment",
		"ws://user:secret@",
		"user:secret@host",
		"ws://user:secret@127.0.0.1:1/",
	} {
		d, err := client.Dialer(rawURL, DialOptions{Endpoint: Endpoint{Handler: HandlerFuncs{}}})
		if err == nil {
			_, err = d.Dial(context.Background())
		}
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", rawURL, err)
		}
	}
}
