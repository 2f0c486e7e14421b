package engine

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/simwire"
)

func TestRTTIsExactToATwentiethOfAPercent(t *testing.T) {
	for d := time.Microsecond; d < 2*time.Minute; d += d/100 + time.Microsecond {
		got := rttOf(d).duration()
		if diff := (d - got).Abs(); diff > d/2000+time.Microsecond {
			t.Fatalf("%v becomes %v", d, got)
		}
	}
	if got := rttOf(time.Hour).duration(); got < 2*time.Minute || got > 3*time.Minute {
		t.Errorf("an hour becomes %v", got)
	}
	if got := rttOf(-time.Second).duration(); got != 0 {
		t.Errorf("a negative time becomes %v", got)
	}
}

func TestHeartbeatAsksASilentPeer(t *testing.T) {
	r := newRecorder()
	rtts := make(chan time.Duration, 100)
	r.Message = func(c *Conn, op Op, p []byte) { rtts <- c.RTT() }
	srv := startServer(t, Config{}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: r, PingInterval: 100 * time.Millisecond, PongTimeout: patience})
	})
	c := connect(t, srv, "/x")
	for range 3 {
		op, p, err := c.recv()
		if err != nil || op != codec.OpPing || len(p) != heartbeatSize {
			t.Fatalf("got %v %q, %v, want a ping", op, p, err)
		}
		if err := c.send(codec.OpPong, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.send(codec.OpText, nil); err != nil {
		t.Fatal(err)
	}
	if rtt := next(t, rtts); rtt <= 0 || rtt > patience {
		t.Errorf("the round trip took %v", rtt)
	}
}

func TestHeartbeatClosesWhoDoesNotAnswer(t *testing.T) {
	r := newRecorder()
	srv := startServer(t, Config{}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: r, PingInterval: 50 * time.Millisecond, PongTimeout: 50 * time.Millisecond})
	})
	if err := connect(t, srv, "/x").expectClose(codec.CloseInternalError, "no answer to a ping"); err != nil {
		t.Error(err)
	}
	if info := next(t, r.closed); !errors.Is(info.Err, ErrNoPong) || info.Initiator != Local {
		t.Errorf("it ended with %+v", info)
	}
}

// A pong that nobody asked for, or with a time that cannot be, changes nothing.
func TestForgedPongIsNoRoundTrip(t *testing.T) {
	r := newRecorder()
	rtts := make(chan time.Duration, 100)
	r.Message = func(c *Conn, op Op, p []byte) { rtts <- c.RTT() }
	srv := startServer(t, Config{}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: r, PingInterval: 50 * time.Millisecond, PongTimeout: patience})
	})
	c := connect(t, srv, "/x")
	forged := append([]byte(heartbeatMark), 0x7F, 1, 2, 3, 4, 5, 6, 7)
	_ = c.send(codec.OpPong, forged)
	if _, _, err := c.recv(); err != nil { // the ping
		t.Fatal(err)
	}
	_ = c.send(codec.OpPong, forged)
	_ = c.send(codec.OpText, nil)
	if rtt := next(t, rtts); rtt != 0 {
		t.Errorf("a forged pong makes a round trip of %v", rtt)
	}
}

// In virtual time: pings of connections that were made at once are spread over
// the interval, who talks is not asked, who answers stays, who does not is closed.
func TestHeartbeatsInVirtualTime(t *testing.T) {
	const (
		conns    = 300
		interval = 30 * time.Second
	)
	var firstPing []time.Duration
	ends := make(map[string]int)
	h := HandlerFuncs{Close: func(_ *Conn, info CloseInfo) { ends[info.Reason]++ }}
	ep := Endpoint{Handler: h, PingInterval: interval, PongTimeout: 10 * time.Second}
	simServer(t, 1, Config{MaxConns: conns}, ep, func(srv *Server, sim *simwire.Sim) {
		for i := range conns {
			newBeatingPeer(sim, i%3, &firstPing)
		}
		sim.Run(5 * time.Minute)
		if n := srv.Connections(); n != 2*conns/3 {
			t.Errorf("%d connections are left, want those that answer or talk, %d", n, 2*conns/3)
		}
		if l := srv.loops[0]; l.wheel.entries > 2*l.conns.len {
			t.Errorf("%d entries in the wheel for %d connections", l.wheel.entries, l.conns.len)
		}
	})
	if ends["no answer to a ping"] != conns/3 {
		t.Errorf("the ends: %v", ends)
	}
	if len(firstPing) != 2*conns/3 {
		t.Fatalf("%d peers were asked, want the silent ones, %d", len(firstPing), 2*conns/3)
	}
	// The phases are really random, so the bounds are ones that chance does not
	// reach: 20 pings are due in each tenth of the interval, give or take 4.2.
	var tenths [10]int
	for _, at := range firstPing {
		tenths[min(max(int((at-interval)/(interval/10)), 0), 9)]++
	}
	if slices.Min(tenths[:]) < 1 || slices.Max(tenths[:]) > 50 {
		t.Errorf("first pings by tenths of the interval: %v", tenths)
	}
}

// newBeatingPeer connects a peer that answers pings (0), that doesn't (1), or
// that sends a message every ten seconds (2).
func newBeatingPeer(sim *simwire.Sim, kind int, firstPing *[]time.Duration) {
	var got []byte
	var p *simwire.Peer
	asked := false
	profile := simPipe(&got)
	profile.Data = func(b []byte) {
		got = append(got, b...)
		at := bytes.Index(got, append([]byte{0x89, byte(heartbeatSize)}, heartbeatMark...))
		if at < 0 || len(got) < at+2+heartbeatSize {
			return
		}
		payload := got[at+2 : at+2+heartbeatSize]
		got = got[at+2+heartbeatSize:]
		if !asked {
			asked = true
			*firstPing = append(*firstPing, sim.Now())
		}
		if kind == 0 {
			p.Write(clientFrame(0x80|wirePong, [4]byte{1, 2, 3, 4}, payload))
		}
	}
	p = sim.Dial(profile)
	p.Write([]byte(simRequest))
	var talk func()
	talk = func() {
		p.Write(clientFrame(0x80|wireText, [4]byte{1, 2, 3, 4}, []byte("I am here")))
		sim.After(10*time.Second, talk)
	}
	if kind == 2 {
		talk()
	}
}
