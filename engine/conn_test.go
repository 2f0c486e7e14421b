package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// recorder is a handler that gives connections and their ends to a test.
type recorder struct {
	HandlerFuncs
	opened chan *Conn
	closed chan CloseInfo
}

func newRecorder() *recorder {
	r := &recorder{opened: make(chan *Conn, 100), closed: make(chan CloseInfo, 100)}
	r.Open = func(c *Conn) { r.opened <- c }
	r.Message = echoHandler.Message
	r.Close = func(_ *Conn, info CloseInfo) { r.closed <- info }
	return r
}

// next waits for a value that must come.
func next[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("no %T came", *new(T))
		panic("unreachable")
	}
}

func TestSendKeepsOrderAcrossGoroutines(t *testing.T) {
	r := newRecorder()
	srv := startServer(t, Config{}, func(s *Server) { s.Handle("/x", Endpoint{Handler: r, MaxQueue: 64 << 20}) })
	client := connect(t, srv, "/x")
	conn := next(t, r.opened)
	const senders, each = 8, 2000
	var wg sync.WaitGroup
	for who := range senders {
		wg.Go(func() {
			var p [8]byte
			for i := range each {
				binary.BigEndian.PutUint32(p[:], uint32(who))
				binary.BigEndian.PutUint32(p[4:], uint32(i))
				if err := conn.Send(Binary, p[:]); err != nil {
					t.Errorf("sender %d, message %d: %v", who, i, err)
					return
				}
			}
		})
	}
	var last [senders]uint32
	for range senders * each {
		_, p, err := client.recv()
		if err != nil {
			t.Fatal(err)
		}
		who, i := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])
		if i != last[who] {
			t.Fatalf("sender %d: message %d came where %d was due", who, i, last[who])
		}
		last[who]++
	}
	wg.Wait()
	// The client may have read the last bytes before the loop has counted them out.
	waitFor(t, "an empty queue", func() bool { return conn.Buffered() == 0 })
}

func TestSendAndReplyKeepOrder(t *testing.T) {
	h := HandlerFuncs{Message: func(c *Conn, op Op, _ []byte) {
		_ = c.Send(op, []byte("1"))
		_ = c.Reply(op, []byte("2"))
		_ = c.Send(op, []byte("3"))
		_ = c.Reply(op, []byte("4"))
		_ = c.Close(codec.CloseNormal, "done")
		if err := c.Reply(op, []byte("5")); !errors.Is(err, ErrClosed) {
			_ = c.Reply(op, []byte("Reply after Close was taken"))
		}
	}}
	srv := startServer(t, Config{}, func(s *Server) { s.Handle("/x", Endpoint{Handler: h}) })
	c := connect(t, srv, "/x")
	if err := c.send(codec.OpText, []byte("go")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1", "2", "3", "4"} {
		if err := c.expect(codec.OpText, want); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.expectClose(codec.CloseNormal, "done"); err != nil {
		t.Fatal(err)
	}
}

func TestKeptConnIsHarmless(t *testing.T) {
	r := newRecorder()
	srv := startServer(t, Config{Loops: 1}, func(s *Server) { s.Handle("/x", Endpoint{Handler: r}) })
	first := connect(t, srv, "/x")
	kept := next(t, r.opened)
	_ = first.Conn.Close()
	next(t, r.closed)
	second := connect(t, srv, "/x") // gets the descriptor that the first had
	next(t, r.opened)
	if err := kept.Send(Text, []byte("to a stranger")); !errors.Is(err, ErrClosed) {
		t.Errorf("Send after the end gives %v", err)
	}
	if err := kept.Ping(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Ping after the end gives %v", err)
	}
	if err := kept.Close(codec.CloseNormal, ""); !errors.Is(err, ErrClosed) {
		t.Errorf("Close after the end gives %v", err)
	}
	if err := second.echo(codec.OpText, "mine alone"); err != nil {
		t.Error(err)
	}
}

func TestSlowPeerIsClosedWith1013(t *testing.T) {
	for _, way := range []string{"Reply", "Send"} {
		t.Run(way, func(t *testing.T) {
			r := newRecorder()
			big := make([]byte, 64<<10)
			r.Message = func(c *Conn, _ Op, _ []byte) {
				send := c.Reply
				if way == "Send" {
					send = c.Send
				}
				for {
					if err := send(Binary, big); err != nil {
						if !errors.Is(err, ErrSlowPeer) {
							t.Errorf("a full queue gives %v", err)
						}
						return
					}
					if n := c.Buffered(); n > 256<<10 {
						t.Errorf("%d bytes wait, the limit is 256 KiB", n)
					}
				}
			}
			srv := startServer(t, Config{CloseTimeout: 500 * time.Millisecond}, func(s *Server) {
				s.Handle("/x", Endpoint{Handler: r, MaxQueue: 256 << 10})
			})
			slow := connect(t, srv, "/x")
			if err := slow.send(codec.OpText, nil); err != nil {
				t.Fatal(err)
			}
			info := next(t, r.closed)
			if info.Code != codec.CloseTryAgainLater || info.Initiator != Local || !errors.Is(info.Err, ErrSlowPeer) {
				t.Errorf("it ended with %+v", info)
			}
		})
	}
	t.Run("who reads again gets everything, and the reason", func(t *testing.T) {
		full := make(chan int, 1) // how many messages were accepted before the queue was full
		r := newRecorder()
		r.Message = func(c *Conn, _ Op, _ []byte) {
			n := 0
			for c.Reply(Binary, make([]byte, 64<<10)) == nil {
				n++
			}
			full <- n
		}
		srv := startServer(t, Config{}, func(s *Server) { s.Handle("/x", Endpoint{Handler: r}) })
		c := connect(t, srv, "/x")
		if err := c.send(codec.OpText, nil); err != nil {
			t.Fatal(err)
		}
		accepted := next(t, full)
		got := 0
		for {
			op, p, err := c.recv()
			if err != nil {
				t.Fatal(err)
			}
			if op == codec.OpClose {
				if code, _, _ := codec.ParseClose(p); code != codec.CloseTryAgainLater {
					t.Errorf("closed with %v", code)
				}
				break
			}
			got++
		}
		if got != accepted {
			t.Errorf("%d messages were accepted, %d came", accepted, got)
		}
	})
}

func TestPanicClosesWith1011AndTheServerLives(t *testing.T) {
	var log strings.Builder
	r := newRecorder()
	r.Message = func(c *Conn, op Op, p []byte) {
		if string(p) == "panic" {
			panic("a bug in a handler")
		}
		_ = c.Reply(op, p)
	}
	logger := slog.New(slog.NewTextHandler(&lockedWriter{w: &log}, nil))
	srv := startServer(t, Config{Logger: logger}, func(s *Server) { s.Handle("/x", Endpoint{Handler: r}) })
	witness, victim := connect(t, srv, "/x"), connect(t, srv, "/x")
	if err := victim.send(codec.OpText, []byte("panic")); err != nil {
		t.Fatal(err)
	}
	if err := victim.expectClose(codec.CloseInternalError, "internal error"); err != nil {
		t.Error(err)
	}
	info := next(t, r.closed)
	var panicked *PanicError
	if !errors.As(info.Err, &panicked) || panicked.Value != "a bug in a handler" {
		t.Errorf("it ended with %+v", info)
	}
	if err := witness.echo(codec.OpText, "alive"); err != nil {
		t.Error(err)
	}
	if s := log.String(); !strings.Contains(s, "a bug in a handler") || !strings.Contains(s, "conn_test.go") {
		t.Errorf("the log lacks the panic or its stack: %s", s)
	}
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(p)
}

func TestShutdownClosesEveryoneInOrder(t *testing.T) {
	r := newRecorder()
	srv := startServer(t, Config{}, func(s *Server) { s.Handle("/x", Endpoint{Handler: r}) })
	var clients []*testClient
	for range 20 {
		clients = append(clients, connect(t, srv, "/x"))
		if err := next(t, r.opened).Send(Text, []byte("last words")); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Shutdown(context.Background()) }()
	for _, c := range clients {
		if err := c.expect(codec.OpText, "last words"); err != nil {
			t.Error(err)
		}
		if err := c.expectClose(codec.CloseGoingAway, "server is shutting down"); err != nil {
			t.Error(err)
		}
	}
	if err := next(t, ended); err != nil {
		t.Error(err)
	}
	for range clients {
		if info := next(t, r.closed); !info.Clean || info.Code != codec.CloseGoingAway || !errors.Is(info.Err, ErrShutdown) {
			t.Errorf("it ended with %+v", info)
		}
	}
}

func TestShutdownCutsWhoDoesNotAnswer(t *testing.T) {
	r := newRecorder()
	srv := startServer(t, Config{}, func(s *Server) { s.Handle("/x", Endpoint{Handler: r}) })
	connect(t, srv, "/x")
	next(t, r.opened)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown gives %v", err)
	}
	if info := next(t, r.closed); info.Clean || info.Code != codec.CloseGoingAway {
		t.Errorf("it ended with %+v", info)
	}
}

func TestTakenPort(t *testing.T) {
	first := startServer(t, Config{}, serveEcho)
	second, err := New(Config{Addr: first.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	serveEcho(second)
	err = second.Run(context.Background())
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("Run on a taken port gives %v", err)
	}
	if err := second.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown after that gives %v", err)
	}
}

func TestHTTPOnTheSamePort(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sum", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, strings.ToUpper(string(body)))
	})
	srv := startServer(t, Config{}, func(s *Server) {
		serveEcho(s)
		s.HandleHTTP(mux)
	})
	base := "http://" + srv.Addr().String()
	for _, size := range []int{5, 100_000} { // the second arrives in many reads
		resp, err := http.Post(base+"/sum", "text/plain", strings.NewReader(strings.Repeat("a", size)))
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(got) != strings.Repeat("A", size) {
			t.Errorf("a body of %d bytes came back as %d", size, len(got))
		}
	}
	resp, err := http.Get(base + "/nothing")
	if err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown path gives %v, %v", resp, err)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := connect(t, srv, "/echo").echo(codec.OpText, "beside"); err != nil {
		t.Error(err)
	}
}

func TestHandshakeOnHalfOpenSockets(t *testing.T) {
	srv := startServer(t, Config{}, serveEcho)
	c, err := net.Dial("tcp", srv.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // a test's end
	_, _ = io.WriteString(c, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
	_ = c.(*net.TCPConn).CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 404 ") {
		t.Errorf("a client that ends its half behind the request gets %q, %v", answer, err)
	}
}
