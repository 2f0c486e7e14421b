package engine

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// holder is a stream that keeps what is written to it while hold is set.
type holder struct {
	net.Conn
	hold bool
	held []byte
}

func (h *holder) Write(p []byte) (int, error) {
	if h.hold {
		h.held = append(h.held, p...)
		return len(p), nil
	}
	return h.Conn.Write(p)
}

// cutMessage gives the bytes of a message in one record, on a connection that has
// sent nothing of it yet.
func cutMessage(t *testing.T, srv *Server, config *tls.Config, path string) (*testClient, *holder) {
	t.Helper()
	raw, err := net.Dial("tcp", srv.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	h := &holder{Conn: raw}
	config = config.Clone()
	config.DynamicRecordSizingDisabled = true
	c, err := upgradeClient(tls.Client(h, config), srv.Addr().String(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	h.hold = true
	if err := c.send(codec.OpBinary, make([]byte, 16000)); err != nil {
		t.Fatal(err)
	}
	h.hold = false
	return c, h
}

// A message whose record never becomes whole is one that is cut.
func TestTLSCutRecordStalls(t *testing.T) {
	ends := make(chan CloseInfo, 1)
	srv, config := startTLS(t, Config{StallTimeout: 200 * time.Millisecond, CloseTimeout: 200 * time.Millisecond}, func(s *Server) {
		s.Handle("/feed", Endpoint{PingInterval: -1, Handler: HandlerFuncs{
			Close: func(_ *Conn, info CloseInfo) { ends <- info },
		}})
	})
	_, h := cutMessage(t, srv, config, "/feed")
	_, _ = h.Conn.Write(h.held[:len(h.held)-1])
	select {
	case info := <-ends:
		if !errors.Is(info.Err, ErrStalled) {
			t.Errorf("it ended with %+v", info)
		}
	case <-time.After(patience):
		t.Error("a record that never becomes whole is not noticed")
	}
}

// A connection whose records are whole has no deadline.
func TestTLSWholeRecordDoesNotStall(t *testing.T) {
	const stall = 200 * time.Millisecond
	srv, config := startTLS(t, Config{StallTimeout: stall}, func(s *Server) {
		s.Handle("/feed", Endpoint{PingInterval: -1, Handler: HandlerFuncs{Message: echoHandler.Message}})
	})
	c, h := cutMessage(t, srv, config, "/feed")
	_, _ = h.Conn.Write(h.held[:100])
	time.Sleep(stall / 2)
	_, _ = h.Conn.Write(h.held[100:])
	if op, p, err := c.recv(); err != nil || op != codec.OpBinary || len(p) != 16000 {
		t.Fatalf("got %v with %d bytes, %v", op, len(p), err)
	}
	time.Sleep(2 * stall)
	if err := c.echo(codec.OpText, "still open"); err != nil {
		t.Error(err)
	}
}

// A peer that sends the bytes of one record slowly is not silent.
func TestTLSSlowRecordIsHeard(t *testing.T) {
	const beat = 300 * time.Millisecond
	srv, config := startTLS(t, Config{}, func(s *Server) {
		s.Handle("/feed", Endpoint{PingInterval: beat, PongTimeout: beat, Handler: HandlerFuncs{Message: echoHandler.Message}})
	})
	c, h := cutMessage(t, srv, config, "/feed")
	const pieces = 40
	for i := range pieces {
		if _, err := h.Conn.Write(h.held[i*len(h.held)/pieces : (i+1)*len(h.held)/pieces]); err != nil {
			t.Fatalf("piece %d: %v", i, err)
		}
		time.Sleep(beat / 10) // all of it takes four beats
	}
	for {
		op, p, err := c.recv()
		if err != nil || op == codec.OpClose {
			t.Fatalf("got %v %q, %v", op, p, err)
		}
		if op == codec.OpBinary {
			return
		}
	}
}

// Clients that say nothing behind their hello cannot keep others out.
func TestTLSHalfHandshakesMakeRoom(t *testing.T) {
	const most = 4
	srv, config := startTLS(t, Config{MaxTLSHandshakes: most}, serveEcho)
	first := hello(t)
	var halves []net.Conn
	for range most {
		c, err := net.Dial("tcp", srv.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // a test's end
		_, _ = c.Write(first)
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil { // the handshake is under way
			t.Fatal(err)
		}
		halves = append(halves, c)
	}
	if err := connectTLS(t, srv, "/echo", config).echo(codec.OpText, "let in"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, halves[0]); err != nil {
		t.Error("the one that has waited longest is not ended:", err)
	}
	waitFor(t, "its end", func() bool { return srv.Connections() <= most+1 })
	_ = halves[most-1].SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	var timeout net.Error
	if _, err := io.Copy(io.Discard, halves[most-1]); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Error("the youngest is ended:", err)
	}
}

// A request that net/http has no room for gets its answer over TLS too.
func TestTLSBacklogIsFull(t *testing.T) {
	srv, config := startTLS(t, Config{}, func(s *Server) { s.HandleHTTP(http.NotFoundHandler()) })
	srv.http.queued.Add(httpBacklog)
	defer srv.http.queued.Add(-httpBacklog)
	c, err := tls.Dial("tcp", srv.Addr().String(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // a test's end
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 503 ") {
		t.Errorf("got %q, %v", line, err)
	}
}
