package codec

import (
	"bytes"
	"testing"
)

// TestRules breaks one rule after another. in is what a client receives, so frames are unmasked unless the rule is
// about masks. Whole, and byte by byte, the error must be the same and come after the same events.
func TestRules(t *testing.T) {
	plain := Rules{Side: Client, MaxMessage: 10, MaxFrames: 3}
	deflate := plain
	deflate.Deflate = true
	server := plain
	server.Side = Server
	for _, c := range []struct {
		name   string
		rules  Rules
		in     string
		events int
		want   error
		code   CloseCode
	}{
		{"5.1/server/unmasked", server, "8100", 0, errNotMasked, 1002},
		{"5.1/server/unmasked control", server, "8900", 0, errNotMasked, 1002},
		{"5.1/client/masked", plain, "8180 00000000", 0, errMasked, 1002},
		{"5.2/rsv1/no extension", plain, "c100", 0, errReservedBits, 1002},
		{"5.2/rsv2/deflate", deflate, "a100", 0, errReservedBits, 1002},
		{"5.2/rsv3/deflate", deflate, "9100", 0, errReservedBits, 1002},
		{"5.2/rsv1+2/deflate", deflate, "e100", 0, errReservedBits, 1002},
		{"5.2/rsv1/control", plain, "c900", 0, errReservedBits, 1002},
		{"7692-6/rsv1/control", deflate, "c900", 0, errCompressedBit, 1002},
		{"7692-6/rsv1/continuation", deflate, "0100 c000", 0, errCompressedBit, 1002},
		{"5.2/opcode/second frame", plain, "8100 83", 1, errReservedOpcode, 1002},
		{"5.4/continuation/none open", plain, "8000", 0, errNoMessage, 1002},
		{"5.4/continuation/after the end", plain, "0100 8000 8000", 1, errNoMessage, 1002},
		{"5.4/continuation/after control", plain, "8900 8000", 1, errNoMessage, 1002},
		{"5.4/new message/text in text", plain, "0100 8100", 0, errMessageOpen, 1002},
		{"5.4/new message/binary after control", plain, "0100 8900 8200", 1, errMessageOpen, 1002},
		{"5.2/length/not minimal", plain, "8100 827e 0001", 1, errLengthNotMinimal, 1002},
		{"5.5/control/too long", plain, "0100 897e", 0, errControlTooLong, 1002},
		{"5.5/control/fragmented", plain, "0100 09", 0, errControlFragmented, 1002},
		{"10.4/size/one frame", plain, "820b", 0, errTooBig, 1009},
		{"10.4/size/huge", plain, "827f 7fffffffffffffff", 0, errTooBig, 1009},
		{"10.4/size/two frames", plain, "0206 000000000000 8005", 0, errTooBig, 1009},
		{"10.4/size/two frames, huge", plain, "0201 00 807f 7fffffffffffffff", 0, errTooBig, 1009},
		{"10.4/frames", plain, "0200 0000 0000 8000", 0, errTooManyFrames, 1008},
		{"5.5.1/close/one byte", plain, "8801 03", 0, errCloseTruncated, 1002},
		{"7.4.1/close/1006", plain, "8802 03ee", 0, errCloseCode, 1002},
		{"8.1/close/reason", plain, "8803 03e8ff", 0, errReasonNotUTF8, 1007},
		{"8.1/text/one frame", plain, "8102 c080", 0, errTextNotUTF8, 1007},
		{"8.1/text/ends cut", plain, "8102 ec95", 0, errTextNotUTF8, 1007},
		{"8.1/text/ends cut in fragments", plain, "0101 ec 8001 95", 0, errTextNotUTF8, 1007},
		{"8.1/text/ends cut before an empty frame", plain, "0101 ec 8000", 0, errTextNotUTF8, 1007},
		{"8.1/text/frame not complete", plain, "8109 eda0", 0, errTextNotUTF8, 1007},
		{"8.1/text/message not complete", plain, "0102 eda0", 0, errTextNotUTF8, 1007},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{len(c.in), 1} {
				events, err := decode(t, &c.rules, wire(c.in), func(int) int { return size })
				if err != c.want || len(events) != c.events {
					t.Fatalf("pieces of %d: %d events, %v; want %d, %v", size, len(events), err, c.events, c.want)
				}
				if code := err.(*ProtocolError).Code; code != c.code {
					t.Errorf("close code %v, want %d", code, c.code)
				}
			}
		})
	}
}

// TestRulesAllow stands at the edge of each limit, on the side that is allowed.
func TestRulesAllow(t *testing.T) {
	rules := Rules{Side: Client, Deflate: true, MaxMessage: 10, MaxFrames: 3}
	for _, c := range []struct {
		name   string
		in     string
		events int
	}{
		{"10.4/size/exact", "820a 00000000000000000000", 1},
		{"10.4/size/exact in fragments", "0205 0000000000 8005 0000000000", 1},
		{"10.4/size/two messages", "820a 00000000000000000000 820a 00000000000000000000", 2},
		{"10.4/frames/exact", "0200 0000 8000", 1},
		{"10.4/frames/control frames do not count", "0200 8900 0000 8a00 8000", 3},
		{"5.5/control/over MaxMessage", "890b 0000000000000000000000", 1},
		{"7692-6/rsv1/text", "c101 ff", 1},
		{"7692-6/rsv1/first fragment", "4201 ff 8001 ff", 1},
		{"8.1/text/code point over two frames", "0101 ec 8002 9588", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{len(c.in), 1} {
				events, err := decode(t, &rules, wire(c.in), func(int) int { return size })
				if err != nil || len(events) != c.events {
					t.Fatalf("pieces of %d: %d events, %v; want %d", size, len(events), err, c.events)
				}
			}
		})
	}
}

// TestRulesTakeNoMemory: a declared length that is over the limit must not cost a buffer, nor one under it before
// bytes have come.
func TestRulesTakeNoMemory(t *testing.T) {
	rules := Rules{Side: Client, MaxMessage: 1 << 30, MaxFrames: 3}
	for _, in := range []string{"827f 0000000040000000", "827f 0000000040000001"} {
		mem := newTestMemory(t)
		var d Decoder
		d.Next(&rules, mem, bytes.Clone(wire(in)))
		if mem.gets != 0 || d.Buffered() != 0 {
			t.Errorf("10.4/%s: %d buffers, %d bytes for a header", in, mem.gets, d.Buffered())
		}
	}
}
