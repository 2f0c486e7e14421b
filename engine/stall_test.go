package engine

import (
	"errors"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// stalling serves a recorder with a short StallTimeout.
func stalling(t *testing.T, r *recorder) *Server {
	return startServer(t, Config{StallTimeout: 100 * time.Millisecond, CloseTimeout: 100 * time.Millisecond},
		func(s *Server) { s.Handle("/x", Endpoint{Handler: r, MaxQueue: 64 << 20, MaxMessage: 64 << 20}) })
}

func TestUnfinishedMessageIsClosedWith1008(t *testing.T) {
	frame := codec.AppendMaskedFrame(nil, codec.OpBinary, [4]byte{1, 2, 3, 4}, make([]byte, 1000))
	fragment := append([]byte{0x02}, frame[1:]...) // FIN is not set
	for name, part := range map[string][]byte{
		"a header": frame[:3], "a payload": frame[:500], "between fragments": fragment,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecorder()
			c := connect(t, stalling(t, r), "/x")
			if _, err := c.Write(part); err != nil {
				t.Fatal(err)
			}
			if err := c.expectClose(codec.ClosePolicyViolation, "message not finished in time"); err != nil {
				t.Error(err)
			}
			if info := next(t, r.closed); !errors.Is(info.Err, ErrStalled) {
				t.Errorf("it ended with %+v", info)
			}
		})
	}
}

func TestPeerThatTakesNothingIsClosedWith1013(t *testing.T) {
	r := newRecorder()
	c := connect(t, stalling(t, r), "/x")
	conn := next(t, r.opened)
	for range 32 { // far more than the kernel takes
		if conn.Send(Binary, make([]byte, 1<<20)) != nil {
			break // it has ended already
		}
	}
	info := next(t, r.closed)
	if info.Code != codec.CloseTryAgainLater || !errors.Is(info.Err, ErrSlowPeer) {
		t.Errorf("it ended with %+v", info)
	}
	_ = c.Conn.Close()
}

// As long as something moves, a message may take longer than StallTimeout, and
// between messages there is no limit.
func TestSlowButMovingPeerIsLeftAlone(t *testing.T) {
	r := newRecorder()
	c := connect(t, stalling(t, r), "/x")
	frame := codec.AppendMaskedFrame(nil, codec.OpText, [4]byte{1, 2, 3, 4}, []byte("slow"))
	for i := range frame {
		time.Sleep(40 * time.Millisecond)
		if _, err := c.Write(frame[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.expect(codec.OpText, "slow"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if err := c.echo(codec.OpText, "after a pause"); err != nil {
		t.Error(err)
	}
}

func TestLinkedBuffersAreNotMuchLargerThanTheirFrames(t *testing.T) {
	var mem memory
	var o outbox
	b := mem.getFrame()
	b.B = append(make([]byte, 0, 1<<20), make([]byte, 4<<10)...)
	o.link(&mem, b)
	held := 0
	for _, s := range o.segments {
		held += cap(s.p)
	}
	if held > 64<<10 {
		t.Errorf("a frame of 4 KiB holds %d bytes", held)
	}
}
