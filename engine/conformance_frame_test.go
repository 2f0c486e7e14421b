package engine

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// The conformance tests speak raw bytes over real sockets. What they know of
// RFC 6455 shares no code with the server, so that a mistake is not made on both
// sides. conformance_frame_test.go has the bytes, conformance_stage_test.go the
// server and its neighbours, conformance_client_test.go the client; the others
// have the rules.

// frame is a frame as RFC 6455 §5.2 lays it out, without length and mask.
type frame struct {
	first   byte // FIN, RSV1 to RSV3, opcode
	payload string
}

func text(s string) frame { return frame{0x81, s} }
func bin(s string) frame  { return frame{0x82, s} }
func ping(s string) frame { return frame{0x89, s} }
func pong(s string) frame { return frame{0x8A, s} }
func more(s string) frame { return frame{0x00, s} } // continuation, not the last one
func last(s string) frame { return frame{0x80, s} } // continuation, the last one

// begin is the same frame as the first of several.
func begin(f frame) frame { return frame{f.first &^ 0x80, f.payload} }

// closing is a Close frame; code 0 is one without a payload.
func closing(code int, reason string) frame {
	if code == 0 {
		return frame{0x88, ""}
	}
	return frame{0x88, string([]byte{byte(code >> 8), byte(code)}) + reason}
}

// exampleKey is the mask of the examples in RFC 6455 §5.7.
var exampleKey = [4]byte{0x37, 0xFA, 0x21, 0x3D}

// masked is the frame as a client sends it.
func (f frame) masked() []byte {
	b := []byte{f.first}
	switch n := len(f.payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, exampleKey[:]...)
	for i := range len(f.payload) {
		b = append(b, f.payload[i]^exampleKey[i%4])
	}
	return b
}

func (f frame) String() string {
	if len(f.payload) > 80 {
		return fmt.Sprintf("{%02x %q... %d bytes}", f.first, f.payload[:60], len(f.payload))
	}
	return fmt.Sprintf("{%02x %q}", f.first, f.payload)
}

// sent joins what a client sends: frames, masked, and bytes in hexadecimal.
func sent(parts ...any) (b []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case frame:
			b = append(b, p.masked()...)
		case []byte:
			b = append(b, p...)
		case string:
			raw, err := hex.DecodeString(strings.ReplaceAll(p, " ", ""))
			if err != nil {
				panic(err)
			}
			b = append(b, raw...)
		}
	}
	return b
}
