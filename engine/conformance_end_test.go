package engine

import (
	"io"
	"syscall"
	"testing"
	"time"
)

// A client may leave without a word, at any point.
func TestConformanceHangUp(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{}, nil)
	for name, in := range map[string][]byte{
		"idle":             nil,
		"inside-a-header":  sent("82 fe 01"),
		"inside-a-frame":   sent("82 85 00 00 00 00 61"),
		"inside-a-ping":    sent("89 85 00 00 00 00 61"),
		"inside-a-message": sent(begin(text("a")), more("b")),
	} {
		s.row(t, "7.1.5/hang-up/fin/"+name, func(t *testing.T, witness *rawClient) {
			p := s.open(t)
			p.send(in)
			witness.barrier()
			_ = p.tcp.Close()
			p.expectInfo(&ending{info: CloseInfo{Code: 1006, Initiator: Remote, Err: io.ErrUnexpectedEOF}})
		})
		s.row(t, "7.1.5/hang-up/rst/"+name, func(t *testing.T, witness *rawClient) {
			p := s.open(t)
			p.send(in)
			witness.barrier()
			_ = p.tcp.SetLinger(0)
			_ = p.tcp.Close()
			p.expectInfo(&ending{info: CloseInfo{Code: 1006, Initiator: Remote, Err: syscall.ECONNRESET}})
		})
	}
	s.row(t, "7.1.5/hang-up/half-closed", func(t *testing.T, _ *rawClient) {
		p := s.open(t)
		p.send(sent(text("a")))
		_ = p.tcp.CloseWrite()
		p.expect(text("a"))
		p.expectInfo(&ending{info: CloseInfo{Code: 1006, Initiator: Remote, Err: io.ErrUnexpectedEOF}})
	})
	s.row(t, "7.1.5/hang-up/instead-of-an-answer", func(t *testing.T, _ *rawClient) {
		p := s.open(t)
		must(t, p.conn().Close(1000, "bye"))
		p.expect(closing(1000, "bye"))
		_ = p.tcp.Close()
		p.expectInfo(byServer(1000, "bye", false, io.ErrUnexpectedEOF))
	})
	s.row(t, "7.1.5/hang-up/rst-instead-of-an-answer", func(t *testing.T, _ *rawClient) {
		p := s.open(t)
		must(t, p.conn().Close(1000, "bye"))
		p.expect(closing(1000, "bye"))
		_ = p.tcp.SetLinger(0)
		_ = p.tcp.Close()
		p.expectInfo(byServer(1000, "bye", false, syscall.ECONNRESET))
	})
	s.row(t, "4.2/hang-up/inside-the-handshake", func(t *testing.T, witness *rawClient) {
		p := s.dial(t)
		p.send([]byte(minimal[:50]))
		witness.barrier()
		_ = p.tcp.Close()
		witness.barrier()
		if p.session.opens.Load()+p.session.closes.Load() != 0 {
			t.Error("the handler heard of a connection that never opened")
		}
	})
}

// A client that never finishes an end cannot hold the connection
// (Config.CloseTimeout).
func TestConformanceCloseTimeout(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{CloseTimeout: time.Millisecond}, nil)
	for _, row := range []struct {
		name string
		do   func(p *rawClient)
		end  *ending
	}{
		{"7.1.1/bounded/no-answer", func(p *rawClient) {
			must(p.tb, p.conn().Close(1000, "bye"))
			p.expect(closing(1000, "bye"))
		}, byServer(1000, "bye", false, ErrCloseTimeout)},
		{"7.1.1/bounded/answer-without-fin", func(p *rawClient) {
			must(p.tb, p.conn().Close(1000, "bye"))
			p.expect(closing(1000, "bye"))
			p.send(sent(closing(1000, "")))
		}, byServer(1000, "bye", true, nil)},
		{"7.1.1/bounded/close-without-fin", func(p *rawClient) {
			p.send(sent(closing(1000, "")))
			p.expect(closing(1000, ""))
		}, answered(1000, "")},
		{"7.1.7/bounded/broken-rule-without-fin", func(p *rawClient) {
			p.send(sent("81 00"))
			p.expectFailure(broken(1002, ruleMask))
		}, &ending{info: CloseInfo{Code: 1002, Reason: "frame from a client is not masked", Initiator: Local}, rule: ruleMask}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := s.open(t)
			row.do(p)
			if n, err := p.in.ReadByte(); err == nil {
				t.Errorf("byte %#x behind the Close frame", n)
			}
			p.expectInfo(row.end)
		})
	}
}
