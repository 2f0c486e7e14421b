package engine

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// rawClient is the peer: a TCP connection and what its handler was told.
type rawClient struct {
	tb      testing.TB
	tcp     *net.TCPConn
	in      *bufio.Reader
	session *session
}

// dial connects and says nothing.
func (s *stage) dial(tb testing.TB) *rawClient {
	tb.Helper()
	tcp, err := net.DialTimeout("tcp", s.srv.Addr().String(), patience)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = tcp.Close() })
	_ = tcp.SetDeadline(time.Now().Add(patience))
	one := &session{conn: make(chan *Conn, 2), closed: make(chan CloseInfo, 2), pongs: make(chan string, 16)}
	s.sessions.Store(tcp.LocalAddr().String(), one)
	return &rawClient{tb, tcp.(*net.TCPConn), bufio.NewReader(tcp), one}
}

// open connects and makes the opening handshake.
func (s *stage) open(tb testing.TB) *rawClient { return s.openAt(tb, "/echo") }

func (s *stage) openAt(tb testing.TB, path string) *rawClient {
	tb.Helper()
	p := s.dial(tb)
	p.send([]byte(strings.Replace(minimal, "/echo", path, 1)))
	if a := p.answer(); a.status != 101 {
		tb.Fatalf("the opening handshake was answered with %d", a.status)
	}
	return p
}

// conn is the connection as its handler has it.
func (p *rawClient) conn() *Conn {
	p.tb.Helper()
	select {
	case c := <-p.session.conn:
		return c
	case <-time.After(patience):
		p.tb.Fatal("OnOpen was not called")
		return nil
	}
}

func (p *rawClient) send(b []byte) {
	p.tb.Helper()
	if _, err := p.tcp.Write(b); err != nil {
		p.tb.Fatalf("send %d bytes: %v", len(b), err)
	}
}

// barrier waits until the loop has come round: what any client has sent before
// has been read. It asks with a ping, so it must not be called inside a frame.
func (p *rawClient) barrier() {
	p.tb.Helper()
	p.send(sent(ping("barrier")))
	p.expect(pong("barrier"))
}

// read reads one frame and checks what every frame of a server owes: no mask,
// no reserved bits, FIN, and its length in the shortest form.
func (p *rawClient) read() (frame, error) {
	var h [10]byte
	if _, err := io.ReadFull(p.in, h[:2]); err != nil {
		return frame{}, err
	}
	n, extra := uint64(h[1]), 0
	switch n {
	case 126:
		extra = 2
	case 127:
		extra = 8
	}
	if _, err := io.ReadFull(p.in, h[2:2+extra]); err != nil {
		return frame{}, noEOF(err)
	}
	switch extra {
	case 2:
		n = uint64(binary.BigEndian.Uint16(h[2:]))
	case 8:
		n = binary.BigEndian.Uint64(h[2:])
	}
	switch {
	case h[1]&0x80 != 0:
		return frame{}, errors.New("a frame of the server is masked (RFC 6455 §5.1)")
	case h[0]&0x70 != 0:
		return frame{}, errors.New("a frame of the server has a reserved bit (RFC 6455 §5.2)")
	case h[0]&0x80 == 0:
		return frame{}, errors.New("a frame of the server is a fragment, where a whole message was due")
	case extra == 2 && n < 126, extra == 8 && n < 1<<16, n > 1<<24:
		return frame{}, fmt.Errorf("a frame of the server has length %d in %d bytes (RFC 6455 §5.2)", n, extra)
	}
	payload := make([]byte, n)
	_, err := io.ReadFull(p.in, payload)
	return frame{h[0], string(payload)}, noEOF(err)
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (p *rawClient) expect(frames ...frame) {
	p.tb.Helper()
	for i, want := range frames {
		got, err := p.read()
		if err != nil {
			p.tb.Fatalf("instead of frame %d, %v: %v", i, want, err)
		}
		if got != want {
			p.tb.Fatalf("frame %d is %v, want %v", i, got, want)
		}
	}
}

// expectEnd wants the end of the server's half of the stream, in order: EOF and
// no reset, not even when the client goes on sending.
func (p *rawClient) expectEnd() {
	p.tb.Helper()
	for _, when := range []string{"at the end", "after the client has sent more"} {
		if b, err := p.in.ReadByte(); !errors.Is(err, io.EOF) {
			p.tb.Fatalf("%s: read %#x, %v; want EOF", when, b, err)
		}
		p.send(make([]byte, 16<<10))
	}
	if _, err := p.in.ReadByte(); !errors.Is(err, io.EOF) {
		p.tb.Fatalf("in the end: %v; want EOF", err)
	}
}

// ending is how a connection must end.
type ending struct {
	frame frame // the Close frame that the client reads
	info  CloseInfo
	rule  string // of the *codec.ProtocolError, instead of info.Err
}

// broken is the end after a broken rule.
func broken(code codec.CloseCode, rule string) *ending {
	return &ending{info: CloseInfo{Code: code, Initiator: Local}, rule: rule}
}

// answered is the end that a Close frame of the client begins.
func answered(code int, reason string) *ending {
	e := &ending{
		frame: closing(code, ""),
		info:  CloseInfo{Code: codec.CloseCode(code), Reason: reason, Initiator: Remote, Clean: true},
	}
	if code == 0 {
		e.info.Code = 1005
	}
	return e
}

// expectEnding wants the Close frame and an orderly end, and then the right
// CloseInfo.
func (p *rawClient) expectEnding(want *ending) {
	p.tb.Helper()
	if want.rule == "" {
		p.expect(want.frame)
	} else {
		p.expectFailure(want)
	}
	p.expectEnd()
	_ = p.tcp.Close()
	p.expectInfo(want)
}

// expectFailure wants a Close frame with the code of a broken rule, and some
// reason.
func (p *rawClient) expectFailure(want *ending) {
	p.tb.Helper()
	got, err := p.read()
	if err != nil || got.first != 0x88 || len(got.payload) < 2 {
		p.tb.Fatalf("frame %v, error %v; want a Close frame with %v", got, err, want.info.Code)
	}
	if code := binary.BigEndian.Uint16([]byte(got.payload)); codec.CloseCode(code) != want.info.Code {
		p.tb.Fatalf("close code %d, reason %q; want %v", code, got.payload[2:], want.info.Code)
	}
	want.info.Reason = got.payload[2:]
	if want.info.Reason == "" {
		p.tb.Error("the Close frame gives no reason")
	}
}

// expectInfo wants OnOpen and OnClose called once each, and what OnClose said.
func (p *rawClient) expectInfo(want *ending) {
	p.tb.Helper()
	var got CloseInfo
	select {
	case got = <-p.session.closed:
	case <-time.After(patience):
		p.tb.Fatal("OnClose was not called")
	}
	var rule string
	var protocol *codec.ProtocolError
	if errors.As(got.Err, &protocol) {
		rule = protocol.Rule
	}
	if rule != want.rule || rule == "" && !errors.Is(got.Err, want.info.Err) {
		p.tb.Errorf("OnClose got the error %v, want %v %s", got.Err, want.info.Err, want.rule)
	}
	got.Err, want.info.Err = nil, nil
	if got != want.info {
		p.tb.Errorf("OnClose got %+v, want %+v", got, want.info)
	}
	if opens, closes := p.session.opens.Load(), p.session.closes.Load(); opens != 1 || closes != 1 {
		p.tb.Errorf("OnOpen was called %d times and OnClose %d times; want once each", opens, closes)
	}
}

// goodbye ends a healthy connection.
func (p *rawClient) goodbye() {
	p.tb.Helper()
	p.send(sent(closing(1000, "")))
	p.expectEnding(answered(1000, ""))
}
