package engine

import (
	"math/bits"

	"github.com/valyala/bytebufferpool"
)

// memory lends a loop's buffers, in size classes of powers of two. Get and Put are
// loop-only: no locks. What is given back waits in a list of its class; a class
// keeps at most maxIdleBytes, the rest goes to the garbage collector.
//
// It implements codec.Memory.
type memory struct {
	poison bool // immutable; tests: fill what is given back, so that use after release shows
	free   [classes][][]byte
	lent   int // buffers that are out; far from poison, which other goroutines read
}

const (
	minClassBits = 9  // 512 B
	maxClassBits = 20 // 1 MiB; larger buffers are not kept
	classes      = maxClassBits - minClassBits + 1
	maxIdleBytes = 2 << 20
	poisonByte   = 0xDB
)

// classOf gives the smallest class that holds n bytes, or classes when none
// does.
func classOf(n int) int {
	if n <= 1<<minClassBits {
		return 0
	}
	return min(bits.Len(uint(n-1))-minClassBits, classes)
}

// Get gives a buffer of length 0 and a capacity of at least n.
func (m *memory) Get(n int) []byte {
	m.lent++
	class := classOf(n)
	if class == classes {
		return make([]byte, 0, n)
	}
	free := m.free[class]
	if len(free) == 0 {
		return make([]byte, 0, 1<<(class+minClassBits))
	}
	b := free[len(free)-1]
	m.free[class] = free[:len(free)-1]
	return b[:0]
}

// Put takes ownership of b, which came from Get.
func (m *memory) Put(b []byte) {
	m.lent--
	b = b[:cap(b)]
	if m.poison {
		for i := range b {
			b[i] = poisonByte
		}
	}
	class := classOf(cap(b))
	if class == classes || cap(b) != 1<<(class+minClassBits) {
		return
	}
	if len(m.free[class])<<(class+minClassBits) < maxIdleBytes {
		m.free[class] = append(m.free[class], b)
	}
}

// appendTo appends to a buffer that came from Get, or is nil, and grows with what
// has arrived.
func (m *memory) appendTo(b, p []byte) []byte {
	if len(b)+len(p) <= cap(b) {
		return append(b, p...)
	}
	grown := append(m.Get(max(2*cap(b), len(b)+len(p))), b...)
	if b != nil {
		m.Put(b)
	}
	return append(grown, p...)
}

// getFrame gives a buffer for a frame that is encoded off the loop. It is safe
// from any goroutine.
func (m *memory) getFrame() *bytebufferpool.ByteBuffer {
	if m.poison { // a pool of the process would make one test depend on another
		return new(bytebufferpool.ByteBuffer)
	}
	return bytebufferpool.Get()
}

// putFrame takes ownership of b, which came from getFrame. It is safe from any
// goroutine.
func (m *memory) putFrame(b *bytebufferpool.ByteBuffer) {
	if !m.poison {
		bytebufferpool.Put(b)
		return
	}
	for i := range b.B {
		b.B[i] = poisonByte
	}
}
