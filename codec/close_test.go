package codec

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseClose(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     string
		code   CloseCode
		reason string
		err    error
	}{
		{"5.5.1/empty", "", CloseNoStatus, "", nil},
		{"5.5.1/code", "\x03\xe8", CloseNormal, "", nil},
		{"5.5.1/reason", "\x03\xe9bye", CloseGoingAway, "bye", nil},
		{"5.5.1/one byte", "\x03", 0, "", errCloseTruncated},
		{"7.4.1/1005", "\x03\xed", 0, "", errCloseCode},
		{"7.4.2/0", "\x00\x00", 0, "", errCloseCode},
		{"8.1/reason", "\x03\xe8\xff", 0, "", errReasonNotUTF8},
		{"8.1/reason cut", "\x03\xe8\xec\x95", 0, "", errReasonNotUTF8},
		{"7.4.1/code before reason", "\x03\xed\xff", 0, "", errCloseCode},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, reason, err := ParseClose([]byte(c.in))
			if code != c.code || string(reason) != c.reason || err != c.err {
				t.Errorf("got %v, %q, %v", code, reason, err)
			}
		})
	}
}

func TestCloseCode(t *testing.T) {
	allowed := func(c int) bool {
		return c >= 1000 && c <= 1003 || c >= 1007 && c <= 1014 || c >= 3000 && c <= 4999
	}
	for c := range 1 << 16 {
		if code := CloseCode(c); code.MayReceive() != allowed(c) || code.MaySend() != allowed(c) {
			t.Fatalf("7.4/%d: receive %v, send %v", c, code.MayReceive(), code.MaySend())
		}
	}
	for code, want := range map[CloseCode]string{
		0: "0 (unassigned)", 999: "999 (unassigned)", CloseNormal: "1000 (Normal Closure)",
		CloseGoingAway: "1001 (Going Away)", 1004: "1004 (Reserved)", CloseMandatoryExtension: "1010 (Mandatory Ext.)",
		CloseBadGateway: "1014 (Bad Gateway)", CloseTLSHandshake: "1015 (TLS handshake)", 1016: "1016 (unassigned)",
		2999: "2999 (unassigned)", 3000: "3000 (registered)", 3999: "3999 (registered)",
		4000: "4000 (private use)", 4999: "4999 (private use)", 5000: "5000 (unassigned)",
	} {
		if code.String() != want {
			t.Errorf("%d: %q, want %q", uint16(code), code, want)
		}
	}
}

func TestAppendClose(t *testing.T) {
	for _, c := range []struct {
		name   string
		code   CloseCode
		reason string
		want   string
	}{
		{"5.5.1/code", CloseNormal, "", "\x03\xe8"},
		{"5.5.1/reason", CloseGoingAway, "bye", "\x03\xe9bye"},
		{"7.4.1/1005", CloseNoStatus, "lost", ""},
		{"7.4.1/1006", CloseAbnormal, "lost", ""},
		{"7.4.1/1015", CloseTLSHandshake, "lost", ""},
		{"5.5/reason/longest", CloseNormal, strings.Repeat("x", 123), "\x03\xe8" + strings.Repeat("x", 123)},
		{"5.5/reason/too long", CloseNormal, strings.Repeat("x", 124), "\x03\xe8" + strings.Repeat("x", 123)},
		{"5.5/reason/cut between code points", CloseNormal, "xx" + strings.Repeat("가", 41), "\x03\xe8xx" + strings.Repeat("가", 40)},
		{"8.1/reason/not UTF-8", CloseNormal, "a\xffb", "\x03\xe8a\uFFFDb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := AppendClose(nil, c.code, c.reason); string(got) != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// FuzzParseClose: what is accepted is written back to the same payload.
func FuzzParseClose(f *testing.F) {
	for _, s := range []string{"", "\x03", "\x03\xe8", "\x03\xe9bye", "\x03\xed", "\x0f\xa0\xec\x95\x88", "\x03\xe8\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		code, reason, err := ParseClose(p)
		if err != nil || len(p) > MaxControlPayload {
			return
		}
		if out := AppendClose(nil, code, string(reason)); !bytes.Equal(out, p) {
			t.Fatalf("% x became % x", p, out)
		}
	})
}

// FuzzAppendClose: whatever a program gives as a reason, the peer can accept the frame.
func FuzzAppendClose(f *testing.F) {
	f.Add([]byte{9}, uint16(1000), "bye")
	f.Add([]byte{}, uint16(4000), strings.Repeat("가", 60))
	f.Add([]byte{}, uint16(1005), "a\xff")
	f.Fuzz(func(t *testing.T, dst []byte, code uint16, reason string) {
		out := AppendClose(bytes.Clone(dst), CloseCode(code), reason)
		if !bytes.HasPrefix(out, dst) {
			t.Fatalf("dst was changed: % x", out)
		}
		p := out[len(dst):]
		got, text, err := ParseClose(p)
		if err != nil || len(p) > MaxControlPayload {
			t.Fatalf("%d bytes, %v", len(p), err)
		}
		if CloseCode(code).MaySend() != (got == CloseCode(code) && len(p) >= 2) {
			t.Fatalf("code %d became %v", code, got)
		}
		if utf8.ValidString(reason) && !strings.HasPrefix(reason, string(text)) {
			t.Fatalf("reason %q became %q", reason, text)
		}
	})
}
