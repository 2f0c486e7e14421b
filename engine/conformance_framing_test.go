package engine

import (
	"bytes"
	"strings"
	"testing"
)

// frameRow is what a client sends behind its opening handshake, what comes back,
// and how it ends. Without an end the connection must still be healthy. What
// breaks a rule ends where the rule is broken: the rest of the frame is never
// sent, so the server must not wait for it.
type frameRow struct {
	name string
	in   []byte
	out  []frame
	end  *ending
}

func out(frames ...frame) []frame { return frames }

// The rules, as a ProtocolError names them.
const (
	ruleMask    = "RFC 6455 §5.1"
	ruleHeader  = "RFC 6455 §5.2"
	ruleMessage = "RFC 6455 §5.4"
	ruleControl = "RFC 6455 §5.5"
	ruleUTF8    = "RFC 6455 §8.1"
	ruleLimits  = "RFC 6455 §10.4"
)

const (
	greek   = "κόσμε"
	maximum = 100 // Endpoint.MaxMessage in the rows of §10.4
)

// zeros is a payload of n bytes.
func zeros(n int) string { return strings.Repeat("\x00", n) }

var frameRows = []frameRow{
	// §5.1: masking
	{"5.1/unmasked/empty", sent("81 00"), nil, broken(1002, ruleMask)},
	{"5.1/unmasked/text", sent("81 02 68 69"), nil, broken(1002, ruleMask)},
	{"5.1/unmasked/16-bit-length", sent("82 7e 01 00"), nil, broken(1002, ruleMask)},
	{"5.1/unmasked/64-bit-length", sent("82 7f 00 00 00 00 00 01 00 00"), nil, broken(1002, ruleMask)},
	{"5.1/unmasked/continuation", sent(begin(text("a")), "80 01"), nil, broken(1002, ruleMask)},
	{"5.1/unmasked/ping", sent("89 00"), nil, broken(1002, ruleMask)},
	{"5.1/unmasked/close", sent("88 02 03 e8"), nil, broken(1002, ruleMask)},
	{"5.1/unmasked/behind-a-message", sent(text("a"), "81 02 68"), out(text("a")), broken(1002, ruleMask)},
	{"5.3/mask/zero", sent("81 82 00 00 00 00 68 69"), out(text("hi")), nil},
	{"5.3/mask/all-ones", sent("81 82 ff ff ff ff 97 96"), out(text("hi")), nil},
	{"5.3/mask/changes-from-frame-to-frame", sent("01 81 00 00 00 00 68", "80 81 ff 00 00 00 96"), out(text("hi")), nil},

	// §5.2: reserved bits and opcodes
	{"5.2/rsv/1", sent("c1 80 00 00 00 00"), nil, broken(1002, ruleHeader)},
	{"5.2/rsv/2", sent("a1 85 00 00 00 00"), nil, broken(1002, ruleHeader)},
	{"5.2/rsv/3", sent("91 85 00 00 00 00"), nil, broken(1002, ruleHeader)},
	{"5.2/rsv/all", sent("f2 85 00 00 00 00"), nil, broken(1002, ruleHeader)},
	{"5.2/rsv/1-continuation", sent(begin(text("a")), "c0 85 00 00 00 00"), nil, broken(1002, ruleHeader)},
	{"5.2/rsv/1-ping", sent("c9 85 00 00 00 00"), nil, broken(1002, ruleHeader)},
	{"5.2/rsv/2-pong", sent("aa 80 00 00 00 00"), nil, broken(1002, ruleHeader)},
	{"5.2/rsv/3-close", sent("98 80 00 00 00 00"), nil, broken(1002, ruleHeader)},
	{"5.2/rsv/behind-a-message", sent(text("a"), ping("b"), "c1 80 00 00 00 00"), out(text("a"), pong("b")), broken(1002, ruleHeader)},
	{"5.2/opcode/3", sent("83"), nil, broken(1002, ruleHeader)},
	{"5.2/opcode/4", sent("84"), nil, broken(1002, ruleHeader)},
	{"5.2/opcode/5", sent("85"), nil, broken(1002, ruleHeader)},
	{"5.2/opcode/6", sent("86"), nil, broken(1002, ruleHeader)},
	{"5.2/opcode/7", sent("87"), nil, broken(1002, ruleHeader)},
	{"5.2/opcode/11", sent("8b"), nil, broken(1002, ruleHeader)},
	{"5.2/opcode/12", sent("8c"), nil, broken(1002, ruleHeader)},
	{"5.2/opcode/13", sent("8d"), nil, broken(1002, ruleHeader)},
	{"5.2/opcode/14", sent("8e"), nil, broken(1002, ruleHeader)},
	{"5.2/opcode/15", sent("8f"), nil, broken(1002, ruleHeader)},
	{"5.2/opcode/3-not-final", sent("03 80 00 00 00 00"), nil, broken(1002, ruleHeader)},
	{"5.2/opcode/3-inside-a-message", sent(begin(text("a")), "83"), nil, broken(1002, ruleHeader)},

	// §5.2: lengths
	{"5.2/length/0", sent(text("")), out(text("")), nil},
	{"5.2/length/0-binary", sent(bin("")), out(bin("")), nil},
	{"5.2/length/1", sent(bin("x")), out(bin("x")), nil},
	{"5.2/length/125", sent(bin(zeros(125))), out(bin(zeros(125))), nil},
	{"5.2/length/126", sent(bin(zeros(126))), out(bin(zeros(126))), nil},
	{"5.2/length/127", sent(bin(zeros(127))), out(bin(zeros(127))), nil},
	{"5.2/length/65535", sent(bin(zeros(65535))), out(bin(zeros(65535))), nil},
	{"5.2/length/65536", sent(bin(zeros(65536))), out(bin(zeros(65536))), nil},
	{"5.2/length/1048576", sent(bin(zeros(1 << 20))), out(bin(zeros(1 << 20))), nil},
	{"5.2/length/0-in-16-bits", sent("82 fe 00 00"), nil, broken(1002, ruleHeader)},
	{"5.2/length/125-in-16-bits", sent("82 fe 00 7d"), nil, broken(1002, ruleHeader)},
	{"5.2/length/0-in-64-bits", sent("82 ff 00 00 00 00 00 00 00 00"), nil, broken(1002, ruleHeader)},
	{"5.2/length/126-in-64-bits", sent("82 ff 00 00 00 00 00 00 00 7e"), nil, broken(1002, ruleHeader)},
	{"5.2/length/65535-in-64-bits", sent("82 ff 00 00 00 00 00 00 ff ff"), nil, broken(1002, ruleHeader)},
	{"5.2/length/64th-bit", sent("82 ff 80 00 00 00 00 01 00 00"), nil, broken(1002, ruleHeader)},
	{"5.2/length/all-ones", sent("82 ff ff ff ff ff ff ff ff ff"), nil, broken(1002, ruleHeader)},
	{"5.2/length/63-bits", sent("82 ff 7f ff ff ff ff ff ff ff 00 00 00 00"), nil, broken(1009, ruleLimits)},

	// §5.4: fragments
	{"5.4/two-fragments", sent(begin(text("a")), last("b")), out(text("ab")), nil},
	{"5.4/binary-fragments", sent(begin(bin("\xff")), last("\xfe")), out(bin("\xff\xfe")), nil},
	{"5.4/many-fragments", sent(begin(text("a")), bytes.Repeat(more("b").masked(), 100), last("c")), out(text("a" + strings.Repeat("b", 100) + "c")), nil},
	{"5.4/empty-fragments", sent(begin(text("")), more(""), last("")), out(text("")), nil},
	{"5.4/empty-first-fragment", sent(begin(text("")), last("a")), out(text("a")), nil},
	{"5.4/empty-middle-fragment", sent(begin(text("a")), more(""), last("b")), out(text("ab")), nil},
	{"5.4/empty-last-fragment", sent(begin(text("a")), last("")), out(text("a")), nil},
	{"5.4/fragmented-twice", sent(begin(text("a")), last("b"), begin(bin("c")), last("d")), out(text("ab"), bin("cd")), nil},
	{"5.4/control-frames-between", sent(begin(text("a")), ping("1"), more("b"), pong("2"), ping(""), last("c")), out(pong("1"), pong(""), text("abc")), nil},
	{"5.4/ping-inside-an-empty-message", sent(begin(text("")), ping("1"), last("")), out(pong("1"), text("")), nil},
	{"5.4/close-between", sent(begin(text("a")), closing(1000, "")), nil, answered(1000, "")},
	{"5.4/continuation-without-message/last", sent("80 85 00 00 00 00"), nil, broken(1002, ruleMessage)},
	{"5.4/continuation-without-message/not-last", sent("00 80 00 00 00 00"), nil, broken(1002, ruleMessage)},
	{"5.4/continuation-without-message/after-a-whole-one", sent(text("a"), "80 85 00 00 00 00"), out(text("a")), broken(1002, ruleMessage)},
	{"5.4/continuation-without-message/after-a-fragmented-one", sent(begin(text("a")), last("b"), "00 85 00 00 00 00"), out(text("ab")), broken(1002, ruleMessage)},
	{"5.4/message-inside-message/text", sent(begin(text("a")), "81 85 00 00 00 00"), nil, broken(1002, ruleMessage)},
	{"5.4/message-inside-message/binary", sent(begin(text("a")), "82 85 00 00 00 00"), nil, broken(1002, ruleMessage)},
	{"5.4/message-inside-message/not-last", sent(begin(text("a")), "01 85 00 00 00 00"), nil, broken(1002, ruleMessage)},
	{"5.4/message-inside-message/empty", sent(begin(bin("")), "81 80 00 00 00 00"), nil, broken(1002, ruleMessage)},
	{"5.4/message-inside-message/behind-a-ping", sent(begin(bin("")), ping("1"), "81 80 00 00 00 00"), out(pong("1")), broken(1002, ruleMessage)},

	// §5.5: control frames
	{"5.5/control/125-bytes", sent(ping(zeros(125))), out(pong(zeros(125))), nil},
	{"5.5/control/too-long/ping", sent("89 fe"), nil, broken(1002, ruleControl)},
	{"5.5/control/too-long/pong", sent("8a fe"), nil, broken(1002, ruleControl)},
	{"5.5/control/too-long/close", sent("88 fe"), nil, broken(1002, ruleControl)},
	{"5.5/control/too-long/64-bits", sent("89 ff"), nil, broken(1002, ruleControl)},
	{"5.5/control/short-in-16-bits", sent("89 fe 00 05"), nil, broken(1002, ruleControl)},
	{"5.5/control/fragmented/ping", sent("09"), nil, broken(1002, ruleControl)},
	{"5.5/control/fragmented/pong", sent("0a"), nil, broken(1002, ruleControl)},
	{"5.5/control/fragmented/close", sent("08"), nil, broken(1002, ruleControl)},
	{"5.5/control/fragmented/inside-a-message", sent(begin(text("a")), "09 80 00 00 00 00"), nil, broken(1002, ruleControl)},
	{"5.5.2/ping/empty", sent(ping("")), out(pong("")), nil},
	{"5.5.2/ping/any-bytes", sent(ping("\xff\x00\xfe")), out(pong("\xff\x00\xfe")), nil},
	{"5.5.2/ping/in-order", sent(ping("1"), ping("2"), text("a"), ping("3")), out(pong("1"), pong("2"), text("a"), pong("3")), nil},
	{"5.5.3/pong/unsolicited", sent(pong("nobody asked"), text("a")), out(text("a")), nil},
	{"5.5.3/pong/unsolicited-empty", sent(pong(""), pong(""), text("a")), out(text("a")), nil},
	{"5.5.3/pong/inside-a-message", sent(begin(text("a")), pong("x"), last("b")), out(text("ab")), nil},

	// §5.6 and §8.1: text is UTF-8
	{"5.6/text/ascii", sent(text("Hello")), out(text("Hello")), nil},
	{"5.6/text/every-length", sent(text("$¢€𐍈")), out(text("$¢€𐍈")), nil},
	{"5.6/text/nul", sent(text("a\x00b")), out(text("a\x00b")), nil},
	{"5.6/text/noncharacters", sent(text("\uFFFE\uFFFF\U0010FFFF\uFDD0")), out(text("\uFFFE\uFFFF\U0010FFFF\uFDD0")), nil},
	{"5.6/text/byte-order-mark", sent(text("\uFEFFa")), out(text("\uFEFFa")), nil},
	{"5.6/text/last-before-surrogates", sent(text("\uD7FF\uE000")), out(text("\uD7FF\uE000")), nil},
	{"5.6/binary/anything", sent(bin("\xff\xc0\x80\xed\xa0\x80")), out(bin("\xff\xc0\x80\xed\xa0\x80")), nil},
	{"8.1/invalid/ff", sent(text("\xff")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/fe", sent(text("a\xfeb")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/lone-continuation", sent(text("\x80")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/lead-without-continuation", sent(text("\xc3a")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/overlong-2", sent(text("\xc0\xaf")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/overlong-2-nul", sent(text("\xc0\x80")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/overlong-3", sent(text("\xe0\x9f\xbf")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/overlong-4", sent(text("\xf0\x8f\xbf\xbf")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/surrogate-first", sent(text("\xed\xa0\x80")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/surrogate-last", sent(text("\xed\xbf\xbf")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/surrogate-pair", sent(text("\xed\xa0\xbd\xed\xb8\x80")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/over-10ffff", sent(text("\xf4\x90\x80\x80")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/f5", sent(text("\xf5\x80\x80\x80")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/five-bytes", sent(text("\xf8\x88\x80\x80\x80")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/cut-at-the-end", sent(text(greek[:len(greek)-1])), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/cut-at-the-end-of-the-last-fragment", sent(begin(text("a")), last("\xce")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/empty-last-fragment-behind-a-cut", sent(begin(text("\xce")), last("")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/behind-a-good-message", sent(text(greek), text("\xff")), out(text(greek)), broken(1007, ruleUTF8)},
	{"8.1/invalid/early/in-mid-frame", sent("81 e4 00 00 00 00 61 62 ff"), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/early/surrogate-in-mid-frame", sent("81 e4 00 00 00 00 ed a0"), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/early/first-fragment", sent(begin(text("\xff"))), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/early/middle-fragment", sent(begin(text("a")), more("\xff")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/early/cut-between-fragments", sent(begin(text("\xf4")), more("\x90")), nil, broken(1007, ruleUTF8)},
	{"8.1/invalid/early/behind-a-ping", sent(begin(text("\xce")), ping("1"), more("a")), out(pong("1")), broken(1007, ruleUTF8)},

	// §5.7: the examples, as they must come back, and those that only a server may send
	{"5.7/single-masked-text", sent("81 85 37 fa 21 3d 7f 9f 4d 51 58"), out(text("Hello")), nil},
	{"5.7/masked-pong", sent("8a 85 37 fa 21 3d 7f 9f 4d 51 58", text("a")), out(text("a")), nil},
	{"5.7/single-unmasked-text", sent("81 05 48 65 6c 6c 6f"), nil, broken(1002, ruleMask)},
	{"5.7/fragmented-unmasked-text", sent("01 03 48 65 6c 80 02 6c 6f"), nil, broken(1002, ruleMask)},
	{"5.7/unmasked-ping", sent("89 05 48 65 6c 6c 6f"), nil, broken(1002, ruleMask)},
}

// limitRows go to an endpoint with MaxMessage 100 and MaxFrames 3 (§10.4).
var limitRows = []frameRow{
	{"10.4/size/at-the-limit", sent(bin(zeros(maximum))), out(bin(zeros(maximum))), nil},
	{"10.4/size/at-the-limit-in-fragments", sent(begin(bin(zeros(60))), last(zeros(maximum-60))), out(bin(zeros(maximum))), nil},
	{"10.4/size/each-message-anew", sent(bin(zeros(maximum)), begin(bin("a")), last("b"), bin(zeros(maximum))), out(bin(zeros(maximum)), bin("ab"), bin(zeros(maximum))), nil},
	{"10.4/size/over", sent("82 e5 00 00 00 00"), nil, broken(1009, ruleLimits)},
	{"10.4/size/over-text", sent("81 e5 00 00 00 00"), nil, broken(1009, ruleLimits)},
	{"10.4/size/far-over", sent("82 ff 00 00 00 ff 00 00 00 00 00 00 00 00"), nil, broken(1009, ruleLimits)},
	{"10.4/size/over-in-fragments", sent(begin(bin(zeros(60))), "80 a9 00 00 00 00"), nil, broken(1009, ruleLimits)},
	{"10.4/size/sum-overflows", sent(begin(bin("a")), "80 ff 7f ff ff ff ff ff ff ff 00 00 00 00"), nil, broken(1009, ruleLimits)},
	{"10.4/size/control-frames-dont-count", sent(begin(bin(zeros(maximum))), ping(zeros(125)), last("")), out(pong(zeros(125)), bin(zeros(maximum))), nil},
	{"10.4/frames/at-the-limit", sent(begin(bin("a")), more("b"), last("c")), out(bin("abc")), nil},
	{"10.4/frames/control-frames-dont-count", sent(begin(bin("a")), ping("1"), ping("2"), more("b"), ping("3"), last("c")), out(pong("1"), pong("2"), pong("3"), bin("abc")), nil},
	{"10.4/frames/over", sent(begin(bin("a")), more("b"), more("c"), "80 81 00 00 00 00"), nil, broken(1008, ruleLimits)},
	{"10.4/frames/over-with-empty-ones", sent(begin(bin("")), more(""), more(""), "00 80 00 00 00 00"), nil, broken(1008, ruleLimits)},
}

func TestConformanceFraming(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{}, func(srv *Server, echo *Endpoint) {
		limited := *echo
		limited.MaxMessage, limited.MaxFrames = maximum, 3
		srv.Handle("/limited", limited)
	})
	s.frameRows(t, "/echo", frameRows)
	s.frameRows(t, "/limited", limitRows)
}

// frameRows runs each row in one segment and, if it is short, byte by byte.
func (s *stage) frameRows(t *testing.T, path string, rows []frameRow) {
	for _, row := range rows {
		s.row(t, row.name, func(t *testing.T, _ *rawClient) {
			p := s.openAt(t, path)
			p.send(row.in)
			p.expectRow(row)
		})
		if len(row.in) > 512 {
			continue
		}
		s.row(t, "byte-by-byte/"+row.name, func(t *testing.T, witness *rawClient) {
			p := s.openAt(t, path)
			for i := range row.in {
				p.send(row.in[i : i+1])
				witness.barrier()
			}
			p.expectRow(row)
		})
	}
}

func (p *rawClient) expectRow(row frameRow) {
	p.tb.Helper()
	p.expect(row.out...)
	if row.end == nil {
		p.goodbye()
		return
	}
	end := *row.end
	p.expectEnding(&end)
}
