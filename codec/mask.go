package codec

import (
	"encoding/binary"
	"math/bits"

	"github.com/gobwas/ws"
)

// maskGate is the size in bytes from which ws.Cipher (AVX2, SSE2 or NEON) beats the loop of words below: its vector
// loop has a byte-wise head and tail, which a small payload consists of.
const maskGate = 128

// Mask XORs p with key in place, RFC 6455 §5.3; doing it twice restores p. offset is the number of payload bytes of
// the same frame which came before p, so a payload can be masked in pieces. It does not retain p.
func Mask(p []byte, key [4]byte, offset int) {
	k := bits.RotateLeft32(binary.LittleEndian.Uint32(key[:]), -8*(offset&3))
	switch {
	case len(p) >= maskGate:
		// Turned here, the key spares ws.Cipher its own way of dealing with an offset: 20 ns, byte by byte.
		binary.LittleEndian.PutUint32(key[:], k)
		ws.Cipher(p, key, 0)
	case len(p) >= 8:
		maskWords(p, k)
	default:
		maskBytes(p, k)
	}
}

// maskWords masks 8 bytes or more. The last word is read before the loop and written after it: it overlaps what the
// loop did with the same result, and so no tail of single bytes is left.
func maskWords(p []byte, k uint32) {
	kk := uint64(k) | uint64(k)<<32
	end := len(p) - 8
	last := binary.LittleEndian.Uint64(p[end:]) ^ bits.RotateLeft64(kk, -8*(end&3))
	for i := 0; i < end; i += 8 {
		w := p[i : i+8]
		binary.LittleEndian.PutUint64(w, binary.LittleEndian.Uint64(w)^kk)
	}
	binary.LittleEndian.PutUint64(p[end:], last)
}

// maskBytes masks fewer than 8 bytes.
func maskBytes(p []byte, k uint32) {
	for i := range p {
		p[i] ^= byte(k)
		k = bits.RotateLeft32(k, -8)
	}
}
