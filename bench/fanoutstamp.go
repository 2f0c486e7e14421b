package bench

import (
	"bytes"
	"math/rand/v2"
	"time"
)

// A publish carries a stamp and a stretch of noise, in letters that neither JSON nor
// HTML writes differently, so that both are found in whatever a server makes of a
// message:
//
//	~wsb RRR PPP NNNNNN LLLLL DDDDDDDDDD CC noise…
//
// without the spaces: the run, the publisher, the number of the publish, the length of
// it all, when it was due (nanoseconds since the run began), and a check over these.
// The digits are of base 64.
const (
	fanPrefix = 7 // "~wsb" and the run
	fanPub    = 3
	fanNumber = 6
	fanLength = 5
	fanDue    = 10
	fanCheck  = 2
	fanStamp  = fanPrefix + fanPub + fanNumber + fanLength + fanDue + fanCheck // bytes
)

// maxPublishers is how many a stamp can tell apart.
const maxPublishers = 1 << (6 * fanPub)

const digits64 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"

var valueOf64 = func() (v [256]uint8) {
	for i := range v {
		v[i] = 0xFF
	}
	for i := range len(digits64) {
		v[digits64[i]] = uint8(i)
	}
	return v
}()

func append64(dst []byte, v uint64, n int) []byte {
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, digits64[v>>(6*i)&63])
	}
	return dst
}

// read64 reads digits. ok false: one of them is none.
func read64(p []byte) (v uint64, ok bool) {
	var bad uint8
	for _, c := range p {
		d := valueOf64[c]
		bad |= d
		v = v<<6 | uint64(d&63)
	}
	return v, bad < 64
}

// fanContent makes the publishes of one run, and knows them again. Safe from any
// goroutine.
type fanContent struct {
	prefix []byte
	noise  []byte // twice as long as the longest message
}

func newFanContent(longest int) *fanContent {
	c := &fanContent{prefix: append64([]byte("~wsb"), rand.Uint64(), fanPrefix-4), noise: make([]byte, 2*longest+4096)}
	rng := rand.New(rand.NewPCG(0x66616e6f7574, uint64(longest)))
	for i := range c.noise {
		c.noise[i] = digits64[rng.Uint32()%64]
	}
	return c
}

// published is what a publish says of itself.
type published struct {
	publisher, number uint32
	due               time.Duration // since the run began
}

// stretch is the noise of a publish behind its stamp.
func (c *fanContent) stretch(of published, n int) []byte {
	at := int((uint64(of.publisher)*0x9E3779B1 + uint64(of.number)*0x85EBCA77) % uint64(len(c.noise)-n+1))
	return c.noise[at : at+n]
}

// appendTo appends a publish of n bytes, fanStamp at least.
func (c *fanContent) appendTo(dst []byte, of published, n int) []byte {
	dst = append(dst, c.prefix...)
	dst = append64(dst, uint64(of.publisher), fanPub)
	dst = append64(dst, uint64(of.number), fanNumber)
	dst = append64(dst, uint64(n), fanLength)
	dst = append64(dst, uint64(of.due), fanDue)
	dst = append64(dst, checkOf(of, n), fanCheck)
	return append(dst, c.stretch(of, n-fanStamp)...)
}

// checkOf is a check over the fields of a stamp.
func checkOf(of published, n int) uint64 {
	h := uint64(of.publisher)<<32 | uint64(of.number)
	h = (h ^ uint64(of.due)*0x9E3779B97F4A7C15) * 0xBF58476D1CE4E5B9
	h = (h ^ h>>29 ^ uint64(n)) * 0x94D049BB133111EB
	return h >> (64 - 6*fanCheck)
}

// next finds the next publish of this run in p, checks every byte of it, and gives
// what is behind it. found false: there is none. intact false: it is not as it was sent.
func (c *fanContent) next(p []byte) (of published, rest []byte, found, intact bool) {
	at := bytes.Index(p, c.prefix)
	if at < 0 {
		return of, nil, false, false
	}
	p = p[at+fanPrefix:]
	if len(p) < fanStamp-fanPrefix {
		return of, nil, true, false
	}
	field := func(n int) (v uint64) {
		digits := p[:n]
		p = p[n:]
		v, ok := read64(digits)
		if !ok {
			return 1 << 63
		}
		return v
	}
	publisher, number, length, due, check := field(fanPub), field(fanNumber), field(fanLength), field(fanDue), field(fanCheck)
	of = published{uint32(publisher), uint32(number), time.Duration(due)}
	n := int(length&(1<<30-1)) - fanStamp
	if (publisher|number|length|due)>>60 != 0 || number>>32 != 0 || check != checkOf(of, n+fanStamp) || n < 0 || n > len(p) || 2*n > len(c.noise) {
		return of, p, true, false
	}
	return of, p[n:], true, bytes.Equal(p[:n], c.stretch(of, n))
}
