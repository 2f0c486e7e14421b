package codec

import "github.com/segmentio/asm/utf8"

// validLong is ValidUTF8 for texts around vectorGate bytes and longer; it is right at any size. The library takes 32
// bytes a step with AVX2, and calls the standard library on a processor without.
func validLong(p []byte) bool { return utf8.Valid(p) }
