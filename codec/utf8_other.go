//go:build !amd64

package codec

import "unicode/utf8"

// validLong is ValidUTF8 for texts around vectorGate bytes and longer.
func validLong(p []byte) bool { return utf8.Valid(p) }
