package codec

import (
	"bytes"
	"fmt"
	"testing"
	"unsafe"
)

var everything = Rules{Side: Client, Deflate: true, MaxMessage: 1 << 20, MaxFrames: 1000}

func TestNext(t *testing.T) {
	long := string(text("안녕하세요 ", 1000))
	for _, c := range []struct {
		name string
		side Side
		in   []byte
		want []Event
	}{
		{"5.7/text/unmasked", Client, wire("81 05 48656c6c6f"), []Event{{OpText, false, []byte("Hello")}}},
		{"5.7/text/masked", Server, wire("81 85 37fa213d 7f9f4d5158"), []Event{{OpText, false, []byte("Hello")}}},
		{"5.7/text/fragmented", Client, wire("01 03 48656c 80 02 6c6f"), []Event{{OpText, false, []byte("Hello")}}},
		{"5.7/ping", Client, wire("89 05 48656c6c6f"), []Event{{OpPing, false, []byte("Hello")}}},
		{"5.7/pong/masked", Server, wire("8a 85 37fa213d 7f9f4d5158"), []Event{{OpPong, false, []byte("Hello")}}},
		{"5.7/binary/256 bytes", Client, append(wire("82 7e 0100"), pattern(256)...), []Event{{OpBinary, false, pattern(256)}}},
		{
			"5.7/binary/64 KiB", Client, append(wire("82 7f 0000000000010000"), pattern(65536)...),
			[]Event{{OpBinary, false, pattern(65536)}},
		},
		{"5.4/empty", Client, wire("8100 8200 8900"), []Event{{Op: OpText}, {Op: OpBinary}, {Op: OpPing}}},
		{"5.4/empty/masked", Server, wire("8180 01020304"), []Event{{Op: OpText}}},
		{"5.4/empty/fragments", Client, wire("0200 0000 8000"), []Event{{Op: OpBinary}}},
		{"5.4/empty/first and last fragment", Client, wire("0100 0001 61 8000"), []Event{{OpText, false, []byte("a")}}},
		{
			"5.4/control between fragments", Client, wire("0101 61 8901 70 8001 62 8a00"),
			[]Event{{OpPing, false, []byte("p")}, {OpText, false, []byte("ab")}, {Op: OpPong}},
		},
		{"5.5.1/close", Client, wire("8805 03e9 627965"), []Event{{OpClose, false, []byte("\x03\xe9bye")}}},
		{"5.5/control/longest", Server, AppendMaskedFrame(nil, OpPing, rfcKey, pattern(125)), []Event{{OpPing, false, pattern(125)}}},
		{"7692-6/compressed", Client, wire("c102 c1c0"), []Event{{OpText, true, []byte{0xC1, 0xC0}}}},
		{"7692-6/compressed/fragmented", Client, wire("4201 ff 8001 fe"), []Event{{OpBinary, true, []byte{0xFF, 0xFE}}}},
		{"8.1/korean/masked", Server, AppendMaskedFrame(nil, OpText, rfcKey, []byte(long)), []Event{{OpText, false, []byte(long)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules := everything
			rules.Side = c.side
			for _, size := range []int{len(c.in), 1, 2, 3, 7, 64, 127, 500} {
				got, err := decode(t, &rules, c.in, func(int) int { return size })
				if err != nil || !sameEvents(got, c.want) {
					t.Fatalf("pieces of %d: %v, %.200v", size, err, got)
				}
			}
		})
	}
}

// TestNextWhole: a whole frame is handed out where it lies, at no cost, and so is a payload whose header came alone.
func TestNextWhole(t *testing.T) {
	rules := everything
	rules.Side = Server
	in := AppendMaskedFrame(nil, OpBinary, rfcKey, pattern(1000))
	for _, cut := range []int{0, 1, 5, len(in) - 1000} {
		t.Run(fmt.Sprintf("5.4/header cut at %d", cut), func(t *testing.T) {
			mem, b := newTestMemory(t), bytes.Clone(in)
			var d Decoder
			if cut > 0 {
				d.Next(&rules, mem, b[:cut])
			}
			if d.Idle() != (cut == 0) {
				t.Errorf("Idle %v", d.Idle())
			}
			ev, n, err := d.Next(&rules, mem, b[cut:])
			if err != nil || n != len(b)-cut || !bytes.Equal(ev.Payload, pattern(1000)) {
				t.Fatalf("%d, %v", n, err)
			}
			if &ev.Payload[0] != &b[len(b)-1000] || mem.gets != 0 || !d.Idle() {
				t.Errorf("copied: %d buffers, Idle %v", mem.gets, d.Idle())
			}
		})
	}
}

// TestNextRelease: the buffer behind a message lives until the next call, and Idle says so.
func TestNextRelease(t *testing.T) {
	rules, mem := everything, newTestMemory(t)
	var d Decoder
	in := wire("0101 61 8001 62 0101 63")
	ev, n, err := d.Next(&rules, mem, in)
	if err != nil || string(ev.Payload) != "ab" || d.Idle() || len(mem.out) != 1 {
		t.Fatalf("%q, %v, Idle %v, %d buffers", ev.Payload, err, d.Idle(), len(mem.out))
	}
	d.Release(mem)
	if !d.Idle() || len(mem.out) != 0 || !bytes.Equal(ev.Payload, []byte{0xDB, 0xDB}) {
		t.Fatalf("after Release: Idle %v, %d buffers, payload % x", d.Idle(), len(mem.out), ev.Payload)
	}
	d.Next(&rules, mem, in[n:])
	d.Release(mem)
	if d.Idle() || len(mem.out) != 1 || d.Buffered() == 0 {
		t.Fatalf("Release ended a message in progress: Idle %v, %d buffers", d.Idle(), len(mem.out))
	}
	d.Reset(mem)
	if !d.Idle() || len(mem.out) != 0 {
		t.Fatalf("after Reset: %d buffers", len(mem.out))
	}
}

// TestNextLinear: a message that arrives byte by byte is copied a constant number of times in all.
func TestNextLinear(t *testing.T) {
	const size = 1 << 16
	rules, mem := everything, newTestMemory(t)
	in := AppendFrame(nil, OpBinary, pattern(size))
	var d Decoder
	for i := range in {
		if _, n, err := d.Next(&rules, mem, in[i:i+1]); n != 1 || err != nil {
			t.Fatalf("byte %d: %d, %v", i, n, err)
		}
	}
	if mem.gets > 10 {
		t.Errorf("%d buffers for %d bytes, want one for each doubling from %d", mem.gets, size, minBuffer)
	}
	if d.Buffered() != size {
		t.Errorf("ended with a buffer of %d bytes for %d", d.Buffered(), size)
	}
	d.Reset(mem)
}

func TestDecoderSize(t *testing.T) {
	if size := unsafe.Sizeof(Decoder{}); size > 256 {
		t.Errorf("a Decoder takes %d bytes, the budget is 256", size)
	}
}

// oneBuffer lends the same buffer again and again, as a pool in a steady state does.
type oneBuffer []byte

func (m oneBuffer) Get(int) []byte { return m[:0] }
func (m oneBuffer) Put([]byte)     {}

func TestNextAllocatesNothing(t *testing.T) {
	var mem Memory = make(oneBuffer, 4096)
	whole := AppendFrame(nil, OpText, text("안녕 ", 1000))
	fragmented := append(AppendHeader(nil, Header{Op: OpText, Length: 1000}), text("안녕 ", 1000)...)
	fragmented = append(fragmented, wire("8901 70 8003 eab080")...)
	for _, c := range []struct {
		name   string
		in     []byte
		cut    int
		events int
	}{
		{"whole", whole, 0, 1},
		{"fragmented", fragmented, 0, 2},
		{"cut", whole, 500, 1},
		{"cut control", AppendFrame(nil, OpPing, pattern(100)), 50, 1},
		{"error", wire("8102 c080"), 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			rules, events := everything, 0
			allocs := testing.AllocsPerRun(100, func() {
				events = 0
				for _, b := range [][]byte{c.in[:c.cut], c.in[c.cut:]} {
					for len(b) > 0 {
						ev, n, err := d.Next(&rules, mem, b)
						if b = b[n:]; err != nil {
							break
						}
						if ev.Op != OpContinuation {
							events++
						}
					}
				}
				d.Reset(mem)
			})
			if allocs != 0 || events != c.events {
				t.Errorf("%v allocations, %d events; want 0, %d", allocs, events, c.events)
			}
		})
	}
}

func BenchmarkNextMessage(b *testing.B) {
	rules := everything
	rules.Side = Server
	var mem Memory = make(oneBuffer, 1<<17)
	for _, s := range scripts {
		for _, n := range []int{20, 125, 1024, 16384} {
			// A key of zero leaves the payload as it is, so every turn unmasks and validates the same text.
			in := AppendMaskedFrame(nil, OpText, [4]byte{}, text(s.unit, n))
			for _, cut := range []int{0, len(in) / 2} {
				b.Run(fmt.Sprintf("text=%s/size=%d/whole=%v", s.name, n, cut == 0), func(b *testing.B) {
					var d Decoder
					b.SetBytes(int64(n))
					b.ReportAllocs()
					for b.Loop() {
						if cut > 0 {
							d.Next(&rules, mem, in[:cut])
						}
						if ev, _, _ := d.Next(&rules, mem, in[cut:]); ev.Op != OpText {
							b.Fatal("no message")
						}
					}
				})
			}
		}
	}
}

// BenchmarkNextByte feeds one byte at a time: ns/op over size must not depend on size.
func BenchmarkNextByte(b *testing.B) {
	rules := everything
	var mem Memory = make(oneBuffer, 1<<17)
	for _, n := range []int{1024, 65536} {
		b.Run(fmt.Sprintf("size=%d", n), func(b *testing.B) {
			in := AppendFrame(nil, OpBinary, pattern(n))
			var d Decoder
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				for i := range in {
					d.Next(&rules, mem, in[i:i+1])
				}
			}
		})
	}
}
