package engine

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/headrace/headrace/codec"
)

// BenchmarkEcho echoes binary messages over loopback sockets: one loop, conns
// connections, each with depth messages in flight. Client and server share the
// process and the machine, so the time per message is that of both.
func BenchmarkEcho(b *testing.B) {
	for _, shape := range []struct{ conns, depth, size int }{
		{1, 1, 20},
		{100, 1, 20},
		{100, 16, 20},
		{100, 1, 1 << 10},
		{100, 1, 16 << 10},
		{10, 1, 1 << 20},
	} {
		b.Run(fmt.Sprintf("conns=%d/depth=%d/size=%d", shape.conns, shape.depth, shape.size), func(b *testing.B) {
			benchmarkEcho(b, shape.conns, shape.depth, shape.size)
		})
	}
}

func benchmarkEcho(b *testing.B, conns, depth, size int) {
	srv := startServer(b, Config{Loops: 1, Logger: slog.New(slog.DiscardHandler)}, serveEcho)
	frame := codec.AppendMaskedFrame(nil, codec.OpBinary, [4]byte{9, 8, 7, 6}, make([]byte, size))
	var burst []byte
	for range depth {
		burst = append(burst, frame...)
	}
	answers := depth * (codec.HeaderSize(int64(size), false) + size)
	clients := make([]*testClient, conns)
	for i := range clients {
		clients[i] = connect(b, srv, "/echo")
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			buf := make([]byte, answers)
			for left.Add(-int64(depth)) > -int64(depth) {
				if _, err := c.Write(burst); err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(c.r, buf); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	before := loopCounts(srv)
	b.ReportMetric(float64(before.writes)/float64(b.N), "writes/op")
}
