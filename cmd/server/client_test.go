package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// client is a WebSocket client that shows every frame.
type client struct {
	t    *testing.T
	conn net.Conn
	r    io.Reader
}

func dial(t *testing.T, addr, path string) *client {
	t.Helper()
	c, err := dialFrom(t, addr, path, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// dialFrom connects as a page of an origin would.
func dialFrom(t *testing.T, addr, path, origin string) (*client, error) {
	t.Helper()
	d := ws.Dialer{Timeout: patience}
	if origin != "" {
		d.Header = ws.HandshakeHeaderHTTP(http.Header{"Origin": {origin}})
	}
	conn, early, _, err := d.Dial(context.Background(), "ws://"+addr+path)
	if err != nil {
		return nil, err
	}
	c := &client{t: t, conn: conn, r: conn}
	if early != nil { // frames that came with the answer
		c.r = io.MultiReader(early, conn)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c, nil
}

func (c *client) send(op ws.OpCode, payload []byte) {
	c.t.Helper()
	f := ws.MaskFrame(ws.NewFrame(op, true, payload))
	if err := ws.WriteFrame(c.conn, f); err != nil {
		c.t.Fatalf("send %d bytes: %v", len(payload), err)
	}
}

func (c *client) say(text string) {
	c.t.Helper()
	c.send(ws.OpText, []byte(text))
}

// next gives the next frame from the server.
func (c *client) next() (ws.OpCode, []byte) {
	c.t.Helper()
	h, err := ws.ReadHeader(c.r)
	if err != nil {
		c.t.Fatal("no frame came:", err)
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(c.r, payload); err != nil {
		c.t.Fatal("half a frame came:", err)
	}
	return h.OpCode, payload
}

func (c *client) want(op ws.OpCode, payload []byte) {
	c.t.Helper()
	gotOp, got := c.next()
	if gotOp != op || !bytes.Equal(got, payload) {
		c.t.Fatalf("got opcode %d, %.200q; want opcode %d, %.200q", gotOp, got, op, payload)
	}
}

func (c *client) hear(text string) {
	c.t.Helper()
	c.want(ws.OpText, []byte(text))
}

// wantClose takes the server's Close frame, answers it, and sees the server
// hang up.
func (c *client) wantClose(code ws.StatusCode, reason string) {
	c.t.Helper()
	c.want(ws.OpClose, ws.NewCloseFrameBody(code, reason))
	c.send(ws.OpClose, ws.NewCloseFrameBody(code, ""))
	if n, err := c.r.Read(make([]byte, 1)); err != io.EOF {
		c.t.Fatalf("after the closing handshake: read %d bytes, %v; want EOF", n, err)
	}
	_ = c.conn.Close()
}
