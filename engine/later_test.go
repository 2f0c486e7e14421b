package engine

import (
	"bytes"
	"compress/flate"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// A flood of messages that inflate to a thousand times their size gets its turns,
// like everybody: between two echoes of a neighbour no more is inflated than the
// budget and what the flood's own read begins with.
func TestInflatingDoesNotHoldUpOthers(t *testing.T) {
	const size = 1 << 20
	var inflated atomic.Int64
	srv := startServer(t, Config{Loops: 1}, func(s *Server) {
		s.Handle("/z", Endpoint{Compression: &Compression{}, Handler: HandlerFuncs{
			Message: func(_ *Conn, _ Op, p []byte) { inflated.Add(int64(len(p))) },
		}})
		s.Handle("/count", Endpoint{Handler: HandlerFuncs{Message: func(c *Conn, op Op, p []byte) {
			var n [8]byte
			for i, v := 0, inflated.Load(); i < 8; i++ {
				n[i] = byte(v >> (8 * i))
			}
			_ = c.Reply(Binary, n[:])
		}}})
	})
	var z bytes.Buffer
	w, _ := flate.NewWriter(&z, 9)
	_, _ = w.Write(make([]byte, size))
	_ = w.Flush()
	frame := compressedFrame(codec.OpBinary, bytes.TrimSuffix(z.Bytes(), []byte("\x00\x00\xff\xff")))
	flood := bytes.Repeat(frame, 256)
	attacker, _ := dialDeflate(t, srv, "/z", "permessage-deflate")
	victim := connect(t, srv, "/count")
	go func() {
		_ = attacker.SetWriteDeadline(time.Now().Add(10 * patience))
		_, _ = attacker.Write(flood)
	}()
	const all = 256 * size
	var last, most int64
	for end := time.Now().Add(10 * patience); last < all && time.Now().Before(end); {
		if err := victim.send(codec.OpText, []byte("how much?")); err != nil {
			t.Fatal(err)
		}
		_, p, err := victim.recv()
		if err != nil {
			t.Fatal(err)
		}
		var now int64
		for i := range p {
			now |= int64(p[i]) << (8 * i)
		}
		most, last = max(most, now-last), now
	}
	t.Logf("at most %d MiB between two echoes of a neighbour", most>>20)
	if last != all {
		t.Errorf("%d of %d bytes were inflated", last, all)
	}
	// The neighbour's own pauses add turns to one: it is not always at the wheel.
	if most > 16*inflateBudget {
		t.Errorf("%d bytes were inflated between two echoes of a neighbour, the budget is %d", most, inflateBudget)
	}
}
