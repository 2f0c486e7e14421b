package engine

import (
	"fmt"
	"testing"

	"github.com/headrace/headrace/codec"
)

// BenchmarkTurn is what a turn of echoes costs in code of ours: the wire takes all that
// is written and makes no system call. An operation is one message.
func BenchmarkTurn(b *testing.B) {
	for _, shape := range []struct{ depth, size int }{{1, 20}, {16, 20}, {1, 1 << 10}, {1, 16 << 10}} {
		b.Run(fmt.Sprintf("depth=%d/size=%d", shape.depth, shape.size), func(b *testing.B) {
			benchmarkTurn(b, shape.depth, shape.size)
		})
	}
}

func benchmarkTurn(b *testing.B, depth, size int) {
	l, o := openOn(b, &shortWire{room: 1 << 62}, Endpoint{Handler: echoHandler})
	var arrived []byte
	for range depth {
		arrived = codec.AppendMaskedFrame(arrived, codec.OpBinary, [4]byte{9, 8, 7, 6}, make([]byte, size))
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	turn := make([]byte, len(arrived))
	for n := 0; n < b.N; n += depth {
		copy(turn, arrived)
		o.Arrived(turn)
	}
	b.StopTimer()
	if got := l.stats.sent.Messages; got < uint64(b.N) {
		b.Fatalf("%d answers to %d messages", got, b.N)
	}
}
