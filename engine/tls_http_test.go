package engine

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// secureHandler tells what it sees of a request.
func secureHandler(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	name := "plain"
	if r.TLS != nil {
		name = r.TLS.ServerName
	}
	fmt.Fprintf(w, "%s %s %d %v", r.Method, name, len(body), err)
}

func TestTLSHandleHTTP(t *testing.T) {
	srv, config := startTLS(t, Config{Listeners: []Listener{{Addr: "127.0.0.1:0"}}}, func(s *Server) {
		serveEcho(s)
		s.HandleHTTP(http.HandlerFunc(secureHandler))
	})
	var dials int
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: config,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials++
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}}
	defer client.CloseIdleConnections()
	big := strings.Repeat("x", 1<<20)
	for _, row := range []struct {
		scheme, addr, method, body, want string
	}{
		{"https", srv.Addrs()[0].String(), "GET", "", "GET localhost 0 <nil>"},
		{"https", srv.Addrs()[0].String(), "POST", "hello", "POST localhost 5 <nil>"},
		{"https", srv.Addrs()[0].String(), "POST", big, "POST localhost 1048576 <nil>"}, // kept alive, the same connection
		{"http", srv.Addrs()[1].String(), "POST", "hello", "POST plain 5 <nil>"},
	} {
		r, err := http.NewRequest(row.method, row.scheme+"://"+row.addr+"/page", strings.NewReader(row.body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || string(got) != row.want {
			t.Errorf("%s %s: got %.100q, %v; want %q", row.method, row.scheme, got, err, row.want)
		}
	}
	if dials != 2 {
		t.Errorf("%d connections for two servers: they are not kept", dials)
	}
	// The WebSocket side is as it was.
	if err := connectTLS(t, srv, "/echo", config).echo(codec.OpText, "hello"); err != nil {
		t.Error(err)
	}
}

// The first read may end anywhere in the request's ciphertext.
func TestTLSHandleHTTPCutAnywhere(t *testing.T) {
	srv, config := startTLS(t, Config{}, func(s *Server) { s.HandleHTTP(http.HandlerFunc(secureHandler)) })
	body := strings.Repeat("b", 30000)
	request := "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 30000\r\n\r\n" + body
	for _, at := range []int{1, 4, 5, 6, 40, 90, 100, 120, 500, 16 << 10, 17 << 10} {
		raw, err := net.Dial("tcp", srv.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		cut := &cutting{Conn: raw}
		c := tls.Client(cut, config)
		_ = c.SetDeadline(time.Now().Add(patience))
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		cut.at = at
		// The headers and some of the body are a record of their own.
		if _, err := io.WriteString(c, request[:100]); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, request[100:]); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("cut at %d: %v", at, err)
		}
		got, err := io.ReadAll(answer.Body)
		if err != nil || string(got) != "POST localhost 30000 <nil>" {
			t.Errorf("cut at %d: got %q, %v", at, got, err)
		}
		_ = c.Close()
	}
}

// cutting pauses after at bytes, long enough for the server to read them alone.
type cutting struct {
	net.Conn
	at int
}

func (c *cutting) Write(p []byte) (int, error) {
	if c.at <= 0 || c.at >= len(p) {
		c.at -= len(p)
		return c.Conn.Write(p)
	}
	n, err := c.Conn.Write(p[:c.at])
	c.at = 0
	if err != nil {
		return n, err
	}
	time.Sleep(5 * time.Millisecond)
	m, err := c.Conn.Write(p[n:])
	return n + m, err
}
