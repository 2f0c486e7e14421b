package codec

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// wire reads bytes written as in RFC 6455 §5.7: hex with spaces.
func wire(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

var rfcKey = [4]byte{0x37, 0xfa, 0x21, 0x3d} // the key of the examples in §5.7

func TestParseHeader(t *testing.T) {
	for _, c := range []struct {
		name string
		in   string
		h    Header
		n    int
	}{
		{"5.7/text/unmasked", "81 05 48", Header{Fin: true, Op: OpText, Length: 5}, 2},
		{"5.7/text/masked", "81 85 37fa213d 7f", Header{Fin: true, Op: OpText, Masked: true, Mask: rfcKey, Length: 5}, 6},
		{"5.7/text/first fragment", "01 03 48", Header{Op: OpText, Length: 3}, 2},
		{"5.7/text/last fragment", "80 02 6c", Header{Fin: true, Length: 2}, 2},
		{"5.7/ping", "89 05 48", Header{Fin: true, Op: OpPing, Length: 5}, 2},
		{"5.7/binary/256 bytes", "82 7e 0100", Header{Fin: true, Op: OpBinary, Length: 256}, 4},
		{"5.7/binary/64 KiB", "82 7f 0000000000010000", Header{Fin: true, Op: OpBinary, Length: 65536}, 10},
		{"5.2/length/125", "82 7d", Header{Fin: true, Op: OpBinary, Length: 125}, 2},
		{"5.2/length/126", "82 7e 007e", Header{Fin: true, Op: OpBinary, Length: 126}, 4},
		{"5.2/length/65535", "82 7e ffff", Header{Fin: true, Op: OpBinary, Length: 65535}, 4},
		{
			"5.2/length/largest", "82 ff 7fffffffffffffff 01020304",
			Header{Fin: true, Op: OpBinary, Masked: true, Mask: [4]byte{1, 2, 3, 4}, Length: 1<<63 - 1},
			14,
		},
		{"5.2/rsv/1", "c1 00", Header{Fin: true, RSV: RSV1, Op: OpText}, 2},
		{"5.2/rsv/2", "a1 00", Header{Fin: true, RSV: RSV2, Op: OpText}, 2},
		{"5.2/rsv/3", "91 00", Header{Fin: true, RSV: RSV3, Op: OpText}, 2},
		{"5.5/close/longest", "88 7d", Header{Fin: true, Op: OpClose, Length: 125}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := wire(c.in)
			h, n, err := ParseHeader(in)
			if h != c.h || n != c.n || err != nil {
				t.Fatalf("got %+v, %d, %v; want %+v, %d", h, n, err, c.h, c.n)
			}
			if out := AppendHeader(nil, h); !bytes.Equal(out, in[:n]) {
				t.Errorf("written again: % x, want % x", out, in[:n])
			}
			if size := HeaderSize(h.Length, h.Masked); size != n {
				t.Errorf("HeaderSize %d, want %d", size, n)
			}
			for k := range n {
				if _, got, err := ParseHeader(in[:k]); got != 0 || err != nil {
					t.Errorf("%d bytes: %d, %v; want need more", k, got, err)
				}
			}
		})
	}
}

// TestParseHeaderError gives each rule the shortest input that breaks it: a byte less must not fail.
func TestParseHeaderError(t *testing.T) {
	type breach struct {
		name string
		in   string
		want error
	}
	cases := []breach{
		{"5.5/control/fragmented/close", "08", errControlFragmented},
		{"5.5/control/fragmented/ping", "09", errControlFragmented},
		{"5.5/control/fragmented/pong", "0a", errControlFragmented},
		{"5.5/control/126 bytes", "89 7e", errControlTooLong},
		{"5.5/control/64-bit length", "88 ff", errControlTooLong},
		{"5.2/length/125 in 16 bits", "82 7e 007d", errLengthNotMinimal},
		{"5.2/length/0 in 16 bits", "82 fe 0000", errLengthNotMinimal},
		{"5.2/length/65535 in 64 bits", "82 7f 000000000000", errLengthNotMinimal},
		{"5.2/length/high bit", "82 7f 80", errLengthHighBit},
	}
	for op := range byte(16) {
		if op&7 > 2 {
			cases = append(cases, breach{fmt.Sprintf("5.2/opcode/%#x", op), hex.EncodeToString([]byte{0x80 | op}), errReservedOpcode})
		}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			in := wire(c.in)
			if _, n, err := ParseHeader(in); n != 0 || err != c.want {
				t.Errorf("got %d, %v; want %v", n, err, c.want)
			}
			if _, n, err := ParseHeader(in[:len(in)-1]); n != 0 || err != nil {
				t.Errorf("a byte less: %d, %v; want need more", n, err)
			}
		})
	}
}

func TestAppendFrame(t *testing.T) {
	hello := []byte("Hello")
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"5.7/text/unmasked", AppendFrame(nil, OpText, hello), "81 05 48656c6c6f"},
		{"5.7/text/masked", AppendMaskedFrame(nil, OpText, rfcKey, hello), "81 85 37fa213d 7f9f4d5158"},
		{"5.7/ping/unmasked", AppendFrame(nil, OpPing, hello), "89 05 48656c6c6f"},
		{"5.7/pong/masked", AppendMaskedFrame(nil, OpPong, rfcKey, hello), "8a 85 37fa213d 7f9f4d5158"},
		{"5.7/binary/256 bytes", AppendFrame(nil, OpBinary, make([]byte, 256)), "82 7e 0100" + strings.Repeat("00", 256)},
		{
			"5.7/binary/64 KiB", AppendFrame(nil, OpBinary, make([]byte, 65536)),
			"82 7f 0000000000010000" + strings.Repeat("00", 65536),
		},
		{"5.4/empty", AppendFrame([]byte{1}, OpText, nil), "01 8100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if want := wire(c.want); !bytes.Equal(c.got, want) {
				t.Errorf("got % x, want % x", c.got, want)
			}
		})
	}
	if string(hello) != "Hello" {
		t.Errorf("the payload was changed: %q", hello)
	}
}

func TestOpcode(t *testing.T) {
	for op, want := range map[Opcode]struct {
		name          string
		control, data bool
	}{
		OpContinuation: {"continuation", false, false},
		OpText:         {"text", false, true},
		OpBinary:       {"binary", false, true},
		0x3:            {"reserved(0x3)", false, false},
		OpClose:        {"close", true, false},
		OpPing:         {"ping", true, false},
		OpPong:         {"pong", true, false},
		0xF:            {"reserved(0xf)", true, false},
	} {
		if op.String() != want.name || op.IsControl() != want.control || op.IsData() != want.data {
			t.Errorf("%#x: %q, control %v, data %v", byte(op), op, op.IsControl(), op.IsData())
		}
	}
}

// FuzzParseHeader: the outcome of a prefix never contradicts that of the whole, an accepted header is written back to
// the same bytes, and where more is asked for, something exists that completes it.
func FuzzParseHeader(f *testing.F) {
	for _, s := range []string{
		"8105", "818537fa213d", "827e0100", "827f0000000000010000", "82ff7fffffffffffffff01020304",
		"09", "897e", "827e007d", "827f00000000000001", "827f80", "83",
	} {
		f.Add(wire(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := ParseHeader(b)
		if n > 0 {
			if out := AppendHeader(nil, h); !bytes.Equal(out, b[:n]) || HeaderSize(h.Length, h.Masked) != n {
				t.Fatalf("% x became % x", b[:n], out)
			}
			if n > MaxHeaderSize || h.Length < 0 || err != nil {
				t.Fatalf("%+v, %d, %v", h, n, err)
			}
		}
		for k := range min(len(b), MaxHeaderSize) {
			ph, pn, perr := ParseHeader(b[:k])
			switch {
			case pn == 0 && perr == nil:
				if !canComplete(b[:k]) {
					t.Fatalf("% x asks for more, and nothing can come", b[:k])
				}
			case ph != h || pn != n || perr != err:
				t.Fatalf("% x: %+v, %d, %v; with more bytes %+v, %d, %v", b[:k], ph, pn, perr, h, n, err)
			}
		}
	})
}

// canComplete reports whether some bytes after prefix make a header.
func canComplete(prefix []byte) bool {
	for _, filler := range []byte{0x00, 0x7F} {
		b := append(bytes.Clone(prefix), bytes.Repeat([]byte{filler}, MaxHeaderSize)...)
		if _, n, _ := ParseHeader(b); n > 0 {
			return true
		}
	}
	return false
}

func BenchmarkParseHeader(b *testing.B) {
	for _, length := range []int64{20, 1024, 1 << 20} {
		b.Run(fmt.Sprintf("length=%d", length), func(b *testing.B) {
			in := AppendHeader(nil, Header{Fin: true, Op: OpText, Masked: true, Mask: rfcKey, Length: length})
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if _, n, _ := ParseHeader(in); n == 0 {
					b.Fatal("not parsed")
				}
			}
		})
	}
}
