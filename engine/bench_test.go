package engine

import (
	"fmt"
	"io"
	"log/slog"
	"runtime"
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

// BenchmarkSend sends messages of 128 bytes to 100 connections from other goroutines than
// the loop's. Their sockets are read by one goroutine each; an operation is a message that
// its socket has taken.
func BenchmarkSend(b *testing.B) {
	for _, senders := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("senders=%d/conns=100/size=128", senders), func(b *testing.B) { benchmarkSend(b, senders, 100, 128) })
	}
}

func benchmarkSend(b *testing.B, senders, conns, size int) {
	const most = 256 << 10 // waiting for a connection; its senders let others go first
	var opened []*Conn
	srv := startServer(b, Config{Loops: 1, Logger: slog.New(slog.DiscardHandler)}, func(s *Server) {
		s.Handle("/x", Endpoint{MaxQueue: 4 * most, Handler: HandlerFuncs{Open: func(c *Conn) { opened = append(opened, c) }}})
	})
	for range conns {
		go func(c *testClient) { _, _ = io.Copy(io.Discard, c.r) }(connect(b, srv, "/x"))
	}
	settle(b, srv, "all are open", func(s Stats) bool { return s.WebSockets == conns })
	payload := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				c := opened[n%int64(conns)]
				for c.Buffered() > most {
					runtime.Gosched()
				}
				if err := c.Send(Binary, payload); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, c := range opened {
		for c.Buffered() > 0 {
			runtime.Gosched()
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(loopCounts(srv).writes)/float64(b.N), "writes/op")
}

// BenchmarkIdleMemory opens 2,000 connections from another process, each with one echo,
// and tells what the engine's heap holds for each of them then. It has no time.
func BenchmarkIdleMemory(b *testing.B) {
	const conns = 2000
	for _, way := range []struct {
		name string
		ep   Endpoint
	}{
		{"plain", Endpoint{Handler: echoHandler}},
		{"heartbeat=off", Endpoint{Handler: echoHandler, PingInterval: -1}},
	} {
		b.Run(way.name, func(b *testing.B) {
			srv := startServer(b, Config{Network: "tcp4", Loops: 1, Logger: slog.New(slog.DiscardHandler)}, func(s *Server) { s.Handle("/echo", way.ep) })
			before := heapInUse()
			hangUp := startIdlers(b, srv, conns)
			b.ReportMetric(float64(heapInUse()-before)/conns, "heap-B/conn")
			b.ReportMetric(0, "ns/op") // nothing is timed
			hangUp()
		})
	}
}
