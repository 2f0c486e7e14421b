package codec

import "encoding/binary"

// vectorGate is the size in bytes from which the vector validator beats the automaton below, by far on Korean; on pure
// ASCII the two are level there.
const vectorGate = 32

// ValidUTF8 reports whether p is UTF-8 from its first to its last byte. It does not retain p.
func ValidUTF8(p []byte) bool {
	if len(p) >= vectorGate {
		return validLong(p)
	}
	return scan(stateBoundary, p) == stateBoundary
}

// UTF8 validates text that arrives in pieces. The zero value is ready.
type UTF8 struct {
	state uint8 // of the automaton below
}

// Write takes the next piece and reports whether the text can still become valid. It answers false for the piece that
// holds the first byte which no continuation can repair: half a code point at the end is fine, a surrogate's second
// byte is not. After false it answers false until Reset. It does not retain p.
func (v *UTF8) Write(p []byte) bool {
	for v.state != stateBoundary && len(p) > 0 {
		v.state = scan(v.state, p[:1])
		p = p[1:]
		if v.state == stateInvalid {
			return false
		}
	}
	if len(p) >= vectorGate {
		cut := len(p) - cutLength(p)
		if !validLong(p[:cut]) {
			v.state = stateInvalid
			return false
		}
		p = p[cut:]
	}
	v.state = scan(v.state, p)
	return v.state != stateInvalid
}

// Done reports whether the text so far ends with a whole code point. A text message must, RFC 6455 §5.6; a frame in
// its middle need not.
func (v *UTF8) Done() bool { return v.state == stateBoundary }

// Reset makes v ready for another text.
func (v *UTF8) Reset() { *v = UTF8{} }

// cutLength counts the bytes at the end of p that begin a code point without ending it, judged by the lead byte alone.
// It sees at most three bytes: a fourth ends every code point.
func cutLength(p []byte) int {
	for n := 1; n <= 3 && n <= len(p); n++ {
		c := p[len(p)-n]
		switch {
		case c < 0x80:
			return 0
		case c < 0xC0:
			continue // a continuation: its lead stands further ahead
		case n < leadLength(c):
			return n
		}
		return 0
	}
	return 0
}

// leadLength is the length in bytes of the code point that the lead byte c announces.
func leadLength(c byte) int {
	switch {
	case c < 0xE0:
		return 2
	case c < 0xF0:
		return 3
	}
	return 4
}

// The automaton has a state for every answer to "which bytes may come next", by table 3-7 of the Unicode standard,
// which is RFC 3629 §4. Four leads narrow the byte behind them: against overlong forms (E0, F0), surrogates (ED) and
// what lies over U+10FFFF (F4). A state is a shift into a row of transitions, so taking a byte is one load and one
// shift, without a branch that the script of the text could mispredict.
const (
	stateBoundary uint8 = 6 * iota // between two code points
	stateInvalid                   // no way back
	stateTail1                     // one continuation byte
	stateTail2                     // two
	stateTail3                     // three
	stateAfterE0                   // A0..BF, then one
	stateAfterED                   // 80..9F, then one
	stateAfterF0                   // 90..BF, then two
	stateAfterF4                   // 80..8F, then two
)

// transitions has a row for every byte: at bit s stands the state that follows s.
var transitions = func() (rows [256]uint64) {
	for _, t := range [...]struct {
		from    uint8
		lo, hi  int
		towards uint8
	}{
		{stateBoundary, 0x00, 0x7F, stateBoundary},
		{stateBoundary, 0xC2, 0xDF, stateTail1},
		{stateBoundary, 0xE0, 0xE0, stateAfterE0},
		{stateBoundary, 0xE1, 0xEC, stateTail2},
		{stateBoundary, 0xED, 0xED, stateAfterED},
		{stateBoundary, 0xEE, 0xEF, stateTail2},
		{stateBoundary, 0xF0, 0xF0, stateAfterF0},
		{stateBoundary, 0xF1, 0xF3, stateTail3},
		{stateBoundary, 0xF4, 0xF4, stateAfterF4},
		{stateTail1, 0x80, 0xBF, stateBoundary},
		{stateTail2, 0x80, 0xBF, stateTail1},
		{stateTail3, 0x80, 0xBF, stateTail2},
		{stateAfterE0, 0xA0, 0xBF, stateTail1},
		{stateAfterED, 0x80, 0x9F, stateTail1},
		{stateAfterF0, 0x90, 0xBF, stateTail2},
		{stateAfterF4, 0x80, 0x8F, stateTail2},
	} {
		for c := t.lo; c <= t.hi; c++ {
			rows[c] |= uint64(t.towards^stateInvalid) << t.from
		}
	}
	for c := range rows {
		for s := stateBoundary; s <= stateAfterF4; s += 6 {
			rows[c] ^= uint64(stateInvalid) << s // what no line above names is invalid
		}
	}
	return rows
}()

// scan runs the automaton over p and returns the state behind it.
func scan(from uint8, p []byte) uint8 {
	for from == stateBoundary && len(p) >= 8 && binary.LittleEndian.Uint64(p)&0x8080808080808080 == 0 {
		p = p[8:]
	}
	state := uint64(from)
	for _, c := range p {
		state = transitions[c] >> (state & 63)
	}
	return uint8(state & 63)
}
