package engine

import (
	"math"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/simwire"
)

// SendWithin in virtual time. Whatever the policy, a message that could not begin to
// leave in time is dropped, and counted, and the others keep their order.
func TestSendWithin(t *testing.T) {
	for _, policy := range []FullPolicy{CloseSlow, DropNewest, DropOldest, AskHandler} {
		var conn *Conn
		h := &flowHandler{full: func(*Conn) FullPolicy { t.Error("OnFull"); return CloseSlow }}
		h.Open = func(c *Conn) { conn = c }
		ep := Endpoint{Handler: h, MaxQueue: 200 << 10, WhenFull: policy}
		flowServer(t, 3, 0, Config{StallTimeout: time.Hour}, ep, func(srv *Server, sim *simwire.Sim) {
			p := newFullPeer(sim, 1000, simRequest)
			passSecond(sim)
			// Where the socket takes everything it leaves at once.
			if err := conn.SendWithin(time.Second, Binary, numberedMessage(0, 10)); err != nil {
				t.Error(err)
			}
			passSecond(sim)
			p.Halt()
			_ = conn.Send(Binary, numberedMessage(1, 5000)) // begins to leave
			passSecond(sim)
			want := []int{0, 1}
			for n := 2; n < 40; n++ {
				var err error
				switch n % 4 {
				case 0:
					err = conn.SendWithin(5*time.Second, Binary, numberedMessage(n, 100))
				case 1:
					err = conn.SendWithin(time.Minute, Binary, numberedMessage(n, 100))
					want = append(want, n)
				case 2:
					err = conn.SendWithin(-time.Second, Binary, numberedMessage(n, 100))
				default:
					err = conn.Send(Binary, numberedMessage(n, 100))
					want = append(want, n)
				}
				if err != nil {
					t.Errorf("message %d: %v", n, err)
				}
				if n%8 == 0 {
					sim.Run(sim.Now() + 10*time.Millisecond)
				}
			}
			sim.Run(sim.Now() + 10*time.Second)
			p.Resume()
			passSecond(sim)
			if !equalNumbers(p.got, want) || len(p.mistakes) > 0 {
				t.Errorf("policy %d: came %v, want %v; %v", policy, p.got, want, p.mistakes)
			}
			if late := 40 - len(want); conn.Dropped() != late || srv.drops.late.Load() != uint64(late) {
				t.Errorf("policy %d: %d are counted, %d by the server, of %d that were late", policy, conn.Dropped(), srv.drops.late.Load(), late)
			}
			if conn.Buffered() != 0 {
				t.Errorf("policy %d: %d bytes wait", policy, conn.Buffered())
			}
		})
	}
}

// A queue of nothing but late messages becomes empty, and is given back.
func TestSendWithinThatAllComeTooLate(t *testing.T) {
	var conn *Conn
	h := &flowHandler{HandlerFuncs: HandlerFuncs{Open: func(c *Conn) { conn = c }}}
	drains := 0
	h.drain = func(*Conn) { drains++ }
	flowServer(t, 3, 0, Config{StallTimeout: time.Hour}, Endpoint{Handler: h, MaxQueue: 64 << 10, HighWater: 32 << 10, LowWater: 1 << 10},
		func(srv *Server, sim *simwire.Sim) {
			p := newFullPeer(sim, 1000, simRequest)
			passSecond(sim)
			p.Halt()
			_ = conn.Send(Binary, numberedMessage(0, 1500))
			passSecond(sim)
			for n := range 40 {
				_ = conn.SendWithin(time.Second, Binary, numberedMessage(1+n, 1000))
			}
			sim.Run(sim.Now() + 10*time.Second)
			p.Resume()
			passSecond(sim)
			if len(p.got) != 1 || conn.Dropped() != 40 || conn.Buffered() != 0 || conn.out != nil || drains != 1 {
				t.Errorf("came %v, %d dropped, %d bytes wait, %d drains", p.got, conn.Dropped(), conn.Buffered(), drains)
			}
			if conn.armed() {
				t.Error("a deadline is left")
			}
		})
}

// A time that the clock cannot reach is no time limit.
func TestSendWithinForEver(t *testing.T) {
	var conn *Conn
	h := HandlerFuncs{Open: func(c *Conn) { conn = c }}
	flowServer(t, 3, 0, Config{}, Endpoint{Handler: h}, func(_ *Server, sim *simwire.Sim) {
		p := newFullPeer(sim, 1<<20, simRequest)
		passSecond(sim)
		if err := conn.SendWithin(math.MaxInt64, Binary, numberedMessage(1, 10)); err != nil {
			t.Error(err)
		}
		passSecond(sim)
		if len(p.got) != 1 || conn.Dropped() != 0 {
			t.Errorf("came %v, %d were dropped", p.got, conn.Dropped())
		}
	})
}

// Close drops what is late, and sends the rest.
func TestCloseBehindSendWithin(t *testing.T) {
	var conn *Conn
	h := HandlerFuncs{Open: func(c *Conn) { conn = c }}
	flowServer(t, 3, 0, Config{StallTimeout: time.Hour, CloseTimeout: time.Hour}, Endpoint{Handler: h}, func(_ *Server, sim *simwire.Sim) {
		p := newFullPeer(sim, 1000, simRequest)
		passSecond(sim)
		p.Halt()
		_ = conn.Send(Binary, numberedMessage(0, 5000))
		passSecond(sim)
		_ = conn.SendWithin(time.Second, Binary, numberedMessage(1, 100))
		_ = conn.SendWithin(time.Hour, Binary, numberedMessage(2, 100))
		passSecond(sim)
		passSecond(sim)
		_ = conn.SendWithin(time.Second, Binary, numberedMessage(3, 100))
		_ = conn.Close(codec.CloseNormal, "")
		sim.Run(sim.Now() + time.Minute)
		p.Resume()
		passSecond(sim)
		if !equalNumbers(p.got, []int{0, 2, 3}) || p.code != codec.CloseNormal || conn.Dropped() != 1 {
			t.Errorf("came %v, closed with %v, %d were dropped", p.got, p.code, conn.Dropped())
		}
	})
}

// A reader that is slow but reads gets nothing that is much older than its time: what
// stands before the backlog is at most one write.
func TestSendWithinToASlowReader(t *testing.T) {
	const within, size = 2 * time.Second, 1000
	var conn *Conn
	sentAt := make(map[uint32]time.Duration)
	h := HandlerFuncs{Open: func(c *Conn) { conn = c }}
	flowServer(t, 3, 0, Config{StallTimeout: time.Hour}, Endpoint{Handler: h, MaxQueue: 64 << 10, WhenFull: DropOldest}, func(_ *Server, sim *simwire.Sim) {
		p := newFullPeer(sim, 2*size, simRequest)
		frame := p.frames.frame
		var worst time.Duration
		p.frames.frame = func(first byte, payload []byte) {
			frame(first, payload)
			worst = max(worst, sim.Now()-sentAt[p.got[len(p.got)-1]])
		}
		passSecond(sim)
		p.Halt()
		talk(sim, 200*time.Millisecond, func() { // 10 KB/s
			p.Resume()
			sim.After(time.Microsecond, p.Halt)
		})
		n := uint32(0)
		talk(sim, 20*time.Millisecond, func() { // 50 KB/s
			sentAt[n] = sim.Now()
			if err := conn.SendWithin(within, Binary, numberedMessage(int(n), size)); err != nil {
				t.Error(err)
			}
			n++
		})
		sim.Run(sim.Now() + 2*time.Minute)
		t.Logf("%d sent, %d came, %d dropped; the oldest was %v old", n, len(p.got), conn.Dropped(), worst)
		// 16 KB stand before the backlog, and take 1.6 s.
		if worst > within+2500*time.Millisecond || len(p.got) < 1000 {
			t.Errorf("a message that is worth nothing after %v came after %v", within, worst)
		}
	})
}
