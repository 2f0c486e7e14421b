package engine

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/headrace/headrace/codec"
)

// startClient makes a Client that ends with the test.
func startClient(tb testing.TB, cfg ClientConfig) *Client {
	tb.Helper()
	c, err := NewClient(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error("Close:", err)
		}
		if n := c.Connections(); n != 0 {
			tb.Errorf("%d connections are open after Close", n)
		}
	})
	return c
}

// dialWith dials with a new Dialer.
func dialWith(tb testing.TB, c *Client, url string, opts DialOptions) (*Conn, error) {
	tb.Helper()
	d, err := c.Dialer(url, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return d.Dial(context.Background())
}

func mustDial(tb testing.TB, c *Client, url string, opts DialOptions) *Conn {
	tb.Helper()
	conn, err := dialWith(tb, c, url, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return conn
}

// The client role against the server role, in every combination that changes the
// bytes: sizes around the edges of headers and segments, text and binary, plain,
// TLS, compressed.
func TestClientEchoes(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for name, z := range map[string]*Compression{"plain": nil, "compressed": {}, "takeover": {PeerBits: 15, Threshold: 1}, "full": {History: FullHistory, PeerBits: 12}} {
			t.Run(fmt.Sprintf("tls=%t/%s", secure, name), func(t *testing.T) { clientEchoes(t, secure, z) })
		}
	}
}

func clientEchoes(t *testing.T, secure bool, z *Compression) {
	cfg, url, trust := Config{}, "ws://%s/echo", (*tls.Config)(nil)
	if secure {
		authority := newAuthority(t)
		cfg.TLS, trust = authority.server(t), authority.client()
		url = "wss://%s/echo"
	}
	srv := startServer(t, cfg, func(s *Server) {
		s.Handle("/echo", Endpoint{Handler: echoHandler, Compression: z, MaxQueue: 4 << 20})
	})
	type message struct {
		op Op
		p  string
	}
	got := make(chan message, 100)
	h := HandlerFuncs{Message: func(_ *Conn, op Op, p []byte) { got <- message{op, string(p)} }}
	client := startClient(t, ClientConfig{Loops: 1})
	conn := mustDial(t, client, fmt.Sprintf(url, srv.Addr()), DialOptions{Endpoint: Endpoint{Handler: h, Compression: z, MaxQueue: 4 << 20}, TLS: trust})
	if _, port, ok := strings.Cut(conn.Remote().String(), ":"); !ok || port == "" {
		t.Errorf("Remote is %v", conn.Remote())
	}
	for _, size := range []int{0, 1, 125, 126, 127, 200, 4096, 65535, 65536, 70_000, 300_000, 1 << 20} {
		for _, op := range []Op{Text, Binary} {
			p := strings.Repeat("tick 42.0 水 ", size/13+1)[:size]
			p = strings.ToValidUTF8(p, "x")
			if err := conn.Send(op, []byte(p)); err != nil {
				t.Fatal(err)
			}
			if m := next(t, got); m.op != op || m.p != p {
				t.Fatalf("%v of %d bytes came back as %v of %d", op, len(p), m.op, len(m.p))
			}
		}
	}
}

func TestClientSendsInOrderFromManyGoroutines(t *testing.T) {
	srv := startServer(t, Config{}, serveEcho)
	const senders, each = 4, 500
	var last [senders]int
	done := make(chan struct{})
	count := 0
	h := HandlerFuncs{Message: func(_ *Conn, _ Op, p []byte) {
		var who, n int
		_, _ = fmt.Sscanf(string(p), "%d:%d", &who, &n)
		if n != last[who]+1 {
			t.Errorf("message %d of %d came after %d", n, who, last[who])
		}
		last[who] = n
		if count++; count == senders*each {
			close(done)
		}
	}}
	conn := mustDial(t, startClient(t, ClientConfig{}), fmt.Sprintf("ws://%s/echo", srv.Addr()), DialOptions{Endpoint: Endpoint{Handler: h}})
	for who := range senders {
		go func() {
			for n := 1; n <= each; n++ {
				if err := conn.Send(Text, fmt.Appendf(nil, "%d:%d", who, n)); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	next(t, done)
}

// Closing handshakes that either side begins, seen from both.
func TestClientCloses(t *testing.T) {
	for _, byClient := range []bool{true, false} {
		t.Run(fmt.Sprintf("client=%t", byClient), func(t *testing.T) {
			serverEnd, clientEnd := make(chan CloseInfo, 1), make(chan CloseInfo, 1)
			srv := startServer(t, Config{}, func(s *Server) {
				s.Handle("/x", Endpoint{Handler: HandlerFuncs{
					Open: func(c *Conn) {
						if !byClient {
							_ = c.Close(4001, "enough")
						}
					},
					Close: func(_ *Conn, i CloseInfo) { serverEnd <- i },
				}})
			})
			conn := mustDial(t, startClient(t, ClientConfig{}), fmt.Sprintf("ws://%s/x", srv.Addr()), DialOptions{Endpoint: Endpoint{
				Handler: HandlerFuncs{Close: func(_ *Conn, i CloseInfo) { clientEnd <- i }},
			}})
			if byClient {
				if err := conn.Close(4001, "enough"); err != nil {
					t.Fatal(err)
				}
			}
			s, c := next(t, serverEnd), next(t, clientEnd)
			if s.Code != 4001 || c.Code != 4001 || !s.Clean || !c.Clean || s.Reason != "enough" || c.Reason != "enough" || s.Err != nil || c.Err != nil {
				t.Errorf("the server saw %+v, the client %+v", s, c)
			}
			if (s.Initiator == Local) == byClient || (c.Initiator == Local) != byClient {
				t.Errorf("begun by %v and %v", s.Initiator, c.Initiator)
			}
			if err := conn.Send(Text, nil); !errors.Is(err, ErrClosed) {
				t.Errorf("Send after the end gives %v", err)
			}
		})
	}
}

func TestClientCloseEndsConnectionsWith1001(t *testing.T) {
	ends := make(chan CloseInfo, 10)
	srv := startServer(t, Config{}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: HandlerFuncs{Close: func(_ *Conn, i CloseInfo) { ends <- i }}})
	})
	client, err := NewClient(ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := client.Dialer(fmt.Sprintf("ws://%s/x", srv.Addr()), DialOptions{Endpoint: Endpoint{Handler: HandlerFuncs{}}})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := d.Dial(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	for range 10 {
		if i := next(t, ends); i.Code != CloseGoingAway || !i.Clean {
			t.Errorf("the server saw %+v", i)
		}
	}
	if _, err := d.Dial(context.Background()); err == nil {
		t.Error("a closed client dials")
	}
}

// A loop that is held up by a callback does not hold Dial up for longer than its
// context lasts, and what it finds later is gone.
func TestDialGivesUpOnABusyLoop(t *testing.T) {
	srv := startServer(t, Config{}, serveEcho)
	client := startClient(t, ClientConfig{Loops: 1})
	entered, leave := make(chan struct{}), make(chan struct{})
	var opened atomic.Int32
	d, err := client.Dialer(fmt.Sprintf("ws://%s/echo", srv.Addr()), DialOptions{Endpoint: Endpoint{Handler: HandlerFuncs{
		Open:    func(*Conn) { opened.Add(1) },
		Message: func(*Conn, Op, []byte) { close(entered); <-leave },
	}}})
	if err != nil {
		t.Fatal(err)
	}
	first, err := d.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	_ = first.Send(Text, nil)
	next(t, entered)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	failed := make(chan error, 1)
	go func() { _, err := d.Dial(ctx); failed <- err }()
	if err := next(t, failed); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Dial gives %v", err)
	}
	close(leave)
	waitFor(t, "the end of the second at the server", func() bool { return srv.Stats().Handshakes[OutcomeGranted] == 2 && srv.Connections() == 1 })
	if client.Connections() != 1 || opened.Load() != 1 {
		t.Errorf("%d connections, OnOpen was called %d times", client.Connections(), opened.Load())
	}
}

// Dials whose handshakes are done at the moment of Close: each returns, and no
// descriptor is left behind.
func TestDialWhileTheClientCloses(t *testing.T) {
	const rounds, dials = 10, 60
	srv := startServer(t, Config{}, serveEcho)
	before := warmUp(t, srv, "/echo")
	for range rounds {
		client, err := NewClient(ClientConfig{Loops: 2, CloseTimeout: 50 * time.Millisecond, ShutdownTimeout: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		at, gate, returned := make(chan struct{}, dials), make(chan struct{}), make(chan error, dials)
		d, err := client.Dialer(fmt.Sprintf("ws://%s/echo", srv.Addr()), DialOptions{
			Endpoint: Endpoint{Handler: HandlerFuncs{}},
			Check:    func(*http.Response) error { at <- struct{}{}; <-gate; return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		for range dials {
			go func() { _, err := d.Dial(context.Background()); returned <- err }()
		}
		for range dials {
			next(t, at)
		}
		go func() {
			for range dials {
				gate <- struct{}{} // one after the other, so that some come at each moment of the end
			}
		}()
		_ = client.Close()
		for range dials {
			if err := next(t, returned); err != nil && !errors.Is(err, errStopped) {
				t.Error(err)
			}
		}
	}
	waitFor(t, "the end of all descriptors", func() bool { return srv.Connections() == 0 && openDescriptors() <= before })
}

func TestDialErrors(t *testing.T) {
	srv := startServer(t, Config{}, func(s *Server) {
		serveEcho(s)
		s.Handle("/no", Endpoint{Handler: echoHandler, Admit: func(*Request) error {
			return &Refusal{Status: 401, Header: http.Header{"Www-Authenticate": {"Bearer"}}, Body: "who are you?"}
		}})
	})
	client := startClient(t, ClientConfig{HandshakeTimeout: 2 * time.Second})
	opts := DialOptions{Endpoint: Endpoint{Handler: HandlerFuncs{}}}
	_, err := dialWith(t, client, fmt.Sprintf("ws://%s/no", srv.Addr()), opts)
	var refused *HandshakeError
	if !errors.As(err, &refused) || refused.Response.StatusCode != 401 || refused.Response.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("a refusal gives %v", err)
	}
	if _, err := dialWith(t, client, "ws://127.0.0.1:1/x", opts); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a port where nobody listens gives %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	d, _ := client.Dialer(fmt.Sprintf("ws://%s/echo", srv.Addr()), opts)
	if _, err := d.Dial(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled context gives %v", err)
	}
	for _, url := range []string{"http://h/", "ws:///x", "ws://h/#part", "%", "h:80"} {
		if _, err := client.Dialer(url, opts); err == nil {
			t.Errorf("%q is taken", url)
		}
	}
	if n := client.Connections(); n != 0 {
		t.Errorf("%d connections after failures only", n)
	}
}

func TestDialSubprotocolHeadersAndCheck(t *testing.T) {
	srv := startServer(t, Config{}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: echoHandler, Subprotocols: []string{"b", "c"}, Admit: func(r *Request) error {
			if r.Header("Authorization") != "Bearer token" || r.RawQuery() != "q=1" {
				return &Refusal{Status: 401}
			}
			r.SetHeader("X-Answer", "42")
			return nil
		}})
	})
	answer := ""
	conn := mustDial(t, startClient(t, ClientConfig{}), fmt.Sprintf("ws://%s/x?q=1", srv.Addr()), DialOptions{
		Endpoint: Endpoint{Handler: HandlerFuncs{}, Subprotocols: []string{"a", "b"}},
		Header:   http.Header{"Authorization": {"Bearer token"}},
		Check:    func(r *http.Response) error { answer = r.Header.Get("X-Answer"); return nil },
	})
	if conn.Subprotocol() != "b" || answer != "42" {
		t.Errorf("subprotocol %q, answer %q", conn.Subprotocol(), answer)
	}
}

// Frames that come right behind the answer, in the same segment, are heard.
func TestClientHearsWhatCameWithTheAnswer(t *testing.T) {
	srv := startServer(t, Config{}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: HandlerFuncs{Open: func(c *Conn) {
			for i := range 50 {
				_ = c.Reply(Text, fmt.Append(nil, i))
			}
			_ = c.Reply(Binary, make([]byte, 100_000))
		}}})
	})
	got := make(chan string, 100)
	mustDial(t, startClient(t, ClientConfig{}), fmt.Sprintf("ws://%s/x", srv.Addr()), DialOptions{Endpoint: Endpoint{
		Handler: HandlerFuncs{Message: func(_ *Conn, _ Op, p []byte) { got <- string(p) }},
	}})
	for i := range 50 {
		if p := next(t, got); p != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, p)
		}
	}
	if p := next(t, got); len(p) != 100_000 {
		t.Errorf("the last message has %d bytes", len(p))
	}
}

// A server that breaks the rules is answered with the code for it.
func TestClientRefusesWhatAServerMustNotSend(t *testing.T) {
	for name, frame := range map[string][]byte{
		"5.1/masked":   codec.AppendMaskedFrame(nil, codec.OpText, [4]byte{1, 2, 3, 4}, []byte("x")),
		"5.2/reserved": {0xC1, 1, 'x'},
	} {
		t.Run(name, func(t *testing.T) {
			addr, told := rogueServer(t, frame, false)
			ends := make(chan CloseInfo, 1)
			mustDial(t, startClient(t, ClientConfig{}), "ws://"+addr, DialOptions{Endpoint: Endpoint{
				Handler: HandlerFuncs{Close: func(_ *Conn, i CloseInfo) { ends <- i }},
			}})
			if i := next(t, ends); i.Code != CloseProtocolError || i.Initiator != Local {
				t.Errorf("OnClose says %+v", i)
			}
			if code := next(t, told); code != CloseProtocolError {
				t.Errorf("the server was told %v", code)
			}
		})
	}
}

// rogueServer grants one handshake, sends frames, once or until nobody takes them any
// more, and tells with which code the client closes.
func rogueServer(t *testing.T, frames []byte, again bool) (addr string, told <-chan CloseCode) {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	codes := make(chan CloseCode, 1)
	go func() {
		defer close(codes)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close() //nolint:errcheck // a test's end
		r := bufio.NewReader(conn)
		request, err := http.ReadRequest(r)
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n%s",
			acceptKey(request.Header.Get("Sec-WebSocket-Key")), frames)
		if again {
			go func() {
				for err := error(nil); err == nil; {
					_, err = conn.Write(frames)
				}
			}()
		}
		h, err := readFirstClose(r)
		if err != nil || !h.Masked || h.Length > 125 {
			t.Errorf("the client's frame: %+v, %v", h, err)
			return
		}
		p := make([]byte, h.Length)
		if _, err := io.ReadFull(r, p); err != nil {
			t.Error(err)
			return
		}
		ws.Cipher(p, h.Mask, 0)
		code, _, _ := codec.ParseClose(p)
		codes <- code
	}()
	return ln.Addr().String(), codes
}

// readFirstClose reads frames up to the header of a Close frame.
func readFirstClose(r io.Reader) (ws.Header, error) {
	for {
		h, err := ws.ReadHeader(r)
		if err != nil || h.OpCode == ws.OpClose {
			return h, err
		}
		if _, err := io.CopyN(io.Discard, r, h.Length); err != nil { // pongs
			return h, err
		}
	}
}

// Messages between a Client and a Server cost no allocation on either side.
func TestClientEchoAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	const messages = 5000
	srv := startServer(t, Config{Loops: 1}, serveEcho)
	marks := make(chan uint64, 2)
	count := 0
	conn := mustDial(t, startClient(t, ClientConfig{Loops: 1}), fmt.Sprintf("ws://%s/echo", srv.Addr()), DialOptions{Endpoint: Endpoint{
		Handler: HandlerFuncs{Message: func(c *Conn, op Op, p []byte) {
			if count++; count == 500 || count == 500+messages {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				marks <- m.Mallocs
			}
			if count < 500+messages {
				_ = c.Reply(op, p)
			}
		}},
	}})
	if err := conn.Send(Binary, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	before := next(t, marks)
	if per := float64(next(t, marks)-before) / messages; per > 0.05 {
		t.Errorf("%.3f allocations per message there and back, want 0", per)
	}
}
