package engine

import (
	"errors"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/simwire"
)

// limitSlack is how much later than due a limit may be noticed: two ticks, and what
// the simulation lets a tick wait.
const limitSlack = 400 * time.Millisecond

// limitEnd is when and how a connection ended.
type limitEnd struct {
	at   time.Duration // after it had opened
	info CloseInfo
}

// limitServer runs a server with limits, and gives the ends of its connections.
func limitServer(t *testing.T, ep Endpoint, script func(srv *Server, sim *simwire.Sim, ends map[*Conn]limitEnd)) {
	t.Helper()
	opened, ends := make(map[*Conn]time.Duration), make(map[*Conn]limitEnd)
	var now func() time.Duration
	h := ep.Handler.(HandlerFuncs)
	had := h.Open
	h.Open = func(c *Conn) {
		opened[c] = now()
		if had != nil {
			had(c)
		}
	}
	h.Close = func(c *Conn, info CloseInfo) { ends[c] = limitEnd{now() - opened[c], info} }
	ep.Handler = h
	flowServer(t, 7, 0, Config{MaxConns: 10_000}, ep, func(srv *Server, sim *simwire.Sim) {
		now = sim.Now
		script(srv, sim, ends)
	})
}

// talk has f called again and again.
func talk(sim *simwire.Sim, every time.Duration, f func()) {
	sim.After(every, func() {
		f()
		talk(sim, every, f)
	})
}

// A message in either direction keeps a connection; pings and pongs don't.
func TestIdleTimeout(t *testing.T) {
	const idle = 30 * time.Second
	for name, c := range map[string]struct {
		lives bool
		do    func(sim *simwire.Sim, p *fullPeer, c *Conn)
	}{
		"silence": {false, func(*simwire.Sim, *fullPeer, *Conn) {}},
		"pings of the peer": {false, func(sim *simwire.Sim, p *fullPeer, _ *Conn) {
			talk(sim, 5*time.Second, func() { p.Write(clientFrame(0x80|wirePing, [4]byte{}, nil)) })
		}},
		"pings of ours": {false, func(sim *simwire.Sim, p *fullPeer, c *Conn) {
			talk(sim, 5*time.Second, func() { _ = c.Ping(nil) })
		}},
		"fragments without end": {false, func(sim *simwire.Sim, p *fullPeer, c *Conn) {
			p.Write(clientFrame(wireBinary, [4]byte{}, nil))
			talk(sim, 5*time.Second, func() { p.Write(clientFrame(wireContinuation, [4]byte{}, nil)) })
		}},
		"messages of the peer": {true, func(sim *simwire.Sim, p *fullPeer, _ *Conn) {
			talk(sim, 29*time.Second, func() { p.Write(clientFrame(0x80|wireBinary, [4]byte{}, nil)) })
		}},
		"messages of ours": {true, func(sim *simwire.Sim, _ *fullPeer, c *Conn) {
			talk(sim, 29*time.Second, func() { _ = c.Send(Binary, numberedMessage(1, 4)) })
		}},
		"messages that may be dropped": {true, func(sim *simwire.Sim, _ *fullPeer, c *Conn) {
			talk(sim, 29*time.Second, func() { _ = c.SendWithin(time.Minute, Binary, numberedMessage(1, 4)) })
		}},
	} {
		for _, beats := range []time.Duration{-1, 7 * time.Second} {
			t.Run(name+"/PingInterval="+beats.String(), func(t *testing.T) {
				var conn *Conn
				ep := Endpoint{IdleTimeout: idle, PingInterval: beats, Handler: HandlerFuncs{Open: func(c *Conn) { conn = c }}}
				limitServer(t, ep, func(srv *Server, sim *simwire.Sim, ends map[*Conn]limitEnd) {
					p := newFullPeer(sim, 1<<20, simRequest)
					frame := p.frames.frame
					p.frames.frame = func(first byte, payload []byte) {
						frame(first, payload)
						if first == 0x80|wirePing {
							p.Write(clientFrame(0x80|wirePong, [4]byte{}, payload))
						}
					}
					passSecond(sim)
					c.do(sim, p, conn)
					sim.Run(10 * time.Minute)
					end, ended := ends[conn]
					switch {
					case ended == c.lives:
						t.Errorf("it has ended: %t, %+v", ended, end)
					case ended && (end.at < idle || end.at > idle+limitSlack || !errors.Is(end.info.Err, ErrIdle) ||
						end.info.Code != codec.CloseGoingAway || end.info.Initiator != Local || p.code != codec.CloseGoingAway):
						t.Errorf("it ended with %+v, the peer was told %v", end, p.code)
					}
				})
			})
		}
	}
}

// The time since the last message is what counts, to the tick.
func TestIdleTimeoutIsNotEarly(t *testing.T) {
	const idle, conns = 500 * time.Millisecond, 300
	last := make(map[*Conn]time.Duration)
	var sim *simwire.Sim
	ep := Endpoint{IdleTimeout: idle, Handler: HandlerFuncs{Message: func(c *Conn, _ Op, _ []byte) { last[c] = sim.Now() }}}
	opened := make(map[*Conn]time.Duration)
	h := ep.Handler.(HandlerFuncs)
	h.Open = func(c *Conn) { opened[c] = sim.Now() }
	ep.Handler = h
	limitServer(t, ep, func(_ *Server, s *simwire.Sim, ends map[*Conn]limitEnd) {
		sim = s
		for range conns {
			p := newFullPeer(sim, 1<<20, simRequest)
			sim.After(time.Duration(sim.Rand().Int64N(int64(400*time.Millisecond))), func() {
				p.Write(clientFrame(0x80|wireBinary, [4]byte{}, nil))
			})
		}
		sim.Run(time.Minute)
		if len(ends) != conns {
			t.Errorf("%d have ended", len(ends))
		}
		for c, end := range ends {
			if d := opened[c] + end.at - last[c]; d < idle {
				t.Errorf("closed %v after its last message", d)
			}
		}
	})
}

// A message that comes at the end of a turn that took long is not as old as that turn.
func TestIdleTimeoutAfterAStall(t *testing.T) {
	const conns = 100
	ep := Endpoint{IdleTimeout: 3 * time.Second, Handler: HandlerFuncs{}}
	limitServer(t, ep, func(_ *Server, sim *simwire.Sim, ends map[*Conn]limitEnd) {
		var peers []*fullPeer
		for range conns {
			peers = append(peers, newFullPeer(sim, 1<<20, simRequest))
		}
		say := func() {
			for _, p := range peers {
				p.Write(clientFrame(0x80|wireBinary, [4]byte{}, nil))
			}
		}
		for range 5 {
			say()
			sim.Run(sim.Now() + 100*time.Millisecond)
			say()
			sim.Stall(1900 * time.Millisecond)
			sim.Run(sim.Now() + 2*time.Second)
		}
		if len(ends) > 0 {
			t.Errorf("%d of %d peers that talk every 2 s were closed as idle after 3 s", len(ends), conns)
		}
	})
}

// In virtual time: thousands of connections made at once end over a tenth of MaxAge,
// whatever else has its time with them.
func TestMaxAge(t *testing.T) {
	const conns, age = 3000, 100 * time.Second
	for name, ep := range map[string]Endpoint{
		"alone":               {},
		"with heartbeats":     {PingInterval: 9 * time.Second, PongTimeout: 200 * time.Second},
		"with an idle limit":  {IdleTimeout: 20 * time.Second},
		"with a longer limit": {IdleTimeout: 101 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			ep.MaxAge, ep.Handler = age, HandlerFuncs{}
			limitServer(t, ep, func(srv *Server, sim *simwire.Sim, ends map[*Conn]limitEnd) {
				for range conns {
					p := newFullPeer(sim, 1<<20, simRequest)
					if ep.IdleTimeout == 20*time.Second {
						talk(sim, 15*time.Second, func() { p.Write(clientFrame(0x80|wireBinary, [4]byte{}, nil)) })
					}
				}
				sim.Run(89 * time.Second)
				if len(ends) > 0 {
					t.Fatalf("%d have ended after 89 s", len(ends))
				}
				if l := srv.loops[0]; l.wheel.entries > 3*l.conns.len {
					t.Errorf("%d entries in the wheel for %d connections", l.wheel.entries, l.conns.len)
				}
				sim.Run(3 * time.Minute)
				var tenths [10]int
				for _, end := range ends {
					if end.at < age*9/10 || end.at > age+limitSlack || !errors.Is(end.info.Err, ErrMaxAge) || end.info.Code != codec.CloseGoingAway {
						t.Fatalf("one ended with %+v", end)
					}
					tenths[min(9, (end.at-age*9/10)/time.Second)]++
				}
				// 300 each, give or take 16.
				for _, n := range tenths {
					if n < 200 || n > 400 {
						t.Fatalf("the ends by seconds: %v", tenths)
					}
				}
				if srv.Connections() != 0 {
					t.Errorf("%d connections are left", srv.Connections())
				}
			})
		})
	}
}

func TestMaxAgeOfMonths(t *testing.T) {
	const day = 24 * time.Hour
	for _, age := range []time.Duration{day, 30 * day, maxLimit} {
		ep := Endpoint{MaxAge: age, IdleTimeout: maxLimit, Handler: HandlerFuncs{}}
		limitServer(t, ep, func(_ *Server, sim *simwire.Sim, ends map[*Conn]limitEnd) {
			for range 20 {
				newFullPeer(sim, 1<<20, simRequest)
			}
			passSecond(sim)
			for sim.Now() < age*88/100 {
				sim.Stall(age / 100)
				sim.Run(sim.Now() + 20*time.Second) // more than once around the wheel
			}
			if len(ends) > 0 {
				t.Errorf("%v: %d have ended after %v", age, len(ends), sim.Now())
			}
			for sim.Now() < age+time.Minute {
				sim.Stall(age / 100)
				sim.Run(sim.Now() + 20*time.Second)
			}
			if len(ends) != 20 {
				t.Errorf("%v: %d have ended after %v", age, len(ends), sim.Now())
			}
		})
	}
}

// What Send has accepted before a limit goes before the Close frame.
func TestLimitsKeepWhatWasAccepted(t *testing.T) {
	const conns = 200
	var all []*Conn
	accepted := make(map[*Conn][]int)
	ep := Endpoint{MaxAge: 2 * time.Second, Handler: HandlerFuncs{Open: func(c *Conn) { all = append(all, c) }}}
	limitServer(t, ep, func(_ *Server, sim *simwire.Sim, ends map[*Conn]limitEnd) {
		var peers []*fullPeer
		for range conns {
			peers = append(peers, newFullPeer(sim, 1<<20, simRequest))
		}
		n := 0
		talk(sim, 100*time.Microsecond, func() {
			for range 20 {
				n++
				if c := all[n*7%len(all)]; c.Send(Binary, numberedMessage(n, 4)) == nil {
					accepted[c] = append(accepted[c], n)
				}
			}
		})
		sim.Run(100 * time.Millisecond)
		sim.Run(3 * time.Second)
		byConn := make(map[uint32]bool)
		for _, p := range peers {
			if p.code != codec.CloseGoingAway {
				t.Errorf("closed with %v", p.code)
			}
			for _, n := range p.got {
				byConn[n] = true
			}
		}
		lost := 0
		for _, ns := range accepted {
			for _, n := range ns {
				if !byConn[uint32(n)] {
					lost++
				}
			}
		}
		if len(ends) != conns || lost > 0 {
			t.Errorf("%d have ended; %d messages that were accepted did not come", len(ends), lost)
		}
	})
}

func TestLimitsAreChecked(t *testing.T) {
	for _, ep := range []Endpoint{
		{IdleTimeout: -1}, {MaxAge: -1}, {IdleTimeout: maxLimit + 1}, {MaxAge: maxLimit + 1},
	} {
		ep.Handler = echoHandler
		if _, err := newEndpoint("/x", ep); err == nil {
			t.Errorf("IdleTimeout %v and MaxAge %v are taken", ep.IdleTimeout, ep.MaxAge)
		}
	}
}
