package codec

import (
	"bytes"
	stdflate "compress/flate"
	"fmt"
	"testing"
	"unsafe"

	"github.com/klauspost/compress/flate"
)

// inflate runs one message through f and gives back a copy. It checks that no buffer stays out.
func inflate(t testing.TB, f *Inflater, op Opcode, p, history []byte, limit int64) ([]byte, error) {
	t.Helper()
	mem := newCountingMemory(t)
	saved := bytes.Clone(p)
	out, err := f.Inflate(mem, op, p, history, limit)
	switch {
	case !bytes.Equal(p, saved):
		t.Fatal("the payload was written to")
	case err != nil && (out != nil || len(mem.out) != 0):
		t.Fatalf("%v with %d buffers out", err, len(mem.out))
	case err == nil && (len(mem.out) > 1 || (out != nil) != (len(mem.out) == 1)):
		t.Fatalf("%d buffers out", len(mem.out))
	case int64(len(out)) > limit:
		t.Fatalf("%d bytes, limit %d", len(out), limit)
	case err != nil && int64(mem.peak) > limit:
		t.Fatalf("%d bytes lent for what was refused, limit %d", mem.peak, limit)
	}
	result := bytes.Clone(out)
	if out != nil {
		mem.Put(out)
	}
	return result, err
}

// countingMemory counts what is out at a time.
type countingMemory struct {
	*testMemory
	lent, peak int
}

func newCountingMemory(t testing.TB) *countingMemory {
	return &countingMemory{testMemory: newTestMemory(t)}
}

func (m *countingMemory) Get(n int) []byte {
	m.lent += n
	m.peak = max(m.peak, m.lent)
	return m.testMemory.Get(n)
}

func (m *countingMemory) Put(p []byte) {
	m.lent -= cap(p)
	m.testMemory.Put(p)
}

// TestInflateRFC holds the examples of RFC 7692 §7.2.3, as payloads without their frames, and their neighbours.
func TestInflateRFC(t *testing.T) {
	for _, c := range []struct {
		name, in, history, want string
	}{
		{"7.2.3.1/one block", "f248cdc9c90700", "", "Hello"},
		{"7.2.3.2/second message", "f200110000", "Hello", "Hello"},
		{"7.2.3.2/second message as if new", "f248cdc9c90700", "Hello", "Hello"},
		{"7.2.3.3/stored", "000500faff48656c6c6f00", "", "Hello"},
		{"7.2.3.4/final block", "f348cdc9c9070000", "", "Hello"},
		{"7.2.3.4/final block without an empty one behind", "f348cdc9c90700", "", "Hello"},
		{"7.2.3.4/final block, then another", "f348cdc9c90700 f248cdc9c90700", "", "HelloHello"},
		{"7.2.3.4/final block, then one that refers back", "f348cdc9c90700 f200110000", "", "HelloHello"},
		{"7.2.3.4/three final blocks", "f348cdc9c90700 f3001100 f3001100 00", "", "HelloHelloHello"},
		{"7.2.3.4/final block refers to history and the next over it", "f3001100 f2001100 00", "Hello", "HelloHello"},
		{"7.2.3.4/final stored block", "010500faff48656c6c6f 00", "", "Hello"},
		{"7.2.3.5/two blocks", "f24805000000ffffcac9c90700", "", "Hello"},
		{"7.2.3.6/empty", "00", "", ""},
		{"7.2.3.6/empty fixed block", "0200", "", ""},
		{"7.2.3.6/empty final block", "030000", "", ""},
		{"7.2.3.6/no bytes at all", "", "", ""},
	} {
		t.Run("7692-"+c.name, func(t *testing.T) {
			var f Inflater
			for range 2 {
				got, err := inflate(t, &f, OpText, wire(c.in), []byte(c.history), 15)
				if err != nil || string(got) != c.want {
					t.Errorf("got %q, %v; want %q", got, err, c.want)
				}
			}
		})
	}
}

// TestInflateFrames takes the RFC's frames, §7.2.3.1 and §7.2.3.2, the way from the wire.
func TestInflateFrames(t *testing.T) {
	in := wire("c107f248cdc9c90700 4103f248cd 8004c9c90700 c105f200110000")
	events, err := decode(t, &everything, in, func(left int) int { return left })
	if err != nil || len(events) != 3 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	var f Inflater
	var window Window
	mem := newTestMemory(t)
	for i, ev := range events {
		got, err := inflate(t, &f, ev.Op, ev.Payload, window.Bytes(), 100)
		if !ev.Compressed || err != nil || string(got) != "Hello" {
			t.Errorf("message %d: %q, %v", i, got, err)
		}
		window.Add(mem, got, 1<<8)
	}
}

func TestInflateRefuses(t *testing.T) {
	korean := NewDeflater(0).Append(nil, []byte("안녕하세요"), 15, nil)
	for _, c := range []struct {
		name    string
		in      []byte
		history string
		op      Opcode
		limit   int64
		want    error
		code    CloseCode
	}{
		{"7692-7.2.2/reserved block type", wire("0700"), "", OpBinary, 100, errInflate, 1007},
		{"7692-7.2.2/stored length", wire("000500fafe48656c6c6f00"), "", OpBinary, 100, errInflate, 1007},
		{"7692-7.2.2/distance over nothing", wire("f200110000"), "", OpBinary, 100, errInflate, 1007},
		{"7692-7.2.2/distance over the history", wire("f200110000"), "llo", OpBinary, 100, errInflate, 1007},
		{"7692-7.2.2/cut", wire("f248cdc9"), "", OpBinary, 100, errInflate, 1007},
		{"7692-7.2.2/cut before the last byte", wire("f248cdc9c907"), "", OpBinary, 100, errInflate, 1007},
		{"7692-7.2.2/stored, cut", wire("001500eaff48656c6c6f00"), "", OpBinary, 100, errInflate, 1007},
		{"7692-7.2.2/dynamic, cut", wire("0400"), "", OpBinary, 100, errInflate, 1007},
		{"7692-7.2.2/tail not cut off", wire("f248cdc9c907000000ffff07"), "", OpBinary, 100, errInflate, 1007},
		{"7692-7.2.1/corrupt behind a final block", wire("f348cdc9c90700 07"), "", OpBinary, 100, errInflate, 1007},
		{"7692-7.2.1/very many final blocks", bytes.Repeat(wire("0300"), maxFinalBlocks+1), "", OpBinary, 100, errTooManyFinals, 1008},
		{"10.4/one byte too many", wire("f248cdc9c90700"), "", OpBinary, 4, errTooBig, 1009},
		{"10.4/stored", wire("000500faff48656c6c6f00"), "", OpBinary, 4, errTooBig, 1009},
		{"10.4/none allowed", wire("f248cdc9c90700"), "", OpBinary, 0, errTooBig, 1009},
		{"10.4/over two final blocks", wire("f348cdc9c90700 f200110000"), "", OpBinary, 9, errTooBig, 1009},
		{"8.1/not utf-8", wire("000500faff48656cff6f00"), "", OpText, 100, errTextNotUTF8, 1007},
		{"8.1/ends cut", wire("000200fdffec9500"), "", OpText, 100, errTextNotUTF8, 1007},
		{"8.1/not utf-8, early", wire("000100feffff 07"), "", OpText, 100, errTextNotUTF8, 1007},
		{"8.1/ends cut behind a final block", wire("010200fdffec95 00"), "", OpText, 100, errTextNotUTF8, 1007},
		{"8.1/binary may be anything", wire("000200fdffec9500"), "", OpBinary, 100, nil, 0},
		{"8.1/cut by blocks", wire("000200fdffec95 000100feff88 00"), "", OpText, 100, nil, 0},
		{"8.1/cut by final blocks", wire("010200fdffec95 010100feff88 00"), "", OpText, 100, nil, 0},
		{"8.1/korean", korean, "", OpText, 15, nil, 0},
		{"10.4/exactly the limit", wire("f248cdc9c90700"), "", OpText, 5, nil, 0},
		{"10.4/empty, none allowed", wire("00"), "", OpText, 0, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f Inflater
			for range 2 { // an Inflater that has refused is as good as new
				_, err := inflate(t, &f, c.op, c.in, []byte(c.history), c.limit)
				if err != c.want || err != nil && err.(*ProtocolError).Code != c.code {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if got, err := inflate(t, &f, OpText, wire("f248cdc9c90700"), nil, 5); err != nil || string(got) != "Hello" {
					t.Errorf("the next message: %q, %v", got, err)
				}
			}
		})
	}
}

// TestInflateForgets: the reader's window still holds the plaintext of the last connection; a message of another must
// not reach it.
func TestInflateForgets(t *testing.T) {
	var f Inflater
	secret := noise(seeded(1), 1<<15)
	stored := NewDeflater(1).Append(nil, secret, 15, nil)
	if got, err := inflate(t, &f, OpBinary, stored, nil, 1<<16); err != nil || !bytes.Equal(got, secret) {
		t.Fatal(err)
	}
	for _, distance := range []int{6, 7, 1000, 1 << 15} {
		p := fixedMatch(distance)
		if got, err := inflate(t, &f, OpBinary, p, []byte("Hello"), 100); err != errInflate {
			t.Errorf("%d bytes back: %q, %v", distance, got, err)
		}
	}
	if got, err := inflate(t, &f, OpBinary, fixedMatch(5), []byte("Hello"), 100); err != nil || string(got) != "Hel" {
		t.Errorf("5 bytes back: %q, %v", got, err)
	}
}

// fixedMatch is a message of one copy: 3 bytes, from so far back.
func fixedMatch(distance int) []byte {
	var bits []byte
	put := func(v, n int) {
		for i := range n {
			bits = append(bits, byte(v>>i&1))
		}
	}
	code := func(v, n int) { // Huffman codes stand with their first bit first
		for i := n - 1; i >= 0; i-- {
			bits = append(bits, byte(v>>i&1))
		}
	}
	put(0b010, 3)
	code(1, 7) // 257: length 3
	d := 0
	for base := 1; ; d++ {
		extra := max(0, d/2-1)
		if distance < base+1<<extra {
			code(d, 5)
			put(distance-base, extra)
			break
		}
		base += 1 << extra
	}
	code(0, 7) // end of block
	put(0, 3)  // the empty stored block's head
	p := make([]byte, (len(bits)+7)/8)
	for i, b := range bits {
		p[i/8] |= b << (i % 8)
	}
	return p
}

// peers are writers of the other side: both libraries, as a peer would use them.
var peers = []struct {
	name string
	make func(w *bytes.Buffer, level int) peerWriter
}{
	{"standard library", func(w *bytes.Buffer, level int) peerWriter { z, _ := stdflate.NewWriter(w, level); return z }},
	{"klauspost", func(w *bytes.Buffer, level int) peerWriter { z, _ := flate.NewWriter(w, level); return z }},
}

type peerWriter interface {
	Write(p []byte) (int, error)
	Flush() error
}

// TestInflatePeers reads what other compressors write, with takeover and without, in every size.
func TestInflatePeers(t *testing.T) {
	var f Inflater
	for _, peer := range peers {
		for _, level := range []int{-2, 0, 6, 9} {
			for _, takeover := range []bool{false, true} {
				t.Run(fmt.Sprintf("7692-7.2.2/%s/level=%d/takeover=%v", peer.name, level, takeover), func(t *testing.T) {
					var wire bytes.Buffer
					var window Window
					w, r, mem := peer.make(&wire, level), seeded(9), newTestMemory(t)
					for _, kind := range contents {
						for _, size := range messageSizes {
							if !takeover {
								w = peer.make(&wire, level)
							}
							wire.Reset()
							p := kind.make(r, size)
							w.Write(p)
							w.Flush()
							payload := bytes.TrimSuffix(wire.Bytes(), []byte(sendTail))
							got, err := inflate(t, &f, OpBinary, payload, window.Bytes(), int64(size))
							if err != nil || !bytes.Equal(got, p) {
								t.Fatalf("%s of %d bytes: %v", kind.name, size, err)
							}
							if _, err := inflate(t, &f, OpBinary, payload, window.Bytes(), int64(size-1)); err != errTooBig {
								t.Fatalf("%s of %d bytes with a limit of one less: %v", kind.name, size, err)
							}
							if takeover {
								window.Add(mem, p, 1<<15)
							}
						}
					}
				})
			}
		}
	}
}

// TestBothSides sends messages from our compressors to our Inflater with what each mode keeps.
func TestBothSides(t *testing.T) {
	for _, options := range []DeflateOptions{modeDictionary, modeBoth, modeNone, modeFull, {FullTakeover, 9}, {32768, 15}, {300, 8}} {
		t.Run(fmt.Sprintf("7692-7/%+v", options), func(t *testing.T) {
			_, p, _ := options.AppendAnswer(nil, [][]byte{options.AppendOffer(nil)})
			d, f, r, mem := NewDeflater(0), Inflater{}, seeded(4), newTestMemory(t)
			var sent, kept Window
			stream := NewDeflateStream(0, p.SendBits)
			peerBits := min(p.SendBits, max(p.ReceiveBits, minWindowBits))
			for range 40 {
				for _, kind := range contents {
					message := kind.make(r, 1+r.IntN(700))
					var payload []byte
					if p.SendHistory == FullTakeover && p.ReceiveBits == p.SendBits {
						payload = stream.Append(nil, message)
					} else {
						payload = d.Append(nil, message, peerBits, sent.Bytes())
					}
					got, err := inflate(t, &f, OpBinary, payload, kept.Bytes(), 700)
					if err != nil || !bytes.Equal(got, message) {
						t.Fatalf("%s of %d bytes: %v", kind.name, len(message), err)
					}
					if p.ReceiveBits != 0 && p.SendHistory > 0 {
						sent.Add(mem, message, min(int(p.SendHistory), 1<<peerBits))
					}
					kept.Add(mem, message, p.ReceiveHistory())
				}
			}
		})
	}
}

// bomb is about size/1000 bytes that become size zeros: a flushed piece of 1 MiB, as often as it takes.
func bomb(size int) (payload []byte) {
	for ; size > 0; size -= 1 << 20 {
		var wire bytes.Buffer
		w, _ := stdflate.NewWriter(&wire, 9)
		w.Write(make([]byte, min(size, 1<<20)))
		w.Flush()
		for payload = append(payload, wire.Bytes()...); size > 2<<20; size -= 1 << 20 {
			payload = append(payload, wire.Bytes()...)
		}
	}
	return bytes.TrimSuffix(payload, []byte(sendTail))
}

// TestInflateBomb: 1 GiB of zeros in 1 MiB is refused with 1009, and no more than the limit is ever taken.
func TestInflateBomb(t *testing.T) {
	p := bomb(1 << 30)
	if len(p) > 11<<17 {
		t.Fatalf("the bomb has %d bytes", len(p))
	}
	for _, limit := range []int{0, 1, 1000, 1<<15 - 1, 1 << 15, 1<<15 + 1, 100_000, 1 << 20, 16 << 20, 16<<20 + 1} {
		t.Run(fmt.Sprintf("10.4/limit=%d", limit), func(t *testing.T) {
			var f Inflater
			inflate(t, &f, OpText, wire("f248cdc9c90700"), nil, 100) // what the loop has once
			mem := newCountingMemory(t)
			out, err := f.Inflate(mem, OpText, p, nil, int64(limit))
			if err != errTooBig || err.(*ProtocolError).Code != CloseMessageTooBig || out != nil {
				t.Fatalf("%d bytes, %v", len(out), err)
			}
			if mem.peak > limit || len(mem.out) != 0 {
				t.Errorf("%d bytes were lent at a time, %d buffers still are", mem.peak, len(mem.out))
			}
			if n := testing.AllocsPerRun(1, func() { f.Inflate(noMemory{}, OpText, p, nil, int64(min(limit, 1<<15-1))) }); n > 1 {
				t.Errorf("%v allocations beside Memory", n)
			}
		})
	}
}

// noMemory refuses by lending nothing: with a limit below the reader's window no piece is ever stored.
type noMemory struct{}

func (noMemory) Get(n int) []byte { panic(fmt.Sprint("Get ", n)) }
func (noMemory) Put([]byte)       { panic("Put") }

// TestInflateGrowth: buffers follow what has arrived, and a large result is exact.
func TestInflateGrowth(t *testing.T) {
	for _, size := range []int{1, 127, 5000, 1 << 15, 1<<15 + 1, 100_000, 1 << 20, 5_000_000} {
		var f Inflater
		mem := newCountingMemory(t)
		out, err := f.Inflate(mem, OpBinary, bomb(size), nil, 1<<40)
		if err != nil || len(out) != size || cap(out) != size {
			t.Fatalf("%d bytes, capacity %d of %d, %v", len(out), cap(out), size, err)
		}
		if mem.peak > 3*size || size <= 1<<15 && mem.gets != 1 || mem.gets > 12 {
			t.Errorf("%d bytes: %d lent at a time, in %d buffers", size, mem.peak, mem.gets)
		}
		mem.Put(out)
	}
}

// TestInflateFinalBlocksRefer: blocks that restart the reader refer over the restart, for the whole window.
func TestInflateFinalBlocksRefer(t *testing.T) {
	r := seeded(2)
	history := noise(r, 20000)
	for _, size := range []int{10, 20000, 40000, 100000} {
		first, d := noise(r, size), NewDeflater(1)
		payload := d.Append(nil, first, 15, nil)
		payload = append(payload, sendTail...)
		payload = append(payload, wire("0300 0300")...) // two empty final blocks
		past := append(bytes.Clone(history), first...)
		past = past[max(0, len(past)-1<<15):]
		for _, distance := range []int{3, len(past) / 2, len(past)} {
			var f Inflater
			want := append(bytes.Clone(first), past[len(past)-distance:][:3]...)
			got, err := inflate(t, &f, OpBinary, append(bytes.Clone(payload), fixedMatch(distance)...), history, 1<<20)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %d back: %v", size, distance, err)
			}
		}
	}
}

func TestInflaterSize(t *testing.T) {
	if size := unsafe.Sizeof(Inflater{}); size > 200 {
		t.Errorf("an Inflater takes %d bytes, the budget is 200", size)
	}
	if n := held(func() any {
		f := new(Inflater)
		f.Inflate(newTestMemory(t), OpText, wire("f348cdc9c90700 f348cdc9c9070000"), nil, 100)
		return f
	}); n > 90_000 {
		t.Errorf("an Inflater that has met a final block holds %d bytes", n)
	}
}

func TestInflateAllocatesNothing(t *testing.T) {
	r := seeded(6)
	mem := &lendingMemory{}
	for _, size := range []int{60, 228, 5000, 100_000} {
		for _, history := range [][]byte{nil, tick(r, 4096)} {
			var f Inflater
			p := NewDeflater(0).Append(nil, tick(r, size), 15, history)
			if n := testing.AllocsPerRun(100, func() {
				out, err := f.Inflate(mem, OpText, p, history, 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				mem.Put(out)
			}); n != 0 {
				t.Errorf("%d bytes, history %d: %v allocations, want 0", size, len(history), n)
			}
		}
	}
}

// lendingMemory keeps what it gets back, as the pool of a loop does.
type lendingMemory struct{ free [][]byte }

func (m *lendingMemory) Get(n int) []byte {
	for i, p := range m.free {
		if cap(p) >= n {
			last := len(m.free) - 1
			m.free[i], m.free = m.free[last], m.free[:last]
			return p[:0]
		}
	}
	return make([]byte, 0, n)
}

func (m *lendingMemory) Put(p []byte) { m.free = append(m.free, p) }
