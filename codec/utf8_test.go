package codec

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// canBecomeText is the brute-force answer to "can this prefix still become valid": it tries what may follow the last
// code point. One byte of each range that table 3-7 of the Unicode standard tells apart is enough.
func canBecomeText(prefix []byte) bool {
	if utf8.Valid(prefix) {
		return true
	}
	for _, next := range []string{"\x80", "\x90", "\xA0"} {
		for _, rest := range []string{"", "\x80", "\x80\x80"} {
			if utf8.Valid(append(bytes.Clone(prefix), next+rest...)) {
				return true
			}
		}
	}
	return false
}

func TestUTF8(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     string
		failAt int // index of the byte that must be refused; -1 for none
		done   bool
	}{
		{"empty", "", -1, true},
		{"ascii", "Hello", -1, true},
		{"korean", "안녕하세요", -1, true},
		{"highest", "\U0010FFFF", -1, true},
		{"around surrogates", "\uD7FF\uE000", -1, true},
		{"noncharacter", "\uFFFE\uFFFF", -1, true},
		{"nul", "\x00", -1, true},
		{"cut/2", "\xC2", -1, false},
		{"cut/3", "\xEC\x95", -1, false},
		{"cut/4", "\xF0\x9F\x98", -1, false},
		{"lone continuation", "a\x80", 1, false},
		{"overlong/C0", "\xC0\x80", 0, false},
		{"overlong/C1", "a\xC1\xBF", 1, false},
		{"overlong/E0 80", "\xE0\x80\x80", 1, false},
		{"overlong/E0 9F", "\xE0\x9F\xBF", 1, false},
		{"overlong/F0 8F", "\xF0\x8F\xBF\xBF", 1, false},
		{"surrogate/ED A0", "\xED\xA0\x80", 1, false},
		{"surrogate/ED BF", "\xED\xBF\xBF", 1, false},
		{"over 10FFFF/F4 90", "\xF4\x90\x80\x80", 1, false},
		{"over 10FFFF/F5", "\xF5\x80\x80\x80", 0, false},
		{"byte/FE", "\xFE", 0, false},
		{"byte/FF", "a\xFF", 1, false},
		{"missing tail", "\xEC\x95a", 2, false},
		{"lead in tail", "\xF0\x9F\xC3", 2, false},
	} {
		t.Run("8.1/"+c.name, func(t *testing.T) {
			var v UTF8
			failAt := -1
			for i := 0; i < len(c.in) && failAt < 0; i++ {
				if !v.Write([]byte(c.in[i : i+1])) {
					failAt = i
				}
			}
			if failAt != c.failAt {
				t.Fatalf("refused at %d, want %d", failAt, c.failAt)
			}
			if failAt < 0 && v.Done() != c.done {
				t.Errorf("Done %v, want %v", v.Done(), c.done)
			}
			if failAt >= 0 && v.Write([]byte("a")) {
				t.Error("accepted text after it had failed")
			}
			v.Reset()
			if !v.Done() || !v.Write([]byte("a")) {
				t.Error("not ready after Reset")
			}
			if got, want := ValidUTF8([]byte(c.in)), utf8.ValidString(c.in); got != want {
				t.Errorf("ValidUTF8 %v, want %v", got, want)
			}
		})
	}
}

// sequences are all leads that are not plain ASCII, followed by bytes on both sides of every edge in table 3-7.
func sequences(yield func([]byte) bool) {
	for lead := 0x80; lead <= 0xFF; lead++ {
		for _, second := range []byte("\x00\x7F\x80\x8F\x90\x9F\xA0\xBF\xC0\xC2\xE1\xFF") {
			for _, tail := range []string{"", "\x7F", "\x80", "\xBF", "\xC0", "\x80\x80", "\xBF\xBF", "\x80\x7F", "\x80\xC0"} {
				if !yield(append([]byte{byte(lead), second}, tail...)) {
					return
				}
			}
		}
	}
}

// TestUTF8Sequences compares the automaton with the standard library, byte by byte: it refuses where brute force says
// that nothing can follow, not a byte earlier or later.
func TestUTF8Sequences(t *testing.T) {
	for seq := range sequences {
		var v UTF8
		for i := range seq {
			ok := v.Write(seq[i : i+1])
			if want := canBecomeText(seq[:i+1]); ok != want {
				t.Fatalf("% x: %v after byte %d, want %v", seq, ok, i, want)
			}
			if !ok {
				break
			}
			if v.Done() != utf8.Valid(seq[:i+1]) {
				t.Fatalf("% x: Done %v after byte %d", seq, v.Done(), i)
			}
		}
	}
}

// TestUTF8Blocks puts sequences across the edges of the vector validator's blocks, whole and cut at the edge, at the
// end of the text and in the middle.
func TestUTF8Blocks(t *testing.T) {
	filler := []byte(strings.Repeat("가", 32))
	for seq := range sequences {
		for _, at := range []int{0, 30, 60, 63, 93} {
			for _, after := range []int{0, 33} {
				p := append(append(bytes.Clone(filler[:at]), seq...), filler[:after]...)
				want := utf8.Valid(p)
				if ValidUTF8(p) != want {
					t.Fatalf("% x: %v, want %v", p, !want, want)
				}
				var v UTF8
				if got := v.Write(p[:at+1]) && v.Write(p[at+1:]) && v.Done(); got != want {
					t.Fatalf("% x cut at %d: %v, want %v", p, at+1, got, want)
				}
			}
		}
	}
}

// FuzzUTF8: however the text is cut, the piece with the first hopeless byte is refused and no piece before it.
func FuzzUTF8(f *testing.F) {
	for _, s := range []string{
		"Hello", "안녕하세요 세계", "\xED\xA0\x80", "\xF4\x90", "a\xC0", strings.Repeat("가", 40), strings.Repeat("x", 70) + "\xE0\x80",
		strings.Repeat("😀", 20) + "\xF0\x9F\x98",
	} {
		f.Add([]byte(s), uint64(1))
		f.Add([]byte(s), uint64(0x123456789))
	}
	f.Fuzz(func(t *testing.T, p []byte, seed uint64) {
		if got, want := ValidUTF8(p), utf8.Valid(p); got != want {
			t.Fatalf("% x: %v, want %v", p, got, want)
		}
		var v UTF8
		for at := 0; at < len(p); {
			end := at + cutSize(&seed, len(p)-at)
			want := canBecomeText(p[:end])
			if got := v.Write(p[at:end]); got != want {
				t.Fatalf("% x: piece %d to %d: %v, want %v", p, at, end, got, want)
			}
			if !want {
				return
			}
			if v.Done() != utf8.Valid(p[:end]) {
				t.Fatalf("% x: Done %v at %d", p, v.Done(), end)
			}
			at = end
		}
	})
}

// cutSize draws the size of the next piece, 1 to left: mostly a few bytes, sometimes many. seed makes it repeatable.
func cutSize(seed *uint64, left int) int {
	*seed = *seed*6364136223846793005 + 1442695040888963407
	n := 1 + int(*seed>>33%7)
	if *seed>>60 == 0 {
		n = 1 + int(*seed>>33%200)
	}
	return min(n, left)
}

// text repeats unit to n bytes; what does not fit whole is filled up with ASCII.
func text(unit string, n int) []byte {
	s := strings.Repeat(unit, n/len(unit))
	return []byte(s + strings.Repeat("x", n-len(s)))
}

var scripts = []struct{ name, unit string }{
	{"ascii", "price 12345.67 "},
	{"korean", "안녕하세요 세계 "},
}

func BenchmarkValidateText(b *testing.B) {
	for _, s := range scripts {
		for _, n := range []int{16, 20, 64, 125, 1024, 16384} {
			b.Run(fmt.Sprintf("text=%s/size=%d", s.name, n), func(b *testing.B) {
				p := text(s.unit, n)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					if !ValidUTF8(p) {
						b.Fatal("refused")
					}
				}
			})
		}
	}
}
