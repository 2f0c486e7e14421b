package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
)

// referenceInflate is RFC 1951 in the plainest way there is, for what our compressors write: it stops where the input
// ends between two blocks, and says how far back the furthest distance reached. history is what the first byte may
// refer to, however long it is.
func referenceInflate(in, history []byte) (out []byte, furthest int, err error) {
	r := bitReader{in: append(bytes.Clone(in), make([]byte, 8)...)}
	out = slices.Clone(history)
	defer func() {
		if recover() != nil {
			err = errors.New("corrupt")
		}
	}()
	for r.at < len(in)*8-7 {
		final := r.bits(1)
		switch r.bits(2) {
		case 0:
			r.at = (r.at + 7) &^ 7
			n := r.bits(16)
			if n^0xFFFF != r.bits(16) {
				panic("length")
			}
			out = append(out, in[r.at/8:r.at/8+n]...)
			r.at += n * 8
		case 1:
			out = r.block(out, &fixedLiterals, &fixedDistances, &furthest)
		case 2:
			literals, distances := r.codes()
			out = r.block(out, &literals, &distances, &furthest)
		default:
			panic("type")
		}
		if final == 1 {
			r.at = (r.at + 7) &^ 7
		}
	}
	return out[len(history):], furthest, nil
}

type bitReader struct {
	in []byte
	at int // bits taken
}

func (r *bitReader) bits(n int) int {
	v := binary.LittleEndian.Uint64(r.in[r.at/8:]) >> (r.at % 8) & (1<<n - 1)
	r.at += n
	return int(v)
}

// code is a Huffman code by RFC 1951 §3.2.2: how many codes there are of each length, and their symbols in order.
type code struct {
	counts  [16]int
	symbols []int
}

func newCode(lengths []int) (c code) {
	for length := 1; length <= 15; length++ {
		before := len(c.symbols)
		for symbol, l := range lengths {
			if l == length {
				c.symbols = append(c.symbols, symbol)
			}
		}
		c.counts[length] = len(c.symbols) - before
	}
	return c
}

func (r *bitReader) symbol(c *code) int {
	value, first, index := 0, 0, 0
	for _, count := range c.counts[1:] {
		value |= r.bits(1)
		if value-first < count {
			return c.symbols[index+value-first]
		}
		index, first, value = index+count, (first+count)<<1, value<<1
	}
	panic("code")
}

var (
	fixedLiterals = newCode(slices.Concat(
		slices.Repeat([]int{8}, 144), slices.Repeat([]int{9}, 112), slices.Repeat([]int{7}, 24), slices.Repeat([]int{8}, 8),
	))
	fixedDistances = newCode(slices.Repeat([]int{5}, 30))
)

// codes reads the head of a dynamic block, §3.2.7.
func (r *bitReader) codes() (literals, distances code) {
	nlit, ndist, nlen := 257+r.bits(5), 1+r.bits(5), 4+r.bits(4)
	var lengths [19]int
	for _, i := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:nlen] {
		lengths[i] = r.bits(3)
	}
	c := newCode(lengths[:])
	var all []int
	for len(all) < nlit+ndist {
		switch s := r.symbol(&c); s {
		case 16:
			all = append(all, slices.Repeat([]int{all[len(all)-1]}, 3+r.bits(2))...)
		case 17:
			all = append(all, slices.Repeat([]int{0}, 3+r.bits(3))...)
		case 18:
			all = append(all, slices.Repeat([]int{0}, 11+r.bits(7))...)
		default:
			all = append(all, s)
		}
	}
	return newCode(all[:nlit]), newCode(all[nlit : nlit+ndist])
}

// block reads literals and copies to the end of the block, §3.2.5.
func (r *bitReader) block(out []byte, literals, distances *code, furthest *int) []byte {
	for {
		s := r.symbol(literals)
		switch {
		case s == 256:
			return out
		case s < 256:
			out = append(out, byte(s))
			continue
		}
		length := 258
		if s -= 257; s < 8 {
			length = 3 + s
		} else if s < 28 {
			extra := s/4 - 1
			length = 3 + (4+s%4)<<extra + r.bits(extra)
		}
		d := r.symbol(distances)
		distance := 1 + d
		if d >= 4 {
			extra := d/2 - 1
			distance = 1 + (2+d%2)<<extra + r.bits(extra)
		}
		*furthest = max(*furthest, distance)
		for range length {
			out = append(out, out[len(out)-distance])
		}
	}
}

// tick is a message as a market feed sends them: JSON of exactly size bytes, alike in form from one to the next.
func tick(r *rand.Rand, size int) []byte {
	number := func(b []byte, whole, fraction int) []byte {
		b = strconv.AppendInt(append(b, '"'), int64(whole+r.IntN(whole/64+9)), 10)
		return append(strconv.AppendInt(append(b, '.'), int64(fraction+r.IntN(9*fraction)), 10), '"')
	}
	b := append([]byte(`{"stream":"trade","symbol":"`), []string{"BTCUSDT", "ETHUSDT", "SOLUSDT"}[r.IntN(3)]...)
	b = number(append(b, `","price":`...), 60000, 10)
	b = number(append(b, `,"quantity":`...), 1, 1000)
	b = number(append(b, `,"bid":`...), 60000, 10)
	b = number(append(b, `,"ask":`...), 60000, 10)
	b = strconv.AppendInt(append(b, `,"time":`...), 1732240000000+r.Int64N(1e9), 10)
	b = strconv.AppendInt(append(b, `,"id":`...), 4000000000+r.Int64N(1e8), 10)
	b = strconv.AppendBool(append(b, `,"maker":`...), r.IntN(2) == 0)
	for len(b) < size {
		b = number(append(b, `,["`...), 60000, 10)
		b = number(append(b, `,`...), 1, 1000)
		b = append(b, ']')
	}
	return append(b[:size-1], '}')
}

// noise cannot be compressed.
func noise(r *rand.Rand, size int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// contents are kinds of messages, of any size from 1 byte.
var contents = []struct {
	name string
	make func(r *rand.Rand, size int) []byte
}{
	{"json", tick},
	{"noise", noise},
	{"zeros", func(_ *rand.Rand, size int) []byte { return make([]byte, size) }},
	{"korean", func(_ *rand.Rand, size int) []byte { return text("안녕하세요 세계 ", size) }},
	{"halves", func(r *rand.Rand, size int) []byte { return append(noise(r, size/2), tick(r, size-size/2)...) }},
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
