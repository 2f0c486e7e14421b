package codec

import (
	"fmt"
	"testing"
)

// feed is a flow of messages of one size, with the last keep bytes of what went before each. It begins again only when
// the same message lies outside of every window.
type feed struct {
	messages, histories [][]byte
	next                int
}

func newFeed(size, keep int) *feed {
	n := 256 + 1<<16/size
	r, f, mem := seeded(1), &feed{}, &lendingMemory{}
	var window Window
	for i := range 2 * n {
		p := tick(r, size)
		if i >= n {
			f.messages = append(f.messages, p)
			f.histories = append(f.histories, append([]byte(nil), window.Bytes()...))
		}
		window.Add(mem, p, keep)
	}
	return f
}

func (f *feed) take() (message, history []byte) {
	i := f.next
	f.next = (i + 1) % len(f.messages)
	return f.messages[i], f.histories[i]
}

// report says what part of the plaintext went over the wire.
func report(b *testing.B, sent, size int) {
	b.ReportMetric(float64(sent)/float64(b.N)/float64(size), "ratio")
}

func BenchmarkDeflateMessage(b *testing.B) {
	for _, size := range []int{100, 228, 1024} {
		for _, keep := range []int{0, 1 << 10, 4 << 10} {
			for _, level := range []int{0, 1, 2, 3, 6, 9} {
				b.Run(fmt.Sprintf("size=%d/history=%d/level=%d", size, keep, level), func(b *testing.B) {
					deflateFeed(b, NewDeflater(level), 15, size, keep)
				})
			}
		}
	}
}

// BenchmarkDeflateWindow is what a peer costs that asked for a small window.
func BenchmarkDeflateWindow(b *testing.B) {
	for _, size := range []int{228, 1024} {
		for _, bits := range []uint8{8, 10, 12, 14} {
			b.Run(fmt.Sprintf("size=%d/bits=%d", size, bits), func(b *testing.B) {
				deflateFeed(b, NewDeflater(3), bits, size, min(1<<10, 1<<bits))
			})
		}
	}
}

func deflateFeed(b *testing.B, d *Deflater, bits uint8, size, keep int) {
	f, dst, sent := newFeed(size, keep), make([]byte, 0, 2048), 0
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		message, history := f.take()
		sent += len(d.Append(dst, message, bits, history))
	}
	report(b, sent, size)
}

func BenchmarkDeflateStream(b *testing.B) {
	for _, size := range []int{100, 228, 1024} {
		for _, level := range []int{1, 2, 3, 6, 7, 9} {
			b.Run(fmt.Sprintf("size=%d/level=%d", size, level), func(b *testing.B) {
				f, s, dst, sent := newFeed(size, 0), NewDeflateStream(level, 15), make([]byte, 0, 2048), 0
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					message, _ := f.take()
					sent += len(s.Append(dst, message))
				}
				report(b, sent, size)
			})
		}
	}
}

func BenchmarkInflateMessage(b *testing.B) {
	for _, size := range []int{100, 228, 1024, 65536} {
		for _, keep := range []int{0, 1 << 12, 1 << 15} {
			b.Run(fmt.Sprintf("size=%d/history=%d", size, keep), func(b *testing.B) {
				f, d := newFeed(size, keep), NewDeflater(6)
				for i, p := range f.messages {
					f.messages[i] = d.Append(nil, p, 15, f.histories[i])
				}
				var inflater Inflater
				mem := &lendingMemory{}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					payload, history := f.take()
					out, err := inflater.Inflate(mem, OpText, payload, history, 1<<20)
					if err != nil {
						b.Fatal(err)
					}
					mem.Put(out)
				}
			})
		}
	}
}

func BenchmarkAddWindow(b *testing.B) {
	p := tick(seeded(1), 228)
	for _, size := range []int{1 << 10, 1 << 12, 1 << 15} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			mem := &lendingMemory{}
			var w Window
			b.ReportAllocs()
			for b.Loop() {
				w.Add(mem, p, size)
			}
		})
	}
}

func BenchmarkNegotiateOffer(b *testing.B) {
	for _, c := range []struct{ name, offer string }{
		{"chrome", "permessage-deflate; client_max_window_bits"},
		{"firefox", "permessage-deflate"},
	} {
		b.Run("browser="+c.name, func(b *testing.B) {
			offers, dst := headers(c.offer), make([]byte, 0, 256)
			b.ReportAllocs()
			for b.Loop() {
				modeDictionary.AppendAnswer(dst, offers)
			}
		})
	}
}
