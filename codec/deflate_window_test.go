package codec

import (
	"bytes"
	"fmt"
	"testing"
	"unsafe"
)

// TestWindow adds messages of every size around the window's and holds the result against the last bytes of them all.
func TestWindow(t *testing.T) {
	for _, size := range []int{0, 1, 2, 100, 256, 1024} {
		t.Run(fmt.Sprintf("7692-7.2/size=%d", size), func(t *testing.T) {
			mem := newTestMemory(t)
			var w Window
			var all []byte
			r := seeded(1)
			for _, n := range []int{0, 1, 3, 0, size / 2, size - 1, size, size + 1, 3 * size, 5, 1, 1, size / 3, size / 3, size / 3} {
				if n < 0 {
					continue
				}
				p := noise(r, n)
				w.Add(mem, p, size)
				all = append(all, p...)
				if want := all[max(0, len(all)-size):]; !bytes.Equal(w.Bytes(), want) {
					t.Fatalf("after %d bytes it holds %d that are not the last %d", len(all), len(w.Bytes()), len(want))
				}
				if limit := min(max(2*len(all), minBuffer), size); w.Buffered() > limit || len(mem.out) > 1 {
					t.Fatalf("%d bytes in %d buffers, after %d bytes", w.Buffered(), len(mem.out), len(all))
				}
			}
			w.Release(mem)
			if len(mem.out) != 0 || w.Buffered() != 0 || len(w.Bytes()) != 0 {
				t.Errorf("after Release: %d buffers, %d bytes", len(mem.out), w.Buffered())
			}
		})
	}
}

// roundingMemory lends more than was asked for, as size classes do.
type roundingMemory struct{ *testMemory }

func (m roundingMemory) Get(n int) []byte { return m.testMemory.Get(max(512, 2*n)) }

func TestWindowKeepsItsSize(t *testing.T) {
	mem := roundingMemory{newTestMemory(t)}
	var w Window
	for range 10 {
		if w.Add(mem, pattern(90), 256); len(w.Bytes()) > 256 {
			t.Fatalf("%d bytes, more than its size", len(w.Bytes()))
		}
	}
}

func TestWindowSize(t *testing.T) {
	if size := unsafe.Sizeof(Window{}); size > 24 {
		t.Errorf("a Window takes %d bytes, the budget is 24", size)
	}
}

func TestWindowAllocatesNothing(t *testing.T) {
	mem := newTestMemory(t)
	var w Window
	p := pattern(300)
	w.Add(mem, pattern(1024), 1024)
	if n := testing.AllocsPerRun(100, func() { w.Add(mem, p, 1024) }); n != 0 {
		t.Errorf("%v allocations for a window that is full, want 0", n)
	}
}
