package engine

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/simwire"
)

func TestPace(t *testing.T) {
	const ms = int64(time.Millisecond)
	p := paceOf(10)
	var m meter
	takes := func(now int64) (n int) {
		for p.take(&m, now, 1) {
			n++
		}
		return n
	}
	for _, row := range []struct {
		now  int64
		want int
	}{
		{0, 10}, {99 * ms, 0}, {100 * ms, 1}, {350 * ms, 2}, {400 * ms, 1}, {10_000 * ms, 10}, {10_000 * ms, 0},
	} {
		if n := takes(row.now); n != row.want {
			t.Errorf("at %v %d are taken, want %d", time.Duration(row.now), n, row.want)
		}
	}
	m.excuse(10_100*ms, 500*ms)
	if n := takes(10_100 * ms); n != 1+5 {
		t.Errorf("after a pause of half a second %d are taken, want 6", n)
	}
	m.excuse(20_000*ms, 500*ms)
	if n := takes(22_000 * ms); n != 10 {
		t.Errorf("a credit that wasn't needed for two seconds gives %d, want 10", n)
	}
}

// rateServer serves /echo as ep says, and gives how its connections end.
func rateServer(t *testing.T, ep Endpoint, message func(*Conn, Op, []byte)) (*Server, <-chan CloseInfo) {
	ends := make(chan CloseInfo, 100)
	srv := startServer(t, Config{Loops: 1}, func(s *Server) {
		ep.Handler = HandlerFuncs{Message: message, Close: func(_ *Conn, info CloseInfo) { ends <- info }}
		s.Handle("/echo", ep)
	})
	return srv, ends
}

// letSecondPass lets time pass though there may be nothing to happen in it.
func letSecondPass(sim *simwire.Sim) {
	sim.After(time.Second, func() {})
	passSecond(sim)
}

func noMessage(*Conn, Op, []byte) {}

func TestFloodsAreClosed(t *testing.T) {
	ping := codec.AppendMaskedFrame(nil, codec.OpPing, [4]byte{1, 2, 3, 4}, []byte("p"))
	pong := codec.AppendMaskedFrame(nil, codec.OpPong, [4]byte{1, 2, 3, 4}, []byte("beat and more"))
	text := codec.AppendMaskedFrame(nil, codec.OpText, [4]byte{1, 2, 3, 4}, []byte("message"))
	for _, row := range []struct {
		name  string
		ep    Endpoint
		frame []byte
		most  int // messages that the handler gets
	}{
		{"pings/by default", Endpoint{}, ping, 0},
		{"pongs/by default", Endpoint{}, pong, 0},
		{"pings/of our own choice", Endpoint{MaxControlRate: 5}, ping, 0},
		{"messages", Endpoint{MaxMessageRate: 20}, text, 20},
		{"messages/on workers", Endpoint{MaxMessageRate: 20, Workers: 2}, text, 20},
		{"bytes", Endpoint{MaxByteRate: 200, MaxMessage: 100}, text, 1 << 30},
		{"bytes/of control frames", Endpoint{MaxByteRate: 200, MaxMessage: 100, MaxControlRate: -1}, ping, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := 0
			srv, ends := rateServer(t, row.ep, func(*Conn, Op, []byte) { got++ })
			c := connect(t, srv, "/echo")
			began := time.Now()
			flood := []byte(strings.Repeat(string(row.frame), 500))
			stop := make(chan struct{})
			go func() { // until it is closed
				defer close(stop)
				for {
					_ = c.SetWriteDeadline(time.Now().Add(patience))
					if _, err := c.Write(flood); err != nil {
						return
					}
				}
			}()
			code, reason := codec.CloseCode(0), ""
			for code == 0 {
				op, p, err := c.recv()
				if err != nil {
					t.Fatal(err)
				}
				if op == codec.OpClose {
					got, why, _ := codec.ParseClose(p)
					code, reason = got, string(why)
				}
			}
			if code != ClosePolicyViolation || reason != "sending too fast" {
				t.Errorf("closed with %v %q", code, reason)
			}
			_ = c.Close()
			<-stop
			info := <-ends
			if info.Code != ClosePolicyViolation || info.Initiator != Local || !errors.Is(info.Err, ErrRateLimited) {
				t.Errorf("it ended as %+v", info)
			}
			if most := int(float64(row.most) * (1 + time.Since(began).Seconds())); got > most {
				t.Errorf("%d messages came, at most %d may", got, most)
			}
			if n := srv.refusals.limited.Load(); n != 1 {
				t.Errorf("%d were counted, want 1", n)
			}
		})
	}
}

// Who keeps to the limits is left alone.
func TestRatesThatAreKept(t *testing.T) {
	const rate = 10
	h := HandlerFuncs{Message: func(c *Conn, op Op, p []byte) { _ = c.Reply(op, p) }}
	ep := Endpoint{
		Handler: h, MaxMessageRate: rate, MaxByteRate: rate * 30, MaxMessage: 100, MaxControlRate: 1,
	}
	flowServer(t, 3, 0, Config{}, ep, func(srv *Server, sim *simwire.Sim) {
		p := newFullPeer(sim, 64<<10, simRequest)
		letSecondPass(sim)
		frame := clientFrame(0x80|wireBinary, [4]byte{1}, numberedMessage(1, 4))
		for range 60 {
			for range rate - 1 {
				p.Write(frame)
			}
			letSecondPass(sim)
		}
		if n := srv.refusals.limited.Load(); n != 0 || srv.Connections() != 1 {
			t.Errorf("%d were limited, %d connections are open", n, srv.Connections())
		}
	})
}

// So is who answers our pings, however many we send.
func TestAnswersToHeartbeatsAreFree(t *testing.T) {
	ep := Endpoint{Handler: HandlerFuncs{}, MaxControlRate: 1, PingInterval: 100 * time.Millisecond}
	flowServer(t, 6, 0, Config{}, ep, func(srv *Server, sim *simwire.Sim) {
		var p *simwire.Peer
		var f serverFrames
		answers := 0
		f.frame = func(first byte, payload []byte) {
			if codec.Opcode(first&0xF) == codec.OpPing {
				answers++
				p.Write(clientFrame(0x8A, [4]byte{1}, payload))
			}
		}
		p = sim.Dial(f.profile(64 << 10))
		p.Write([]byte(simRequest))
		for range 10 {
			letSecondPass(sim)
		}
		if answers < 20 || srv.Connections() != 1 {
			t.Errorf("%d pings were answered, %d connections are open", answers, srv.Connections())
		}
		p.Close()
	})
}

// What has piled up while the server didn't read is no flood.
func TestPausesAreCredited(t *testing.T) {
	const rate, seconds = 10, 6
	var conn *Conn
	got := 0
	h := HandlerFuncs{
		Open:    func(c *Conn) { conn = c },
		Message: func(*Conn, Op, []byte) { got++ },
	}
	ep := Endpoint{Handler: h, MaxMessageRate: rate, MaxControlRate: rate, PingInterval: -1}
	flowServer(t, 4, 0, Config{}, ep, func(srv *Server, sim *simwire.Sim) {
		p := newFullPeer(sim, 64<<10, simRequest)
		letSecondPass(sim)
		conn.PauseRead()
		letSecondPass(sim)
		message := clientFrame(0x80|wireBinary, [4]byte{1}, numberedMessage(1, 4))
		ping := clientFrame(0x89, [4]byte{1}, []byte("p"))
		for range seconds {
			for range rate - 1 {
				p.Write(message)
				p.Write(ping)
			}
			letSecondPass(sim)
		}
		conn.ResumeRead()
		letSecondPass(sim)
		if got != seconds*(rate-1) || srv.Connections() != 1 {
			t.Errorf("%d messages of %d came, %d connections are open", got, seconds*(rate-1), srv.Connections())
		}
		for range 3 { // the credit is not for later
			letSecondPass(sim)
		}
		for range 3 * rate {
			p.Write(message)
			p.Write(ping)
		}
		letSecondPass(sim)
		if srv.refusals.limited.Load() != 1 {
			t.Error("the flood afterwards was not closed")
		}
	})
}

// The limits cost a message no allocation, and an idle connection nothing, even one
// that pings now and then.
func TestRatesAllocateNothing(t *testing.T) {
	srv, _ := rateServer(t, Endpoint{MaxMessageRate: 1e6, MaxByteRate: 1e9, MaxControlRate: 1e6}, noMessage)
	c := connect(t, srv, "/echo")
	frames := codec.AppendMaskedFrame(nil, codec.OpText, [4]byte{1, 2, 3, 4}, []byte("message"))
	frames = codec.AppendMaskedFrame(frames, codec.OpPing, [4]byte{1, 2, 3, 4}, []byte("p"))
	answer := make([]byte, 3)
	if per, _ := allocations(t, 2000, func() { c.exchange(t, frames, answer) }); per > 0.05 {
		t.Errorf("%.3f allocations per message and ping, want 0", per)
	}
}

func TestPingsLeaveNothingBehind(t *testing.T) {
	var conn *Conn
	ep := Endpoint{Handler: HandlerFuncs{Open: func(c *Conn) { conn = c }}, PingInterval: -1}
	flowServer(t, 5, 0, Config{}, ep, func(srv *Server, sim *simwire.Sim) {
		ping := clientFrame(0x89, [4]byte{1}, []byte("p"))
		first := newFullPeer(sim, 64<<10, simRequest)
		letSecondPass(sim)
		first.Write(ping)
		letSecondPass(sim)
		if conn.more.Load() != nil {
			t.Error("a ping has made extras")
		}
		if conn.loop.controls.meters[conn] == (meter{}) {
			t.Error("a ping was not counted")
		}
		letSecondPass(sim)
		other := newFullPeer(sim, 64<<10, simRequest)
		letSecondPass(sim)
		other.Write(ping)
		letSecondPass(sim)
		if n := len(conn.loop.controls.meters); n > 1 {
			t.Errorf("%d connections have a meter", n)
		}
		other.Write(clientFrame(0x88, [4]byte{1}, nil))
		letSecondPass(sim)
		if n := len(conn.loop.controls.meters); n != 0 {
			t.Errorf("%d connections have a meter, and no pings for a while", n)
		}
	})
}

// An endpoint without limits on data has no meters, one with them has.
func TestMetersAreMadeAtTheOpening(t *testing.T) {
	for rate, want := range map[int]bool{0: false, 1000: true} {
		conns := make(chan *Conn, 1)
		srv := startServer(t, Config{}, func(s *Server) {
			s.Handle("/echo", Endpoint{MaxMessageRate: rate, Handler: HandlerFuncs{Open: func(c *Conn) { conns <- c }}})
		})
		connect(t, srv, "/echo")
		x := (<-conns).more.Load()
		if has := x != nil && x.meters != nil; has != want {
			t.Errorf("with MaxMessageRate %d it has meters: %t", rate, has)
		}
	}
}

func TestRatesAreChecked(t *testing.T) {
	for _, ep := range []Endpoint{{MaxMessageRate: -1}, {MaxByteRate: -1}, {MaxByteRate: 2e9}, {MaxControlRate: 2e9}} {
		ep.Handler = echoHandler
		if _, err := newEndpoint("/", ep); err == nil || !strings.Contains(err.Error(), "MaxMessageRate") {
			t.Errorf("%+v gives %v", ep, err)
		}
	}
}
