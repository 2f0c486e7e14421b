package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/headrace/headrace/codec"
)

// testClient is a WebSocket client for tests: blocking, simple, and another
// implementation than the engine's where it can be.
type testClient struct {
	net.Conn
	r   *bufio.Reader
	out []byte
}

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

func dial(addr, path string) (*testClient, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, br, _, err := ws.Dial(ctx, "ws://"+addr+path)
	if err != nil {
		return nil, err
	}
	if br == nil {
		br = bufio.NewReaderSize(conn, 64<<10)
	}
	return &testClient{Conn: conn, r: br}, nil
}

// connect dials a test's server and hangs up at the end of the test.
func connect(tb testing.TB, srv *Server, path string) *testClient {
	tb.Helper()
	c, err := dial(srv.Addr().String(), path)
	if err != nil {
		tb.Fatal("dial:", err)
	}
	tb.Cleanup(func() { _ = c.Conn.Close() })
	return c
}

// send writes one masked frame.
func (c *testClient) send(op codec.Opcode, p []byte) error {
	c.out = codec.AppendMaskedFrame(c.out[:0], op, [4]byte{1, 2, 3, 4}, p)
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.Write(c.out)
	return err
}

// recv reads one frame.
func (c *testClient) recv() (codec.Opcode, []byte, error) { return c.recvWithin(patience) }

func (c *testClient) recvWithin(most time.Duration) (codec.Opcode, []byte, error) {
	_ = c.SetReadDeadline(time.Now().Add(most))
	h, err := ws.ReadHeader(c.r)
	if err != nil {
		return 0, nil, err
	}
	p := make([]byte, h.Length)
	_, err = io.ReadFull(c.r, p)
	return codec.Opcode(h.OpCode), p, err
}

// expect reads one frame and compares it.
func (c *testClient) expect(op codec.Opcode, p string) error {
	gotOp, got, err := c.recv()
	switch {
	case err != nil:
		return fmt.Errorf("got %w, want %v %.40q", err, op, p)
	case gotOp != op || string(got) != p:
		return fmt.Errorf("got %v %.40q, want %v %.40q", gotOp, got, op, p)
	}
	return nil
}

// echo sends a message and expects it back.
func (c *testClient) echo(op codec.Opcode, p string) error {
	if err := c.send(op, []byte(p)); err != nil {
		return err
	}
	return c.expect(op, p)
}

// expectClose reads until a Close frame, skipping messages, and then expects
// the end of the stream, not a reset.
func (c *testClient) expectClose(code codec.CloseCode, reason string) error {
	for {
		op, p, err := c.recv()
		if err != nil {
			return fmt.Errorf("got %w, want a Close frame with %v", err, code)
		}
		if op != codec.OpClose {
			continue
		}
		gotCode, gotReason, err := codec.ParseClose(p)
		if err != nil || gotCode != code || string(gotReason) != reason {
			return fmt.Errorf("closed with %v %q (%v), want %v %q", gotCode, gotReason, err, code, reason)
		}
		_ = c.send(codec.OpClose, p)
		if _, err := c.r.ReadByte(); !errors.Is(err, io.EOF) {
			return fmt.Errorf("after the Close frame got %v, want EOF", err)
		}
		return c.Conn.Close()
	}
}

// echoHandler replies with what it gets.
var echoHandler = HandlerFuncs{Message: func(c *Conn, op Op, p []byte) { _ = c.Reply(op, p) }}

func serveEcho(s *Server) { s.Handle("/echo", Endpoint{Handler: echoHandler}) }
