package proxywire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"unsafe"

	"github.com/pires/go-proxyproto"
)

// v2 makes a header of version 2: the command and the family as their bytes, the
// addresses, and so many bytes more.
func v2(command, family byte, addresses []byte, more int) string {
	b := append([]byte(startV2), 0x20|command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(addresses)+more))
	return string(append(append(b, addresses...), make([]byte, more)...))
}

// added is a header of version 2 with additions behind its addresses.
func added(addresses []byte, family byte, additions string) string {
	h := []byte(v2(proxied, family, addresses, len(additions)))
	return string(h[:len(h)-len(additions)]) + additions
}

// fromAWS is a header that a network load balancer of AWS has sent, with a CRC32c.
var fromAWS = startV2 + "\x21\x11\x00\x54\xac\x1f\x07\x71\xac\x1f\x0a\x1f\xc8\xf2\x00\x50" +
	"\x03\x00\x04\xe8\xd6\x89\x2d\xea\x00\x17\x01vpce-08d2bf15fac5001c9\x04\x00\x24" + strings.Repeat("\x00", 36)

const (
	local, proxied                    = 0, 1
	unspecified, tcp4, udp4, unixPair = 0x00, 0x11, 0x12, 0x31
	tcp6                              = 0x21
)

var (
	pair4    = []byte{192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0, 80}
	pair6    = append(append(append(net.ParseIP("2001:db8::1"), net.ParseIP("2001:db8::2")...), 0x12, 0x34), 0, 80)
	pairUnix = append([]byte("/run/client"), make([]byte, 216-11)...)
)

var headerRows = []struct {
	name, header string
	source       string // "" for none
	err          error  // anything for any
}{
	{"v1/TCP4", "PROXY TCP4 192.0.2.1 10.0.0.1 4660 80\r\n", "192.0.2.1:4660", nil},
	{"v1/TCP6", "PROXY TCP6 2001:db8::1 2001:db8::2 4660 80\r\n", "[2001:db8::1]:4660", nil},
	{"v1/UNKNOWN", "PROXY UNKNOWN\r\n", "", nil},
	{"v1/UNKNOWN with addresses", "PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", "", nil},
	{"v1/longest", "PROXY UNKNOWN" + strings.Repeat(" ", 107-15) + "\r\n", "", nil},
	{"v1/too long", "PROXY UNKNOWN" + strings.Repeat(" ", 107-14) + "\r\n", "", ErrTooLong},
	{"v1/bare LF", "PROXY TCP4 192.0.2.1 10.0.0.1 4660 80\n", "", errAny},
	{"v1/family", "PROXY TCP5 192.0.2.1 10.0.0.1 4660 80\r\n", "", errAny},
	{"v1/address", "PROXY TCP4 192.0.2.256 10.0.0.1 4660 80\r\n", "", errAny},
	{"v1/address of the other family", "PROXY TCP4 2001:db8::1 10.0.0.1 4660 80\r\n", "", errAny},
	{"v1/zone", "PROXY TCP6 fe80::1%lo fe80::2 4660 80\r\n", "", errAny},
	{"v1/port", "PROXY TCP4 192.0.2.1 10.0.0.1 65536 80\r\n", "", errAny},
	{"v1/missing parts", "PROXY TCP4 192.0.2.1\r\n", "", errAny},
	{"v1/lower case", "proxy tcp4 192.0.2.1 10.0.0.1 4660 80\r\n", "", ErrNoHeader},
	{"v2/TCP4", v2(proxied, tcp4, pair4, 0), "192.0.2.1:4660", nil},
	{"v2/TCP6", v2(proxied, tcp6, pair6, 0), "[2001:db8::1]:4660", nil},
	{"v2/unix", v2(proxied, unixPair, pairUnix, 0), "/run/client", nil},
	{"v2/with more", v2(proxied, tcp4, pair4, 300), "192.0.2.1:4660", nil},
	{"v2/checksum", fromAWS, "172.31.7.113:51442", nil},
	{"v2/checksum of TCP6", added(pair6, tcp6, "\x03\x00\x04\x0d\x1c\x53\x7d"), "[2001:db8::1]:4660", nil},
	{"v2/wrong checksum", strings.Replace(fromAWS, "\xe8\xd6", "\xe8\xd7", 1), "", ErrChecksum},
	{"v2/checksum of another header", strings.Replace(fromAWS, "\x07\x71", "\x07\x72", 1), "", ErrChecksum},
	{"v2/checksum of zero", added(pair4, tcp4, "\x03\x00\x04\x00\x00\x00\x00"), "", ErrChecksum},
	{"v2/short checksum", added(pair4, tcp4, "\x03\x00\x03\x00\x00\x00"), "", ErrChecksum},
	{"v2/wrong checksum of LOCAL", strings.Replace(added(pair4, tcp4, "\x03\x00\x04\x00\x00\x00\x00"), "\x21", "\x20", 1), "", nil},
	{"v2/cut addition", added(pair4, tcp4, "\x01\x00\x03h2"), "", ErrAddition},
	{"v2/cut head of an addition", added(pair4, tcp4, "\x01\x00"), "", ErrAddition},
	{"v2/LOCAL", v2(local, unspecified, nil, 0), "", nil},
	{"v2/LOCAL with addresses", v2(local, tcp4, pair4, 0), "", nil},
	{"v2/longest", v2(proxied, tcp4, pair4, maxV2-28), "192.0.2.1:4660", nil},
	{"v2/too long", v2(proxied, tcp4, pair4, maxV2-27), "", ErrTooLong},
	{"v2/far too long", v2(proxied, tcp4, pair4, 60000), "", ErrTooLong},
	{"v2/too short for its family", v2(proxied, tcp6, pair4, 0), "", errAny},
	{"v2/UDP", v2(proxied, udp4, pair4, 0), "", ErrNoStream},
	{"v2/command", v2(7, tcp4, pair4, 0), "", errAny},
	{"v2/family", v2(proxied, 0x44, pair4, 0), "", errAny},
	{"v2/version", strings.Replace(v2(proxied, tcp4, pair4, 0), "\x21", "\x31", 1), "", errAny},
	{"none/HTTP", "GET / HTTP/1.1\r\n\r\n", "", ErrNoHeader},
	{"none/TLS", "\x16\x03\x01\x02\x00\x01\x00", "", ErrNoHeader},
	{"none/almost", "PROXY\r\n", "", ErrNoHeader},
}

var errAny = errors.New("any error")

func TestParseHeader(t *testing.T) {
	for _, row := range headerRows {
		t.Run(row.name, func(t *testing.T) {
			const behind = "GET "
			source, n, err := parseHeader([]byte(row.header + behind))
			if row.err != nil {
				if err == nil || row.err != errAny && !errors.Is(err, row.err) {
					t.Fatalf("gives %v, want %v", err, row.err)
				}
				return
			}
			got := ""
			if source != nil {
				got = source.String()
			}
			if err != nil || n != len(row.header) || got != row.source {
				t.Fatalf("gives %v, %d, %v; want %s, %d", source, n, err, row.source, len(row.header))
			}
			for cut := range row.header {
				if _, n, err := parseHeader([]byte(row.header[:cut])); n != 0 || err != nil {
					t.Fatalf("cut at %d it gives %d, %v", cut, n, err)
				}
			}
		})
	}
}

func TestConnSize(t *testing.T) {
	if size := unsafe.Sizeof(conn{}); size > 24 {
		t.Errorf("a conn takes %d bytes; its comment promises 24", size)
	}
}

// What the library writes is read, too.
func TestHeadersOfTheLibrary(t *testing.T) {
	from := &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 1}
	for _, to := range []string{"10.0.0.1", "2001:db8::2"} {
		for version := byte(1); version <= 2; version++ {
			b, err := proxyproto.HeaderProxyFromAddrs(version, from, &net.TCPAddr{IP: net.ParseIP(to), Port: 2}).Format()
			if err != nil {
				t.Fatal(err)
			}
			source, n, err := parseHeader(b)
			if err != nil || n != len(b) || fmt.Sprint(source) != from.String() {
				t.Errorf("version %d to %s: %v, %d, %v", version, to, source, n, err)
			}
		}
	}
}

// FuzzParseHeader checks that the outcome does not depend on where reads ended, and
// that no header takes more than it may.
func FuzzParseHeader(f *testing.F) {
	for _, row := range headerRows {
		f.Add([]byte(row.header), 7)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		source, n, err := parseHeader(b)
		switch {
		case n < 0 || n > len(b) || n > maxV2:
			t.Fatalf("a header of %d bytes out of %d", n, len(b))
		case err != nil && n != 0:
			t.Fatal("an error, and a header")
		case n == 0 && err == nil && len(b) >= maxV2:
			t.Fatalf("%d bytes, and no end", len(b))
		case n == 0 && source != nil:
			t.Fatal("an address without a header")
		}
		if len(b) == 0 {
			return
		}
		part := b[:(cut%len(b)+len(b))%len(b)]
		partSource, partN, partErr := parseHeader(part)
		switch {
		case partErr != nil && err == nil:
			t.Fatalf("%q is refused, the whole is not", part)
		case partN > 0 && (partN != n || fmt.Sprint(partSource) != fmt.Sprint(source)):
			t.Fatalf("%q gives %v, %d; the whole %v, %d", part, partSource, partN, source, n)
		case n > 0 && len(part) < n && partN > 0:
			t.Fatal("it was whole before its end")
		case n > 0 && !bytes.HasPrefix(b, []byte("PROXY ")) && !bytes.HasPrefix(b, []byte(startV2)):
			t.Fatal("that is no header")
		}
	})
}
