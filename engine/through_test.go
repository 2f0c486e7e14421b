package engine

import (
	"bytes"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/simwire"
	"github.com/headrace/headrace/engine/internal/wire"
)

// A frame that is much longer than what one read brings is read to its place, and its
// echo leaves from there: with a read buffer of 4 KiB, a message of 1 MiB takes far less
// than the 256 reads that it would take otherwise. One of 5,000 bytes is 8 KiB in truth.
func TestLargeEchoIsFewReadsAndWrites(t *testing.T) {
	for _, buffer := range []int{4 << 10, 5000} {
		t.Run(fmt.Sprint(buffer), func(t *testing.T) { largeEchoes(t, buffer) })
	}
}

func largeEchoes(t *testing.T, buffer int) {
	const (
		size     = 1 << 20
		messages = 20
	)
	srv := startServer(t, Config{Loops: 1, ReadBuffer: buffer}, serveEcho)
	c := connect(t, srv, "/echo")
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte(i * 7 >> 3)
	}
	frame := codec.AppendMaskedFrame(nil, codec.OpBinary, [4]byte{9, 8, 7, 6}, payload)
	want := codec.AppendFrame(nil, codec.OpBinary, payload)
	answer := make([]byte, len(want))
	before := loopCounts(srv)
	for range messages {
		clear(answer)
		sent := make(chan error, 1)
		go func() { _, err := c.Write(frame); sent <- err }()
		c.exchange(t, nil, answer)
		if err := next(t, sent); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(answer, want) {
			t.Fatal("the echo differs")
		}
	}
	after := loopCounts(srv)
	if reads := (after.reads - before.reads) / messages; reads > 100 {
		t.Errorf("%d reads for a message of 1 MiB", reads)
	}
	if writes := (after.writes - before.writes) / messages; writes > 100 {
		t.Errorf("%d writes for a message of 1 MiB", writes)
	}
}

// A handler that answers with several long messages gets one write at once, and one at
// the end of the turn; what was queued before a very long one leaves before it.
func TestLongRepliesStayInOrder(t *testing.T) {
	replies := [][]int{{10 << 10, 10 << 10, 10 << 10}, {20, 100 << 10, 20}, {100 << 10, 100 << 10}, {10 << 10, 20, 70 << 10, 9 << 10}}
	for _, sizes := range replies {
		srv := startServer(t, Config{Loops: 1}, func(s *Server) {
			s.Handle("/many", Endpoint{Handler: HandlerFuncs{Message: func(c *Conn, op Op, _ []byte) {
				for i, n := range sizes {
					p := bytes.Repeat([]byte{byte('a' + i)}, n)
					if err := c.Reply(op, p); err != nil {
						t.Error(err)
					}
					clear(p) // it is ours again
				}
			}}})
		})
		c := connect(t, srv, "/many")
		var want []byte
		for i, n := range sizes {
			want = codec.AppendFrame(want, codec.OpText, bytes.Repeat([]byte{byte('a' + i)}, n))
		}
		before := loopCounts(srv)
		answer := make([]byte, len(want))
		c.exchange(t, codec.AppendMaskedFrame(nil, codec.OpText, [4]byte{1, 2, 3, 4}, []byte("go")), answer)
		if !bytes.Equal(answer, want) {
			t.Errorf("%v: the replies came in another order, or changed", sizes)
		}
		if writes := loopCounts(srv).writes - before.writes; writes > 2*uint64(len(sizes)) || len(want) < 64<<10 && writes > 2 {
			t.Errorf("%v: %d writes", sizes, writes)
		}
	}
}

// tornWires has a write of several slices break behind the first, as one of several
// records may over TLS.
type tornWires struct{ wire.Backend }

type tornLoop struct{ wire.Loop }

func (b tornWires) Serve(newHandler func(wire.Loop) wire.Handler, ready func([]net.Addr)) error {
	return b.Backend.Serve(func(l wire.Loop) wire.Handler { return newHandler(tornLoop{l}) }, ready)
}

func (l tornLoop) Writev(s wire.Socket, bufs [][]byte) (int, error) {
	n, _ := l.Write(s, bufs[0])
	return n, syscall.ECONNRESET
}

// What a write takes that breaks behind some of its bytes is counted out once.
func TestLongReplyThatBreaks(t *testing.T) {
	left := -1
	h := HandlerFuncs{
		Message: func(c *Conn, op Op, _ []byte) { _ = c.Reply(op, make([]byte, alwaysThrough)) },
		Close:   func(c *Conn, _ CloseInfo) { left = c.Buffered() },
	}
	simServerOn(t, 1, func(b wire.Backend) wire.Backend { return tornWires{b} }, Config{}, Endpoint{Handler: h}, func(_ *Server, sim *simwire.Sim) {
		var got []byte
		p := sim.Dial(simPipe(&got))
		p.Write([]byte(simRequest))
		sim.Run(time.Second)
		p.Write(clientFrame(0x80|wireText, [4]byte{}, []byte("go")))
		sim.Run(time.Minute)
	})
	if left != 0 {
		t.Errorf("%d bytes wait for a peer that has gone", left)
	}
}
