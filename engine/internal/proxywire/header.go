package proxywire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"

	"github.com/pires/go-proxyproto"
)

const (
	// maxV1 is the longest line of version 1 (PROXY protocol §2.1).
	maxV1 = 107
	// maxV2 is the most that a header of version 2 may take here. The longest
	// addresses are 232 bytes; the rest is for what a proxy adds, such as a
	// certificate.
	maxV2 = 4 << 10

	startV1     = "PROXY "
	startV2     = "\r\n\r\n\x00\r\nQUIT\n"
	fixedSizeV2 = 16 // up to and with the length of the rest
)

// Errors of a header.
var (
	ErrNoHeader  = errors.New("the first bytes are no PROXY header")
	ErrTooLong   = errors.New("the PROXY header is too long")
	ErrNoStream  = errors.New("the PROXY header is of something else than a stream")
	ErrUntrusted = errors.New("the peer may not send PROXY headers")
	ErrAddition  = errors.New("what the PROXY header adds to the addresses is cut")
	ErrChecksum  = errors.New("the PROXY header does not fit its checksum")
)

// parseHeader reads the PROXY header at the beginning of a stream, of version 1 or
// 2. Three outcomes:
//
//	n > 0, err == nil   the header is complete and occupies b[:n]
//	n == 0, err == nil  b ends inside the header; call again with more bytes
//	err != nil          no header begins like this
//
// source is who is at the other end of the proxy, nil when the proxy speaks for
// itself (LOCAL) or doesn't know (UNKNOWN).
func parseHeader(b []byte) (source net.Addr, n int, err error) {
	n, err = headerSize(b)
	if n == 0 || err != nil {
		return nil, 0, err
	}
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(b[:n]), n))
	if err != nil {
		return nil, 0, fmt.Errorf("malformed PROXY header: %w", err)
	}
	if h.Command.IsLocal() || h.TransportProtocol.IsUnspec() {
		return nil, n, nil
	}
	if !h.TransportProtocol.IsStream() {
		return nil, 0, ErrNoStream
	}
	if h.Version == 2 {
		if err := checkAdditions(b[:n], fixedSizeV2+addressesSize(h.TransportProtocol)); err != nil {
			return nil, 0, err
		}
	}
	return h.SourceAddr, n, nil
}

// addressesSize is how many bytes the addresses of a stream take in version 2.
func addressesSize(p proxyproto.AddressFamilyAndProtocol) int {
	switch p {
	case proxyproto.TCPv4:
		return 2*4 + 2*2
	case proxyproto.TCPv6:
		return 2*16 + 2*2
	default: // unix
		return 2 * 108
	}
}

// checkAdditions goes through what a header has from at on, behind its addresses: a
// type, a length and a value, again and again. A CRC32c among them must be that of the
// header with zeros in its place (PROXY protocol §2.2.3).
func checkAdditions(header []byte, at int) error {
	for at < len(header) {
		kind, value := proxyproto.PP2Type(header[at]), at+1+2
		if value > len(header) {
			return ErrAddition
		}
		at = value + int(binary.BigEndian.Uint16(header[value-2:]))
		if at > len(header) {
			return ErrAddition
		}
		if kind == proxyproto.PP2_TYPE_CRC32C && !isChecksum(header[value:at], header[:value], header[at:]) {
			return ErrChecksum
		}
	}
	return nil
}

// isChecksum says whether sum is the CRC32c of what stands before it, zeros in its
// place, and what stands behind it.
func isChecksum(sum, before, behind []byte) bool {
	crc := crc32.Checksum(before, castagnoli)
	crc = crc32.Update(crc, castagnoli, make([]byte, len(sum)))
	crc = crc32.Update(crc, castagnoli, behind)
	return len(sum) == crc32.Size && binary.BigEndian.Uint32(sum) == crc
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// headerSize finds the end of the header, with the outcomes of parseHeader. It
// looks at no more than it must, so that what is no header is known as such at
// its first byte that cannot be.
func headerSize(b []byte) (int, error) {
	switch {
	case startsLike(b, startV1):
		return sizeV1(b)
	case startsLike(b, startV2):
		return sizeV2(b)
	default:
		return 0, ErrNoHeader
	}
}

// startsLike says whether b begins with start, as far as it goes.
func startsLike(b []byte, start string) bool {
	n := min(len(b), len(start))
	return string(b[:n]) == start[:n]
}

func sizeV1(b []byte) (int, error) {
	b = b[:min(len(b), maxV1)]
	end := bytes.IndexByte(b, '\n')
	if end < 0 && len(b) == maxV1 {
		return 0, ErrTooLong
	}
	return end + 1, nil
}

func sizeV2(b []byte) (int, error) {
	if len(b) < fixedSizeV2 {
		return 0, nil
	}
	size := fixedSizeV2 + int(binary.BigEndian.Uint16(b[14:]))
	switch {
	case size > maxV2:
		return 0, ErrTooLong
	case len(b) < size:
		return 0, nil
	}
	return size, nil
}
