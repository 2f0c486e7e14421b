package servers

import "encoding/binary"

// A message is a number that counts up from 0, the time at which it was to be sent
// (clock.Now), both big-endian in 8 bytes, and filling.
const (
	MessageSize = 128
	FrameSize   = frameHeader + MessageSize
	frameHeader = 4
)

// frameBegin is how every frame begins: FIN and binary, then the length in two bytes
// behind a 126 (RFC 6455 §5.2). All servers frame alike, because there is one way only.
var frameBegin = [frameHeader]byte{0x82, 126, 0, MessageSize}

// newMessage makes a message.
func newMessage(number uint64, due int64) []byte {
	m := binary.BigEndian.AppendUint64(make([]byte, 0, MessageSize), number)
	m = binary.BigEndian.AppendUint64(m, uint64(due))
	for len(m) < MessageSize {
		m = append(m, '.')
	}
	return m
}

// ParseFrame reads a frame of FrameSize bytes. ok is false for one that no server sends.
func ParseFrame(f *[FrameSize]byte) (number uint64, due int64, ok bool) {
	body := f[frameHeader:]
	return binary.BigEndian.Uint64(body), int64(binary.BigEndian.Uint64(body[8:])), [frameHeader]byte(f[:frameHeader]) == frameBegin
}
