package engine

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

const (
	ruleClose = "RFC 6455 §5.5.1"
	ruleCodes = "RFC 6455 §7.4"
)

// closeRows are ends that the client begins.
var closeRows = append([]frameRow{
	{"5.5.1/close/empty", sent(closing(0, "")), nil, answered(0, "")},
	{"5.5.1/close/code", sent(closing(1000, "")), nil, answered(1000, "")},
	{"5.5.1/close/reason", sent(closing(1001, "off I go")), nil, answered(1001, "off I go")},
	{"5.5.1/close/reason-not-ascii", sent(closing(1000, greek)), nil, answered(1000, greek)},
	{"5.5.1/close/reason-123-bytes", sent(closing(1000, zeros(123))), nil, answered(1000, zeros(123))},
	{"5.5.1/close/reason-124-bytes", sent("88 fe"), nil, broken(1002, ruleControl)},
	{"5.5.1/close/one-byte-payload", sent(frame{0x88, "\x03"}), nil, broken(1002, ruleClose)},
	{"5.5.1/close/reason-not-utf8", sent(closing(1000, "a\xff")), nil, broken(1007, ruleUTF8)},
	{"5.5.1/close/reason-cut", sent(closing(1000, greek[:len(greek)-1])), nil, broken(1007, ruleUTF8)},
	{"5.5.1/close/reason-surrogate", sent(closing(1000, "\xed\xa0\x80")), nil, broken(1007, ruleUTF8)},
	{"5.5.1/close/reason-overlong", sent(closing(1000, "\xc0\xaf")), nil, broken(1007, ruleUTF8)},
	{"5.5.1/close/bad-code-before-bad-reason", sent(closing(1006, "\xff")), nil, broken(1002, ruleCodes)},
	{"5.5.1/close/behind-messages", sent(text("a"), ping("b"), closing(1000, "")), out(text("a"), pong("b")), answered(1000, "")},
	{"5.5.1/after-close/message", sent(closing(1000, ""), text("late")), nil, answered(1000, "")},
	{"5.5.1/after-close/ping", sent(closing(1000, ""), ping("late")), nil, answered(1000, "")},
	{"5.5.1/after-close/second-close", sent(closing(1000, "first"), closing(1001, "second")), nil, answered(1000, "first")},
	{"5.5.1/after-close/broken-frame", sent(closing(1000, ""), "f3 ff ff ff"), nil, answered(1000, "")},
	{"5.5.1/after-close/rest-of-a-message", sent(begin(text("a")), closing(1000, ""), last("b")), nil, answered(1000, "")},
	{"7.1.7/after-a-broken-rule/message", sent(frame{0x83, ""}, text("late"), closing(1000, "")), nil, broken(1002, ruleHeader)},
	{"7.1.7/after-a-broken-rule/another", sent(text("\xff"), frame{0x83, ""}), nil, broken(1007, ruleUTF8)},
}, codeRows()...)

// codeRows are the classes of close codes at their borders (§7.4, and the IANA
// registry for 1012 to 1014).
func codeRows() (rows []frameRow) {
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3500, 3999, 4000, 4001, 4999} {
		rows = append(rows, frameRow{fmt.Sprintf("7.4/code/%d", code), sent(closing(code, "why")), nil, answered(code, "why")})
	}
	for code, what := range map[int]string{
		1: "below-1000", 500: "below-1000", 999: "below-1000",
		1004: "reserved", 1005: "on-the-wire", 1006: "on-the-wire", 1015: "on-the-wire",
		1016: "unassigned", 1100: "unassigned", 1999: "unassigned", 2000: "unassigned", 2999: "unassigned",
		5000: "over-4999", 9999: "over-4999", 65535: "over-4999",
	} {
		rows = append(rows, frameRow{fmt.Sprintf("7.4/code/%d-%s", code, what), sent(closing(code, "")), nil, broken(1002, ruleCodes)})
	}
	return append(rows, frameRow{"7.4/code/0-below-1000", sent(frame{0x88, "\x00\x00"}), nil, broken(1002, ruleCodes)})
}

func TestConformanceClose(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{}, nil)
	s.frameRows(t, "/echo", closeRows)
	s.row(t, "5.5.1/after-close/no-callback", func(t *testing.T, _ *rawClient) {
		p := s.open(t)
		p.send(sent(text("a"), closing(1000, ""), text("b"), ping("c"), pong("d")))
		p.expect(text("a"))
		p.expectEnding(answered(1000, ""))
		if m, n := p.session.messages.Load(), p.session.pings.Load(); m != 1 || n != 0 || len(p.session.pongs) != 0 {
			t.Errorf("%d messages, %d pings and %d pongs were delivered; want the one message", m, n, len(p.session.pongs))
		}
	})
	s.row(t, "7.1.1/close-then-fin", func(t *testing.T, _ *rawClient) {
		p := s.open(t)
		p.send(sent(text("a"), closing(1000, "")))
		_ = p.tcp.CloseWrite()
		p.expect(text("a"), closing(1000, ""))
		if _, err := p.in.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("read: %v; want EOF", err)
		}
		p.expectInfo(answered(1000, ""))
	})
}

// The examples of §5.7 that a server may send, to the byte.
func TestConformanceGoldenBytes(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{}, nil)
	for _, row := range []struct {
		name string
		in   frame
		out  string // the bytes that come back, before the payload's zeros
	}{
		{"5.7/single-unmasked-text", text("Hello"), "8105 48656c6c6f"},
		{"5.7/unmasked-pong", ping("Hello"), "8a05 48656c6c6f"},
		{"5.7/256-bytes", bin(zeros(256)), "827e 0100"},
		{"5.7/64-kib", bin(zeros(65536)), "827f 0000000000010000"},
		{"5.7/empty-close", closing(0, ""), "8800"},
		{"5.7/close-1000", closing(1000, ""), "8802 03e8"},
	} {
		s.row(t, row.name, func(t *testing.T, _ *rawClient) {
			p := s.open(t)
			p.send(sent(row.in))
			want := sent(row.out)
			got := make([]byte, len(want))
			if _, err := io.ReadFull(p.in, got); err != nil || string(got) != string(want) {
				t.Errorf("read % x, %v; want % x", got, err, want)
			}
		})
	}
	s.row(t, "5.7/unmasked-ping", func(t *testing.T, _ *rawClient) {
		p := s.open(t)
		if err := p.conn().Ping([]byte("Hello")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 7)
		if _, err := io.ReadFull(p.in, got); err != nil || hex.EncodeToString(got) != "890548656c6c6f" {
			t.Errorf("read % x, %v", got, err)
		}
		p.send(sent("8a 85 37 fa 21 3d 7f 9f 4d 51 58"))
		select {
		case pong := <-p.session.pongs:
			if pong != "Hello" {
				t.Errorf("OnPong got %q", pong)
			}
		case <-time.After(patience):
			t.Error("OnPong was not called")
		}
	})
}

// A text is valid or not wherever its fragments and segments are cut.
func TestConformanceTextCuts(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{}, nil)
	const whole = "$¢€𐍈κ"
	s.row(t, "8.1/cuts/fragments", func(t *testing.T, _ *rawClient) {
		p := s.open(t)
		for i := range len(whole) + 1 {
			for j := i; j <= len(whole); j++ {
				p.send(sent(begin(text(whole[:i])), more(whole[i:j]), ping("between"), last(whole[j:])))
				p.expect(pong("between"), text(whole))
			}
		}
		p.goodbye()
	})
	s.row(t, "8.1/cuts/segments", func(t *testing.T, witness *rawClient) {
		p := s.open(t)
		b := sent(text(whole))
		for i := range b {
			p.send(b[:i])
			witness.barrier()
			p.send(b[i:])
			p.expect(text(whole))
		}
		p.goodbye()
	})
}

// byServer is how an end must be reported that the server began.
func byServer(code codec.CloseCode, reason string, clean bool, err error) *ending {
	return &ending{info: CloseInfo{Code: code, Reason: reason, Initiator: Local, Clean: clean, Err: err}}
}

func TestConformanceServerClose(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{}, nil)
	s.row(t, "7.1.2/server/waits-for-the-answer", func(t *testing.T, witness *rawClient) {
		p := s.open(t)
		must(t, p.conn().Close(1001, "moving"))
		p.expect(closing(1001, "moving"))
		p.send(sent(text("late"), begin(text("later"))))
		witness.barrier()
		if n := p.session.closes.Load(); n != 0 {
			t.Error("OnClose was called before the peer has answered")
		}
		p.send(sent(closing(4000, "as you like")))
		p.expectEnd()
		_ = p.tcp.Close()
		p.expectInfo(byServer(1001, "moving", true, nil))
		if n := p.session.messages.Load(); n != 0 {
			t.Errorf("%d messages were delivered after Close", n)
		}
	})
	s.row(t, "7.1.2/server/behind-what-was-sent", func(t *testing.T, _ *rawClient) {
		p := s.open(t)
		c := p.conn()
		must(t, c.Send(Text, []byte("a")), c.Send(Binary, []byte(zeros(70000))), c.Ping([]byte("b")), c.Close(1000, ""))
		p.expect(text("a"), bin(zeros(70000)), ping("b"), closing(1000, ""))
		if err := c.Send(Text, []byte("c")); !errors.Is(err, ErrClosed) {
			t.Errorf("Send after Close: %v, want ErrClosed", err)
		}
		if err := c.Close(1000, ""); !errors.Is(err, ErrClosed) {
			t.Errorf("Close after Close: %v, want ErrClosed", err)
		}
		p.send(sent(closing(1000, "")))
		p.expectEnd()
		_ = p.tcp.Close()
		p.expectInfo(byServer(1000, "", true, nil))
	})
	s.row(t, "7.1.5/server/without-a-code", func(t *testing.T, _ *rawClient) {
		p := s.open(t)
		must(t, p.conn().Close(codec.CloseNoStatus, "a reason needs a code"))
		p.expect(closing(0, ""))
		p.send(sent(closing(0, "")))
		p.expectEnd()
		_ = p.tcp.Close()
		p.expectInfo(byServer(1005, "", true, nil))
	})
	s.row(t, "5.5.1/server/one-close-frame-only", func(t *testing.T, _ *rawClient) {
		p := s.open(t)
		must(t, p.conn().Close(1000, "enough"))
		p.expect(closing(1000, "enough"))
		p.send(sent("81 00")) // not masked
		p.expectEnd()
		_ = p.tcp.Close()
		end := byServer(1000, "enough", false, nil)
		end.rule = ruleMask
		p.expectInfo(end)
	})
	for name, cut := range map[string][2]string{
		"ascii":       {strings.Repeat("a", 130), strings.Repeat("a", 123)},
		"fits":        {strings.Repeat("a", 123), strings.Repeat("a", 123)},
		"two-bytes":   {strings.Repeat("é", 62), strings.Repeat("é", 61)},
		"three-bytes": {strings.Repeat("€", 42), strings.Repeat("€", 41)},
		"four-bytes":  {strings.Repeat("𐍈", 31), strings.Repeat("𐍈", 30)},
	} {
		s.row(t, "5.5/server/long-reason/"+name, func(t *testing.T, _ *rawClient) {
			p := s.open(t)
			must(t, p.conn().Close(4000, cut[0]))
			p.expect(closing(4000, cut[1]))
			p.send(sent(closing(4000, "")))
			p.expectEnd()
			_ = p.tcp.Close()
			p.expectInfo(byServer(4000, cut[1], true, nil))
		})
	}
	s.row(t, "7.4/server/codes-never-sent", func(t *testing.T, _ *rawClient) {
		p := s.open(t)
		c := p.conn()
		for _, code := range []codec.CloseCode{0, 1, 999, 1004, 1006, 1015, 1016, 2999, 5000, 65535} {
			if err := c.Close(code, ""); !errors.Is(err, ErrBadClose) {
				t.Errorf("Close(%d): %v, want ErrBadClose", code, err)
			}
		}
		if err := c.Close(1000, "\xff"); !errors.Is(err, ErrBadClose) {
			t.Errorf("Close with a reason that is not UTF-8: %v, want ErrBadClose", err)
		}
		p.goodbye()
	})
}

func must(tb testing.TB, errs ...error) {
	tb.Helper()
	if err := errors.Join(errs...); err != nil {
		tb.Fatal(err)
	}
}

// A Close frame reaches a client that is still sending, whatever it sends.
func TestConformanceCloseWhileSending(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{}, nil)
	const much = 8 << 20 // more than the kernel's buffers hold
	for _, row := range []frameRow{
		{"7.1.7/while-sending/broken-rule", sent("81 00", make([]byte, much)), nil, broken(1002, ruleMask)},
		{"7.1.7/while-sending/over-the-limit", sent(bin(zeros(much))), nil, broken(1009, ruleLimits)},
		{"7.1.7/while-sending/not-utf8", sent("81 ff 00 00 00 00 00 10 00 00 00 00 00 00 ff", make([]byte, much)), nil, broken(1007, ruleUTF8)},
		{"7.1.1/while-sending/close", sent(closing(1000, ""), make([]byte, much)), nil, answered(1000, "")},
	} {
		s.row(t, row.name, func(t *testing.T, _ *rawClient) {
			p := s.open(t)
			p.send(row.in) // all of it, before anything is read
			p.expectRow(row)
		})
	}
	s.row(t, "7.1.2/while-sending/server-closes", func(t *testing.T, _ *rawClient) {
		p := s.open(t)
		stop, stopped := make(chan struct{}), make(chan error)
		go func() {
			flood := []byte(strings.Repeat(string(pong(zeros(125)).masked()), 500))
			for {
				select {
				case <-stop:
					close(stopped)
					return
				default:
				}
				if _, err := p.tcp.Write(flood); err != nil {
					stopped <- err
					return
				}
			}
		}()
		c := p.conn()
		<-p.session.pongs // the flood has arrived
		must(t, c.Close(1000, "enough"))
		p.expect(closing(1000, "enough"))
		close(stop)
		must(t, <-stopped)
		p.send(sent(closing(1000, "")))
		p.expectEnd()
		_ = p.tcp.Close()
		p.expectInfo(byServer(1000, "enough", true, nil))
	})
}
