package codec

import (
	"encoding/binary"
	"strconv"
)

// Opcode says what a frame is for, RFC 6455 §5.2. Four bits on the wire.
type Opcode byte

const (
	OpContinuation Opcode = 0x0
	OpText         Opcode = 0x1
	OpBinary       Opcode = 0x2
	OpClose        Opcode = 0x8
	OpPing         Opcode = 0x9
	OpPong         Opcode = 0xA
)

// IsControl reports whether op is close, ping, pong, or reserved for a control frame to come.
func (op Opcode) IsControl() bool { return op&0x8 != 0 }

// IsData reports whether op begins a message: text or binary. A continuation carries data too but begins nothing.
func (op Opcode) IsData() bool { return op == OpText || op == OpBinary }

// isReserved reports whether RFC 6455 gives op no meaning.
func (op Opcode) isReserved() bool { return op&0x7 > 2 || op > OpPong }

// String gives the name that RFC 6455 §11.8 registers, in lower case, or "reserved(0x3)".
func (op Opcode) String() string {
	switch op {
	case OpContinuation:
		return "continuation"
	case OpText:
		return "text"
	case OpBinary:
		return "binary"
	case OpClose:
		return "close"
	case OpPing:
		return "ping"
	case OpPong:
		return "pong"
	}
	return "reserved(0x" + strconv.FormatUint(uint64(op), 16) + ")"
}

// The reserved bits as they stand in Header.RSV. Only RSV1 has a meaning today: RFC 7692 marks compressed messages
// with it.
const (
	RSV1 byte = 1 << 2
	RSV2 byte = 1 << 1
	RSV3 byte = 1 << 0
)

const (
	// MaxHeaderSize is the longest header in bytes: two, eight of length, four of mask.
	MaxHeaderSize = 14
	// MaxControlPayload is the longest payload of a close, ping or pong in bytes, RFC 6455 §5.5.
	MaxControlPayload = 125
)

// Values of the seven length bits that say where the length really stands.
const (
	length16 = 126
	length64 = 127
)

// Header is what stands in front of a payload, RFC 6455 §5.2.
//
//	 0               1               2 3 or 2..9        4 bytes
//	+-+---+-------+ +-+-------------+ +--------------+ +----------+
//	|F|RSV|opcode | |M| length 7    | | length 16/64 | | mask key |
//	+-+---+-------+ +-+-------------+ +--------------+ +----------+
type Header struct {
	Fin    bool    // last frame of its message
	RSV    byte    // RSV1, RSV2, RSV3
	Op     Opcode  // what the payload is
	Masked bool    // the payload is XORed with Mask
	Mask   [4]byte // zero when not masked
	Length int64   // payload bytes, never negative
}

// ParseHeader reads the header at the beginning of b and does not retain b.
//
//	n > 0, err == nil   h is complete and occupies b[:n]
//	n == 0, err == nil  b ends inside the header; call again with more bytes
//	err != nil          the bytes break RFC 6455 whatever may follow
//
// It looks at the bytes in their order on the wire, so an error comes with the first byte that shows it, and which
// error comes does not depend on how much of the header has arrived. Rules that need the connection are in Rules.
func ParseHeader(b []byte) (h Header, n int, err error) {
	n, err = h.parse(b)
	return h, n, err
}

// parse is ParseHeader into a place that the caller has: a Header holds an array, so a returned one is copied through
// memory. h changes only when n > 0.
func (h *Header) parse(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	op := Opcode(b[0] & 0x0F)
	if err := checkFirstByte(op, b[0]); err != nil {
		return 0, err
	}
	if len(b) < 2 {
		return 0, nil
	}
	n = 2
	length := int64(b[1] & 0x7F)
	if length >= length16 {
		if op.IsControl() {
			return 0, errControlTooLong
		}
		if length, n, err = parseLength(b); n == 0 {
			return 0, err
		}
	}
	masked := b[1]&0x80 != 0
	var mask [4]byte
	if masked {
		if len(b) < n+4 {
			return 0, nil
		}
		mask = [4]byte(b[n:])
		n += 4
	}
	h.Fin, h.RSV, h.Op = b[0]&0x80 != 0, b[0]>>4&0x7, op
	h.Masked, h.Mask, h.Length = masked, mask, length
	return n, nil
}

// checkFirstByte holds the rules that one byte is enough for.
func checkFirstByte(op Opcode, first byte) error {
	switch {
	// §5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_."
	case op.isReserved():
		return errReservedOpcode
	// §5.5: "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be fragmented."
	case op.IsControl() && first&0x80 == 0:
		return errControlFragmented
	}
	return nil
}

// parseLength reads a length of 16 or 64 bits. n counts from the beginning of the header; 0 without an error means
// that more bytes are needed.
func parseLength(b []byte) (length int64, n int, err error) {
	if b[1]&0x7F == length16 {
		return parseLength16(b)
	}
	switch {
	case len(b) < 3:
		return 0, 0, nil
	// §5.2: "the most significant bit MUST be 0"
	case b[2]&0x80 != 0:
		return 0, 0, errLengthHighBit
	case len(b) < 8:
		return 0, 0, nil
	// Six zero bytes leave 16 bits: the rule for 16 bits below, visible two bytes before the length is complete.
	case b[2]|b[3]|b[4]|b[5]|b[6]|b[7] == 0:
		return 0, 0, errLengthNotMinimal
	case len(b) < 10:
		return 0, 0, nil
	}
	return int64(binary.BigEndian.Uint64(b[2:])), 10, nil
}

func parseLength16(b []byte) (length int64, n int, err error) {
	if len(b) < 4 {
		return 0, 0, nil
	}
	length = int64(binary.BigEndian.Uint16(b[2:]))
	// §5.2: "in all cases, the minimal number of bytes MUST be used to encode the length"
	if length < length16 {
		return 0, 0, errLengthNotMinimal
	}
	return length, 4, nil
}

// HeaderSize is the number of bytes that AppendHeader writes for a payload of length bytes.
func HeaderSize(length int64, masked bool) int {
	n := 2
	switch {
	case length > 0xFFFF:
		n += 8
	case length >= length16:
		n += 2
	}
	if masked {
		n += 4
	}
	return n
}

// AppendHeader appends h with its length in the shortest form. It trusts h: no opcode, bit or length is checked.
func AppendHeader(dst []byte, h Header) []byte {
	first := byte(h.Op) | h.RSV<<4
	if h.Fin {
		first |= 0x80
	}
	var mask byte
	if h.Masked {
		mask = 0x80
	}
	switch {
	case h.Length > 0xFFFF:
		dst = append(dst, first, mask|length64)
		dst = binary.BigEndian.AppendUint64(dst, uint64(h.Length))
	case h.Length >= length16:
		dst = append(dst, first, mask|length16, byte(h.Length>>8), byte(h.Length))
	default:
		dst = append(dst, first, mask|byte(h.Length))
	}
	if h.Masked {
		dst = append(dst, h.Mask[:]...)
	}
	return dst
}

// AppendFrame appends a final, unmasked frame, which is what a server sends. It does not retain p.
func AppendFrame(dst []byte, op Opcode, p []byte) []byte {
	if len(p) < length16 {
		return append(append(dst, 0x80|byte(op), byte(len(p))), p...)
	}
	dst = AppendHeader(dst, Header{Fin: true, Op: op, Length: int64(len(p))})
	return append(dst, p...)
}

// AppendMaskedFrame appends a final frame masked with key, which is what a client sends. It leaves p as it is and
// does not retain p. RFC 6455 §5.3 wants a fresh key, which the peer cannot predict, for every frame.
func AppendMaskedFrame(dst []byte, op Opcode, key [4]byte, p []byte) []byte {
	dst = AppendHeader(dst, Header{Fin: true, Op: op, Masked: true, Mask: key, Length: int64(len(p))})
	n := len(dst)
	dst = append(dst, p...)
	Mask(dst[n:], key, 0)
	return dst
}
