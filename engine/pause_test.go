package engine

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// A peer that sends without reading is not read from: its messages wait with it
// and in the kernel, not here. Once it reads it gets every answer, in order.
func TestEchoFloodByAPeerThatDoesNotRead(t *testing.T) {
	const (
		messages = 64
		size     = 1 << 20 // 64 MiB of answers, of which the kernel takes a few
		maxQueue = 1 << 20
	)
	var most atomic.Int64
	r := newRecorder()
	r.Message = func(c *Conn, op Op, p []byte) {
		if err := c.Reply(op, p); err != nil {
			t.Error(err)
		}
		most.Store(max(most.Load(), int64(c.Buffered())))
	}
	srv := startServer(t, Config{Loops: 1}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: r, MaxQueue: maxQueue})
		serveEcho(s)
	})
	flood, witness := connect(t, srv, "/x"), connect(t, srv, "/echo")
	sent := make(chan error, 1)
	go func() {
		p := make([]byte, size)
		for i := range messages {
			binary.BigEndian.PutUint32(p, uint32(i))
			if err := flood.send(codec.OpBinary, p); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for range 20 { // the flood stands; the others notice nothing
		time.Sleep(10 * time.Millisecond)
		if err := witness.echo(codec.OpText, "unharmed"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range messages {
		op, p, err := flood.recv()
		if err != nil || op != codec.OpBinary || len(p) != size || binary.BigEndian.Uint32(p) != uint32(i) {
			t.Fatalf("answer %d: %v, %d bytes, %v", i, op, len(p), err)
		}
	}
	if err := next(t, sent); err != nil {
		t.Error(err)
	}
	if n := most.Load(); n > maxQueue+size {
		t.Errorf("%d bytes were queued, the limit is %d", n, maxQueue)
	}
}

// Many small messages in one read fill the queue in the middle of it.
func TestPauseInTheMiddleOfARead(t *testing.T) {
	const messages = 500
	answer := bytes.Repeat([]byte{'a'}, 64<<10)
	h := HandlerFuncs{Message: func(c *Conn, op Op, p []byte) {
		binary.BigEndian.PutUint32(answer, binary.BigEndian.Uint32(p))
		if err := c.Reply(op, answer); err != nil {
			t.Error(err)
		}
	}}
	srv := startServer(t, Config{Loops: 1}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: h, MaxQueue: 256 << 10})
	})
	c := connect(t, srv, "/x")
	var burst []byte
	for i := range messages {
		burst = codec.AppendMaskedFrame(burst, codec.OpBinary, [4]byte{1, 2, 3, 4}, binary.BigEndian.AppendUint32(nil, uint32(i)))
	}
	if _, err := c.Write(burst); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	for i := range messages {
		_, p, err := c.recv()
		if err != nil || len(p) != len(answer) || binary.BigEndian.Uint32(p) != uint32(i) {
			t.Fatalf("answer %d: %d bytes, %v", i, len(p), err)
		}
	}
	if err := c.send(codec.OpClose, []byte{3, 232}); err != nil {
		t.Fatal(err)
	}
	if err := c.expectClose(codec.CloseNormal, ""); err != nil {
		t.Error(err)
	}
}
