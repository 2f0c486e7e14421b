package codec

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

// reference decodes what is whole in in, frame after frame, in the plainest way there is. It stops at the first frame
// that is incomplete or broken, and says which.
func reference(r *Rules, in []byte) (events []Event, broken bool) {
	var open message
	var payload []byte
	for {
		h, n, err := ParseHeader(in)
		if err != nil || n > 0 && r.check(&h, &open) != nil {
			return events, true
		}
		if n == 0 || h.Length > int64(len(in)-n) {
			return events, false
		}
		p := bytes.Clone(in[n : n+int(h.Length)])
		in = in[n+int(h.Length):]
		maskPlain(p, h.Mask, 0)
		if h.Op.IsControl() {
			if _, _, err := ParseClose(p); h.Op == OpClose && err != nil {
				return events, true
			}
			events = append(events, Event{Op: h.Op, Payload: p})
			continue
		}
		if h.Op != OpContinuation {
			open, payload = message{op: h.Op, compressed: h.RSV == RSV1}, nil
		}
		payload = append(payload, p...)
		open.size, open.frames = open.size+h.Length, open.frames+1
		if !h.Fin {
			continue
		}
		if open.op == OpText && !open.compressed && !utf8.Valid(payload) {
			return events, true
		}
		events = append(events, Event{open.op, open.compressed, payload})
		open = message{}
	}
}

// frames writes what script says: two bytes a frame. Nearly all of it is lawful, so that a fuzzer reaches long lives.
func frames(script []byte, side Side) (in []byte) {
	open := false
	for len(script) >= 2 {
		kind, size := script[0], int(script[1])
		script = script[2:]
		h := Header{Fin: kind&1 == 0, Op: OpText + Opcode(kind>>1&1), Masked: side == Server, Mask: rfcKey}
		if open {
			h.Op = OpContinuation
		}
		if kind&0x1C == 0x1C {
			h.Fin, h.Op, size = true, OpPing+Opcode(kind>>1&1), min(size, MaxControlPayload)
		} else {
			open = !h.Fin
		}
		if kind&0xE0 == 0xE0 {
			size *= 7
		}
		if kind&0x60 == 0x60 && h.Op.IsData() {
			h.RSV = RSV1
		}
		p := text("가나 ", size)
		if kind == 0xA5 && size > 0 {
			p[size/2] = 0xFF // text that is no text
		}
		h.Length = int64(size)
		in = AppendHeader(in, h)
		in = append(in, p...)
		if h.Masked {
			Mask(in[len(in)-size:], rfcKey, 0)
		}
	}
	return in
}

// fuzzRules makes rules from one byte: small limits, so that a fuzzer meets them.
func fuzzRules(b byte) *Rules {
	return &Rules{Side: Side(b & 1), Deflate: b&2 != 0, MaxMessage: 1 + int64(b>>2&7)*700, MaxFrames: 1 + int(b>>5)}
}

// checkSplits is the oracle of both fuzz tests below: whole, byte by byte and cut at random, the same events and the
// same error come out, and they are those of the plain decoder. That one waits for the end of a text before it looks
// at it, so where a Decoder refuses text early, it may know some control frames more.
func checkSplits(t *testing.T, r *Rules, in []byte, seed uint64) {
	want, wantErr := decode(t, r, in, func(left int) int { return left })
	plain, broken := reference(r, in)
	if wantErr == errTextNotUTF8 {
		broken, plain = true, plain[:min(len(want), len(plain))]
	}
	if !sameEvents(want, plain) || broken != (wantErr != nil) {
		t.Fatalf("% x\n got %v, %v\nwant %v, broken %v", in, want, wantErr, plain, broken)
	}
	for name, size := range map[string]func(int) int{
		"byte by byte": func(int) int { return 1 },
		"random":       func(left int) int { return cutSize(&seed, left) },
	} {
		got, err := decode(t, r, in, size)
		placed, placedErr := decodeBy(nextInPlace, t, r, in, size)
		if err != wantErr || !sameEvents(got, want) || placedErr != wantErr || !sameEvents(placed, want) {
			t.Fatalf("%s: % x\n  got %v, %v\nplaced %v, %v\n want %v, %v", name, in, got, err, placed, placedErr, want, wantErr)
		}
	}
}

// FuzzNext feeds bytes as they are: mostly broken frames.
func FuzzNext(f *testing.F) {
	for _, s := range []string{
		"81 05 48656c6c6f", "81 85 37fa213d 7f9f4d5158", "01 03 48656c 80 02 6c6f", "0101 61 8901 70 8001 62 8a00",
		"8805 03e9 627965", "8103 eda080", "0101 ec 8002 9588", "c102 c1c0", "0100 8100", "827e 0080 0000", "8801 03",
	} {
		f.Add(wire(s), byte(0xFF), uint64(1))
		f.Add(wire(s), byte(0xFE), uint64(2))
	}
	f.Fuzz(func(t *testing.T, in []byte, rules byte, seed uint64) { checkSplits(t, fuzzRules(rules), in, seed) })
}

// FuzzNextFrames feeds frames that a script describes: mostly lawful ones, with long lives.
func FuzzNextFrames(f *testing.F) {
	f.Add([]byte{0, 5, 1, 3, 0x1C, 4, 0, 2}, byte(0xFF), uint64(1))
	f.Add([]byte{1, 200, 0x1C, 125, 1, 0, 0xE0, 90, 2, 0}, byte(0xFE), uint64(2))
	f.Add([]byte{0xA5, 9, 0x60, 9, 0, 255}, byte(0xFE), uint64(3))
	f.Fuzz(func(t *testing.T, script []byte, rules byte, seed uint64) {
		if len(script) > 64 {
			script = script[:64]
		}
		r := fuzzRules(rules)
		checkSplits(t, r, frames(script, r.Side), seed)
	})
}
