package main

import (
	"encoding/binary"
	"testing"

	"github.com/headrace/headrace/bench/peers/servers"
)

// wire is what a server sends for messages with these numbers, due at ten times that.
func wire(numbers ...uint64) (b []byte) {
	for _, n := range numbers {
		b = append(b, 0x82, 126, 0, servers.MessageSize)
		b = binary.BigEndian.AppendUint64(b, n)
		b = binary.BigEndian.AppendUint64(b, 10*n)
		b = append(b, make([]byte, servers.MessageSize-16)...)
	}
	return b
}

func TestFramesWhateverTheReads(t *testing.T) {
	all := wire(0, 1, 2, 3, 4)
	for cut := 1; cut <= len(all); cut++ {
		var f frames
		got := 0
		heard := func(number uint64, due int64) {
			if number != uint64(got) || due != 10*int64(number) {
				t.Errorf("cut every %d: message %d, due %d, comes as number %d", cut, number, due, got)
			}
			got++
		}
		n, err := readInPieces(&f, all, cut, heard)
		if n != 5 || got != 5 || f.have != 0 || err != nil {
			t.Fatalf("cut every %d: %d messages, %d heard, %d bytes left, %v", cut, n, got, f.have, err)
		}
	}
}

func TestFramesRefuse(t *testing.T) {
	masked := wire(0)
	masked[1] |= 0x80
	for name, b := range map[string][]byte{
		"repeated": wire(0, 0), "missing": wire(0, 2), "late beginning": wire(1), "other": masked, "ping": append([]byte{0x89, 0}, wire(0)...),
	} {
		var f frames
		if _, err := f.read(b, nil); err == nil {
			t.Errorf("%s: passed", name)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(wire(0, 1), 5)
	f.Add(wire(0, 0), 140)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		var whole, pieces frames
		n, err := whole.read(b, nil)
		m, cutErr := readInPieces(&pieces, b, max(1, cut), nil)
		if n != m || (err == nil) != (cutErr == nil) || whole.next != pieces.next {
			t.Errorf("%d messages (%v) at once, %d (%v) in pieces of %d", n, err, m, cutErr, cut)
		}
	})
}

func readInPieces(f *frames, b []byte, size int, heard func(uint64, int64)) (messages int, err error) {
	for len(b) > 0 && err == nil {
		n := 0
		piece := b[:min(size, len(b))]
		b = b[len(piece):]
		n, err = f.read(piece, heard)
		messages += n
	}
	return messages, err
}
