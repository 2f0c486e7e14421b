package engine

import (
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/wire"
)

// shortWire is a wire in memory that has one connection and reads nothing.
type shortWire struct {
	wire.Loop

	room  int            // bytes that it takes yet
	taken func(p []byte) // told of each piece that is written
}

func (w *shortWire) Write(_ wire.Socket, p []byte) (n int, err error) {
	if w.taken != nil {
		w.taken(p)
	}
	n = min(len(p), w.room)
	w.room -= n
	return n, nil
}

func (w *shortWire) Writev(s wire.Socket, bufs [][]byte) (n int, err error) {
	for _, p := range bufs {
		took, _ := w.Write(s, p)
		n += took
	}
	return n, nil
}

func (*shortWire) WatchWritable(wire.Socket) error { return nil }
func (*shortWire) LimitUnsent(wire.Socket, int)    {}
func (*shortWire) Waiting(wire.Socket) int         { return 0 }
func (*shortWire) Now() time.Duration              { return 0 }
func (*shortWire) NeedTicks(bool)                  {}
func (*shortWire) WakeLater()                      {}
func (*shortWire) Wake()                           {}

// openOn opens a connection to an endpoint on a wire of its own.
func openOn(tb testing.TB, w *shortWire, e Endpoint) (*loop, wire.Owner) {
	srv, err := New(Config{Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	srv.Handle("/", e)
	l := srv.addLoop(w).(*loop)
	o := l.Opened(wire.Socket{}, 0, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1})
	o.Arrived([]byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"))
	return l, o
}

// hear has a message arrive.
func hear(o wire.Owner, p []byte) {
	o.Arrived(codec.AppendMaskedFrame(nil, codec.OpBinary, [4]byte{9, 8, 7, 6}, p))
}

// A reply goes behind what waits, also behind what may still be dropped.
func TestReplyGoesBehindWhatWaits(t *testing.T) {
	turn := 0
	w := &shortWire{room: 1 << 10}
	_, o := openOn(t, w, Endpoint{Handler: HandlerFuncs{Message: func(c *Conn, op Op, _ []byte) {
		switch turn++; turn {
		case 1:
			_ = c.Reply(op, []byte{1})
		case 2:
			_ = c.SendWithin(time.Hour, op, []byte{2})
		case 3:
			_ = c.Reply(op, []byte{3})
		}
	}}})
	w.room = 0
	for range 3 {
		hear(o, nil)
	}
	var wrote []byte
	w.room, w.taken = 1<<10, func(p []byte) { wrote = append(wrote, p...) }
	o.Writable()
	if want := []byte{0x82, 1, 1, 0x82, 1, 2, 0x82, 1, 3}; !slices.Equal(wrote, want) {
		t.Errorf("% x was written, want % x", wrote, want)
	}
}

// From 8 KiB on a reply is written from where it is.
func TestLongReplyIsNotCopied(t *testing.T) {
	reply := make([]byte, throughSize)
	w := &shortWire{room: 1 << 20}
	_, o := openOn(t, w, Endpoint{Handler: HandlerFuncs{Message: func(c *Conn, op Op, _ []byte) { _ = c.Reply(op, reply) }}})
	direct := false
	w.taken = func(p []byte) { direct = direct || &p[0] == &reply[0] }
	hear(o, nil)
	if !direct {
		t.Error("it was copied")
	}
}
