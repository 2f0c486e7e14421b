package codec

import (
	"bytes"
	stdflate "compress/flate"
	"io"
	"testing"
	"unicode/utf8"
)

// plainInflate is RFC 7692 §7.2.2 by the standard library, with no care for memory: ok false says that the payload is
// corrupt. It stops behind cap bytes.
func plainInflate(in, history []byte, most int) (out []byte, ok bool) {
	if len(in) == 0 {
		return nil, true
	}
	r := bytes.NewReader(append(bytes.Clone(in), receiveTail...))
	for range maxFinalBlocks {
		dict := append(bytes.Clone(history), out...)
		z := stdflate.NewReaderDict(r, dict[max(0, len(dict)-maxWindow):])
		p, err := io.ReadAll(io.LimitReader(z, int64(most-len(out))))
		out = append(out, p...)
		switch {
		case err != nil:
			return out, false
		case len(out) == most, r.Len() == 0, r.Len() == len(receiveTail):
			return out, true
		}
	}
	return nil, false
}

// FuzzInflate gives an Inflater bytes as they come: it never panics and never goes over its limit (inflate sees to
// that), and it finds what the standard library finds.
func FuzzInflate(f *testing.F) {
	for _, s := range []string{
		"f248cdc9c90700", "f200110000", "000500faff48656c6c6f00", "f348cdc9c9070000", "f24805000000ffffcac9c90700", "00",
		"f348cdc9c90700 f3001100 f3001100 00", "010500faff48656c6c6f 00", "f348cdc9c90700 07", "000200fdffec9500",
	} {
		f.Add(wire(s), []byte("Hello"), uint32(100), true)
		f.Add(wire(s), []byte(nil), uint32(4), false)
	}
	f.Add(bomb(1<<20), []byte(nil), uint32(70000), true)
	f.Add(NewDeflater(6).Append(nil, tick(seeded(1), 300), 15, nil), []byte(nil), uint32(1<<20), true)
	shared := new(Inflater)
	f.Fuzz(func(t *testing.T, in, history []byte, limit uint32, isText bool) {
		limit %= 1 << 21
		op := OpBinary
		if isText {
			op = OpText
		}
		want, ok := plainInflate(in, history, int(limit)+1)
		for _, inflater := range []*Inflater{shared, new(Inflater)} {
			got, err := inflate(t, inflater, op, in, history, int64(limit))
			switch {
			case err == errTooManyFinals && !ok:
			case err == errTooBig && (!ok || len(want) > int(limit)):
			case err == errTextNotUTF8 && isText && (!ok || !utf8.Valid(want)):
			case err == errInflate && !ok:
			case err == nil && ok && bytes.Equal(got, want) && !(isText && !utf8.Valid(got)):
			default:
				t.Fatalf("% x\ngot %d bytes, %v\nwant %d bytes, ok %v", in, len(got), err, len(want), ok)
			}
		}
	})
}

// FuzzInflateFrames: how a compressed message is cut into frames, and they into reads, changes nothing.
func FuzzInflateFrames(f *testing.F) {
	f.Add(wire("f24805000000ffffcac9c90700"), uint8(3), uint64(1))
	f.Add(NewDeflater(6).Append(nil, tick(seeded(1), 300), 15, nil), uint8(90), uint64(2))
	f.Fuzz(func(t *testing.T, payload []byte, size uint8, seed uint64) {
		payload = payload[:min(len(payload), 4000)]
		var inflater Inflater
		want, wantErr := inflate(t, &inflater, OpText, payload, nil, 1<<16)
		var in []byte
		rest := payload
		for first := true; first || len(rest) > 0; first = false {
			n := min(len(rest), int(size)+4)
			h := Header{Fin: n == len(rest), Op: OpContinuation, Length: int64(n)}
			if first {
				h.Op, h.RSV = OpText, RSV1
			}
			in = append(AppendHeader(in, h), rest[:n]...)
			rest = rest[n:]
		}
		events, err := decode(t, &everything, in, func(left int) int { return cutSize(&seed, left) })
		if err != nil || len(events) != 1 || !events[0].Compressed {
			t.Fatalf("%d events, %v", len(events), err)
		}
		got, err := inflate(t, &inflater, events[0].Op, events[0].Payload, nil, 1<<16)
		if err != wantErr || !bytes.Equal(got, want) {
			t.Fatalf("got %d bytes, %v; want %d, %v", len(got), err, len(want), wantErr)
		}
	})
}

// FuzzAppend sends p in messages of size bytes, compressed in every way, and reads them with other libraries: the same
// comes out, no distance is over the window, and nothing grows by more than it may. What it sends is p itself and p
// twice over, so that there is something to find.
func FuzzAppend(f *testing.F) {
	f.Add([]byte("Hello, Hello, Hello"), uint16(7), uint8(2), uint8(15), uint16(1024))
	f.Add(tick(seeded(1), 400), uint16(150), uint8(6), uint8(9), uint16(400))
	f.Add(noise(seeded(1), 100), uint16(60), uint8(9), uint8(8), uint16(256))
	deflaters := map[uint8]*Deflater{}
	f.Fuzz(func(t *testing.T, p []byte, size uint16, level, bits uint8, keep uint16) {
		level, bits = level%(maxLevel+1), minWindowBits+bits%8
		if deflaters[level] == nil {
			deflaters[level] = NewDeflater(int(level))
		}
		mem, stream := newTestMemory(t), NewDeflateStream(int(level), bits)
		var sent, all Window
		p = append(bytes.Clone(p), p...)
		for len(p) > 0 {
			message := p[:min(len(p), int(size)+1)]
			p = p[len(message):]
			fresh := deflaters[level].Append(nil, message, bits, sent.Bytes())
			checkSent(t, fresh, message, sent.Bytes(), bits)
			checkSent(t, stream.Append(nil, message), message, all.Bytes(), bits)
			sent.Add(mem, message, min(int(keep), 1<<bits))
			all.Add(mem, message, 1<<bits)
		}
	})
}

func checkSent(t *testing.T, payload, message, history []byte, bits uint8) {
	t.Helper()
	if len(payload) == 0 || len(payload) > most(len(message)) {
		t.Fatalf("%d bytes became %d", len(message), len(payload))
	}
	out, furthest := received(t, payload, history)
	if !bytes.Equal(out, message) || furthest > 1<<bits {
		t.Fatalf("% x\ncame back as % x, from %d back with %d bits", message, out, furthest, bits)
	}
	if got, err := inflate(t, new(Inflater), OpBinary, payload, history, int64(len(message))); err != nil || !bytes.Equal(got, message) {
		t.Fatalf("% x came back as % x, %v", message, got, err)
	}
}
