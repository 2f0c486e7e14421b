package codec

import (
	"bytes"
	stdflate "compress/flate"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/klauspost/compress/flate"
)

// messageSizes stand around every border: the small path, the blocks, the window, and what makes a library flush.
var messageSizes = []int{1, 2, 12, 13, 14, 31, 33, 100, 127, 128, 129, 228, 255, 256, 257, 1024, 5000, 32767, 32768, 65536, 100000}

// received lets two foreign readers, the standard library's and klauspost's own, read what a peer gets, and the plain
// one, which says how far back it had to reach.
func received(t testing.TB, payload, history []byte) (out []byte, furthest int) {
	t.Helper()
	out, furthest, err := referenceInflate(append(bytes.Clone(payload), sendTail...), history)
	if err != nil {
		t.Fatalf("reference: %v", err)
	}
	whole := append(bytes.Clone(payload), receiveTail...)
	for name, r := range map[string]io.Reader{
		"standard library": stdflate.NewReaderDict(bytes.NewReader(whole), history),
		"klauspost":        flate.NewReaderDict(bytes.NewReader(whole), history),
	} {
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, out) {
			t.Fatalf("%s: %d bytes and %v, reference %d bytes", name, len(got), err, len(out))
		}
	}
	return out, furthest
}

// most is the longest that a message of n bytes may become.
func most(n int) int { return n + 6 + 5*(n/24576) }

// TestAppend sends messages of every size and kind through one Deflater, in every mode, and reads them as peers would.
func TestAppend(t *testing.T) {
	for level := stateless; level <= maxLevel; level++ {
		d := NewDeflater(level)
		for bits := uint8(minWindowBits); bits <= maxWindowBits; bits++ {
			keeps := []int{0, 100, 1 << 10, 1 << 15}
			if level > minLevel {
				keeps = []int{1 << 10}
			}
			if bits < maxWindowBits && level > minLevel && level != maxLevel {
				continue // there the level decides only about small messages
			}
			for _, keep := range keeps {
				t.Run(fmt.Sprintf("7692-7.2.1/level=%d/bits=%d/history=%d", level, bits, keep), func(t *testing.T) {
					checkAppend(t, d, bits, keep)
				})
			}
		}
	}
}

func checkAppend(t *testing.T, d *Deflater, bits uint8, keep int) {
	r, mem := seeded(uint64(bits)), newTestMemory(t)
	for _, kind := range contents {
		var window Window
		for _, size := range messageSizes {
			if size > 5000 && bits%5 != 0 {
				continue
			}
			p := kind.make(r, size)
			saved := bytes.Clone(p)
			payload := d.Append([]byte("before"), p, bits, window.Bytes())[len("before"):]
			if len(payload) == 0 || len(payload) > most(size) {
				t.Fatalf("%s: %d bytes became %d", kind.name, size, len(payload))
			}
			out, furthest := received(t, payload, window.Bytes())
			if !bytes.Equal(out, saved) || !bytes.Equal(p, saved) {
				t.Fatalf("%s: %d bytes came back as %d others", kind.name, size, len(out))
			}
			if furthest > 1<<bits {
				t.Fatalf("%s: %d bytes reach %d back, over a window of %d bits", kind.name, size, furthest, bits)
			}
			window.Add(mem, p, min(keep, 1<<bits))
		}
	}
}

// TestDeflateStream is TestAppend for a compressor that keeps its own window, which the reader has whole.
func TestDeflateStream(t *testing.T) {
	for level := minLevel; level <= maxLevel; level++ {
		for bits := uint8(minWindowBits); bits <= maxWindowBits; bits++ {
			if bits < maxWindowBits && level > minLevel {
				continue
			}
			t.Run(fmt.Sprintf("7692-7.2.1/level=%d/bits=%d", level, bits), func(t *testing.T) {
				s, r, mem := NewDeflateStream(level, bits), seeded(uint64(level)), newTestMemory(t)
				var window Window
				for _, kind := range contents {
					for _, size := range append([]int{0}, messageSizes...) {
						p := kind.make(r, max(size, 1))[:size]
						payload := s.Append([]byte("before"), p)[len("before"):]
						if len(payload) == 0 || len(payload) > most(size) {
							t.Fatalf("%s: %d bytes became %d", kind.name, size, len(payload))
						}
						out, furthest := received(t, payload, window.Bytes())
						if !bytes.Equal(out, p) || furthest > 1<<bits {
							t.Fatalf("%s: %d bytes came back as %d, from %d back", kind.name, size, len(out), furthest)
						}
						window.Add(mem, p, 1<<bits)
					}
				}
			})
		}
	}
}

// TestAppendEmpty: RFC 7692 §7.2.3.6 has one byte for a message without any.
func TestAppendEmpty(t *testing.T) {
	for level := range maxLevel + 1 {
		for _, bits := range []uint8{8, 15} {
			d, s := NewDeflater(level), NewDeflateStream(level, bits)
			for range 2 {
				for name, got := range map[string][]byte{
					"fresh":    d.Append(nil, nil, bits, nil),
					"history":  d.Append(nil, nil, bits, []byte("Hello")),
					"takeover": s.Append(nil, nil),
				} {
					if !bytes.Equal(got, []byte{0}) {
						t.Errorf("level %d, %d bits, %s: % x", level, bits, name, got)
					}
				}
			}
		}
	}
}

// TestTakeoverPays: the point of a history is that the second message is a fraction of the first.
func TestTakeoverPays(t *testing.T) {
	r := seeded(7)
	for _, size := range []int{64, 100, 228} {
		first, second := tick(r, size), tick(r, size)
		for level := stateless; level <= maxLevel; level++ {
			for _, bits := range []uint8{10, 15} {
				d := NewDeflater(level)
				fresh, after := len(d.Append(nil, second, bits, nil)), len(d.Append(nil, second, bits, first))
				if after > fresh*2/3 {
					t.Errorf("%d bytes, level %d, %d bits: %d with a history, %d without", size, level, bits, after, fresh)
				}
			}
		}
	}
}

// TestAppendSmallWindow: a small message whose end is what the history began with, further back than it may reach.
func TestAppendSmallWindow(t *testing.T) {
	r := seeded(8)
	for level := stateless; level <= maxLevel; level++ {
		d, mark := NewDeflater(level), noise(r, 20)
		history := append(bytes.Clone(mark), noise(r, 236)...)
		for _, size := range []int{30, 60, 127, 128, 200} {
			p := append(noise(r, size-20), mark...)
			if _, furthest := received(t, d.Append(nil, p, 8, history), history); furthest > 256 {
				t.Errorf("level %d, %d bytes: %d back in a window of 256", level, size, furthest)
			}
			if _, furthest := received(t, d.Append(nil, p, 9, history), history); furthest <= 256 {
				t.Errorf("level %d, %d bytes: only %d back in a window of 512", level, size, furthest)
			}
		}
	}
}

// TestDeflaterForgets: nothing of one connection may be seen on another. What a shared Deflater writes can be read
// without its past (received has none), and is what a new one writes.
func TestDeflaterForgets(t *testing.T) {
	r := seeded(3)
	secret, p := noise(r, 3000), noise(r, 200)
	for level := stateless; level <= maxLevel; level++ {
		d := NewDeflater(level)
		d.Append(nil, secret, 15, secret)
		with := d.Append(nil, append(p, secret...), 15, nil)
		if out, _ := received(t, with, nil); !bytes.Equal(out, append(p, secret...)) {
			t.Errorf("level %d: reads back differently", level)
		}
		if d.out.b != nil {
			t.Errorf("level %d: holds on to dst", level)
		}
		if alone := NewDeflater(level).Append(nil, append(p, secret...), 15, nil); len(alone) != len(with) {
			t.Errorf("level %d: %d bytes, and %d from a Deflater without a past", level, len(with), len(alone))
		}
	}
}

// TestLevels: what is out of range becomes what is in.
func TestLevels(t *testing.T) {
	p := tick(seeded(1), 5000)
	for _, c := range []struct{ given, means int }{{-5, 0}, {10, 9}} {
		got, want := NewDeflater(c.given).Append(nil, p, 15, nil), NewDeflater(c.means).Append(nil, p, 15, nil)
		if !bytes.Equal(got, want) {
			t.Errorf("level %d is not %d", c.given, c.means)
		}
	}
	for _, c := range []struct{ given, means int }{{0, 7}, {-5, 1}, {10, 9}} {
		got, want := NewDeflateStream(c.given, 15).Append(nil, p), NewDeflateStream(c.means, 15).Append(nil, p)
		if !bytes.Equal(got, want) {
			t.Errorf("level %d of a stream is not %d", c.given, c.means)
		}
	}
}

func TestAppendAllocations(t *testing.T) {
	r := seeded(5)
	dst, history := make([]byte, 0, 1<<16), tick(r, 1024)
	for _, c := range []struct {
		level, size int
		bits        uint8
		history     []byte
		want        float64
	}{
		{0, 60, 15, nil, 0},
		{0, 60, 15, history, 1},
		{0, 228, 15, nil, 0},
		{0, 228, 15, history, 1},
		{0, 30000, 15, history, 1},
		{0, 100_000, 15, history, 1},
		{0, 228, 12, history, 1},
		{0, 5000, 12, history, 0},
		{3, 60, 15, nil, 0},
		{3, 60, 15, history, 1},
		{3, 127, 15, history, 1},
		{3, 128, 15, history, 0},
		{3, 30000, 15, history, 0},
		{3, 127, 12, history, 1},
		{3, 128, 12, history, 0},
		{7, 60, 15, history, 0},
		{7, 60, 12, history, 1},
	} {
		if raceEnabled {
			break // there the library's pools keep little, by chance
		}
		d, p := NewDeflater(c.level), tick(r, c.size)
		if n := testing.AllocsPerRun(200, func() { d.Append(dst, p, c.bits, c.history) }); n != c.want {
			t.Errorf("level %d, %d bytes, %d bits, history %d: %v allocations, want %v", c.level, c.size, c.bits, len(c.history), n, c.want)
		}
	}
	s, p := NewDeflateStream(0, 15), tick(r, 228)
	if n := testing.AllocsPerRun(200, func() { s.Append(dst, p) }); n != 0 {
		t.Errorf("a stream: %v allocations, want 0", n)
	}
}

// held is the memory in bytes that what f makes keeps.
func held(f func() any) int {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kept := f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(kept)
	return int(after.HeapAlloc) - int(before.HeapAlloc)
}

// TestDeflateMemory pins what the documentation says of memory: per connection in mode d, per loop in the others.
func TestDeflateMemory(t *testing.T) {
	p := tick(seeded(1), 1024)
	for level := minLevel; level <= maxLevel; level++ {
		if n := held(func() any {
			s := NewDeflateStream(level, 15)
			s.Append(nil, p)
			return s
		}); n > 1_450_000 {
			t.Errorf("a stream of level %d holds %d bytes", level, n)
		}
	}
	if n := held(func() any {
		d := NewDeflater(stateless)
		d.Append(nil, p, 15, p)
		return d
	}); n > 400_000 { // they lie in pools of the library, for all loops
		t.Errorf("a Deflater of level 0 holds %d bytes", n)
	}
	if n := held(func() any {
		d := NewDeflater(maxLevel)
		for bits := uint8(minWindowBits); bits <= maxWindowBits; bits++ {
			d.Append(nil, p, bits, p)
		}
		return d
	}); n > 9_000_000 {
		t.Errorf("a Deflater with every window holds %d bytes", n)
	}
}
