package codec

import (
	"bytes"
	"fmt"
	"testing"
)

// maskPlain is §5.3 word for word: "octet i of the transformed data is the XOR of octet i of the original data with
// octet at index i modulo 4 of the masking key".
func maskPlain(p []byte, key [4]byte, offset int) {
	for i := range p {
		p[i] ^= key[(i+offset)%4]
	}
}

// pattern is n bytes in which no two positions near each other look alike.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 + i>>8*13)
	}
	return p
}

// TestMask walks every size around the word, the gate and the vector blocks, at every alignment and offset, and looks
// at the bytes around the payload too.
func TestMask(t *testing.T) {
	sizes := []int{255, 256, 257, 511, 512, 1000, 1024, 4097}
	for n := range 2*maskGate + 2 {
		sizes = append(sizes, n)
	}
	for _, n := range sizes {
		for align := range 9 {
			for offset := range 8 {
				got, want := pattern(n+32), pattern(n+32)
				Mask(got[align:align+n], rfcKey, offset)
				maskPlain(want[align:align+n], rfcKey, offset)
				if !bytes.Equal(got, want) {
					t.Fatalf("5.3/size=%d/align=%d/offset=%d differs", n, align, offset)
				}
			}
		}
	}
}

// FuzzMask: masking in two pieces equals masking at once, and twice gives the original back.
func FuzzMask(f *testing.F) {
	f.Add([]byte("Hello"), uint32(0x37fa213d), 2, 0)
	f.Add(pattern(maskGate+5), uint32(0xdeadbeef), maskGate-1, 3)
	f.Fuzz(func(t *testing.T, p []byte, k uint32, cut, offset int) {
		key := [4]byte{byte(k >> 24), byte(k >> 16), byte(k >> 8), byte(k)}
		cut, offset = int(uint(cut)%uint(len(p)+1)), int(uint(offset)%(1<<20))
		want, got := bytes.Clone(p), bytes.Clone(p)
		maskPlain(want, key, offset)
		Mask(got[:cut], key, offset)
		Mask(got[cut:], key, offset+cut)
		if !bytes.Equal(got, want) {
			t.Fatalf("cut at %d, offset %d: % x, want % x", cut, offset, got, want)
		}
		Mask(got, key, offset)
		if !bytes.Equal(got, p) {
			t.Fatalf("masked twice: % x, want % x", got, p)
		}
	})
}

func BenchmarkMaskPayload(b *testing.B) {
	for _, n := range []int{4, 8, 20, 64, 125, 128, 192, 256, 1024, 16384} {
		for _, offset := range []int{0, 3} {
			b.Run(fmt.Sprintf("size=%d/offset=%d", n, offset), func(b *testing.B) {
				p := pattern(n)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					Mask(p, rfcKey, offset)
				}
			})
		}
	}
}
