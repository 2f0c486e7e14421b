package engine

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/simwire"
)

// The answers of OnFull, and what else a handler may do in it.
func TestAskHandler(t *testing.T) {
	const maxQueue = 16 << 10
	for name, c := range map[string]struct {
		full   func(*Conn) FullPolicy
		code   codec.CloseCode // of the Close frame; 0: it lives
		newest bool            // the last message comes
		err    error
	}{
		"CloseSlow":  {func(*Conn) FullPolicy { return CloseSlow }, codec.CloseTryAgainLater, true, ErrSlowPeer},
		"DropOldest": {func(*Conn) FullPolicy { return DropOldest }, 0, true, nil},
		"DropNewest": {func(*Conn) FullPolicy { return DropNewest }, 0, false, nil},
		"AskHandler": {func(*Conn) FullPolicy { return AskHandler }, codec.CloseTryAgainLater, true, ErrSlowPeer},
		"nonsense":   {func(*Conn) FullPolicy { return 77 }, codec.CloseTryAgainLater, true, ErrSlowPeer},
		"panic":      {func(*Conn) FullPolicy { panic("in OnFull") }, codec.CloseInternalError, true, nil},
		"Close": {func(c *Conn) FullPolicy {
			_ = c.Close(4000, "too slow")
			return CloseSlow
		}, 4000, true, nil},
		"Close and DropNewest": {func(c *Conn) FullPolicy {
			_ = c.Close(4000, "too slow")
			return DropNewest
		}, 4000, true, nil},
		"Reply": {func(c *Conn) FullPolicy {
			_ = c.Reply(Binary, numberedMessage(1<<20, 100))
			_ = c.Send(Binary, numberedMessage(1<<20+1, 100))
			return DropOldest
		}, 0, false, nil},
	} {
		for way := range sendWays {
			t.Run(name+"/"+way, func(t *testing.T) {
				var conn *Conn
				var info CloseInfo
				asked, inside := 0, false
				h := &flowHandler{}
				h.Open = func(c *Conn) { conn = c }
				h.Close = func(_ *Conn, i CloseInfo) { info = i }
				ask := c.full
				h.full = func(cn *Conn) FullPolicy {
					if inside || cn != conn || cn.Buffered()+cn.out.backlog.len()*waitingCost <= maxQueue {
						t.Errorf("OnFull inside of another callback: %t, while %d bytes wait", inside, cn.Buffered())
					}
					asked++
					inside = true
					defer func() { inside = false }()
					return ask(cn)
				}
				h.Message = func(c *Conn, _ Op, p []byte) {
					inside = true
					defer func() { inside = false }()
					n := int(binary.BigEndian.Uint32(p))
					for i := range 10 {
						if err := sendWays[way](c, Binary, numberedMessage(n+i, 1000)); err != nil && !errors.Is(err, ErrDropped) && !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
					}
				}
				ep := Endpoint{Handler: h, MaxQueue: maxQueue, HighWater: maxQueue, WhenFull: AskHandler}
				flowServer(t, 5, 0, Config{StallTimeout: time.Hour, CloseTimeout: time.Hour}, ep, func(_ *Server, sim *simwire.Sim) {
					p := newFullPeer(sim, 4<<10, simRequest)
					passSecond(sim)
					p.Halt()
					last := 0
					for n := 0; n < 60 && asked == 0; n += 10 {
						p.Write(clientFrame(0x80|wireBinary, [4]byte{1}, numberedMessage(n, 4)))
						passSecond(sim)
						last = n + 9
					}
					if asked == 0 {
						t.Fatal("OnFull was not called")
					}
					if c.code == 0 && conn.Buffered() > maxQueue+2000 {
						t.Errorf("%d bytes wait", conn.Buffered())
					}
					p.Resume()
					passSecond(sim)
					p.CloseWrite()
					passSecond(sim)
					if p.code != c.code || p.behind > 0 || len(p.mistakes) > 0 {
						t.Errorf("closed with %v, %d frames behind that, %v", p.code, p.behind, p.mistakes)
					}
					var panicked *PanicError
					if c.err != nil && !errors.Is(info.Err, c.err) || name == "panic" && !errors.As(info.Err, &panicked) || info.Code != c.code && c.code != 0 {
						t.Errorf("it ended with %+v", info)
					}
					if newest := int(p.got[len(p.got)-1]) == last; newest != c.newest {
						t.Errorf("the last message has come: %t: %v of %d", newest, p.got, last)
					}
					for i := 1; i < len(p.got); i++ {
						if p.got[i] <= p.got[i-1] {
							t.Errorf("%d behind %d", p.got[i], p.got[i-1])
						}
					}
					if name == "Reply" && (len(p.got) < 2 || p.got[len(p.got)-1] != 1<<20+1 || p.got[len(p.got)-2] != 1<<20) {
						t.Errorf("what OnFull has sent did not come: %v", p.got)
					}
					if c.code != 0 && len(p.got)+conn.Dropped() != last+1 {
						t.Errorf("%d came, %d were dropped, of %d", len(p.got), conn.Dropped(), last+1)
					}
				})
			})
		}
	}
}

// What Send has accepted before OnFull chooses CloseSlow goes before the Close frame.
func TestCloseSlowFromOnFullKeepsWhatWasAccepted(t *testing.T) {
	var conn *Conn
	h := &flowHandler{}
	h.Open = func(c *Conn) { conn = c }
	n := 0
	var accepted []int
	send := func() {
		if conn.Send(Binary, numberedMessage(n, 1000)) == nil {
			accepted = append(accepted, n)
		}
		n++
	}
	h.full = func(*Conn) FullPolicy {
		send() // another goroutine, just now
		return CloseSlow
	}
	ep := Endpoint{Handler: h, MaxQueue: 16 << 10, WhenFull: AskHandler}
	flowServer(t, 5, 0, Config{StallTimeout: time.Hour, CloseTimeout: time.Hour}, ep, func(_ *Server, sim *simwire.Sim) {
		p := newFullPeer(sim, 4<<10, simRequest)
		passSecond(sim)
		p.Halt()
		for range 30 {
			send()
			passSecond(sim)
		}
		p.Resume()
		passSecond(sim)
		if p.code != codec.CloseTryAgainLater || !equalNumbers(p.got, accepted) {
			t.Errorf("closed with %v; accepted %v, came %v", p.code, accepted, p.got)
		}
	})
}
