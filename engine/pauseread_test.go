package engine

import (
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/simwire"
)

// frameOf is a client's text frame.
func frameOf(text string) []byte {
	return clientFrame(0x80|wireText, [4]byte{5, 6, 7, 8}, []byte(text))
}

// PauseRead in a callback: not even the messages of the same read are delivered.
func TestPauseReadInACallback(t *testing.T) {
	var conn *Conn
	var heard []string
	h := HandlerFuncs{Open: func(c *Conn) { conn = c }}
	h.Message = func(c *Conn, _ Op, p []byte) {
		heard = append(heard, string(p))
		if strings.HasPrefix(string(p), "pause") {
			c.PauseRead()
			c.PauseRead() // twice is once
		}
	}
	flowServer(t, 2, 0, Config{}, Endpoint{Handler: h}, func(_ *Server, sim *simwire.Sim) {
		p := newFullPeer(sim, 1<<20, simRequest)
		passSecond(sim)
		want := []string{"pause 0"}
		p.Write(slices.Concat(frameOf("pause 0"), frameOf("a"), frameOf("pause 1"), frameOf("b"), frameOf("c")[:5]))
		passSecond(sim)
		for round := range 3 {
			if !slices.Equal(heard, want) {
				t.Fatalf("round %d: heard %q, want %q", round, heard, want)
			}
			conn.ResumeRead()
			conn.ResumeRead()
			switch passSecond(sim); round {
			case 0:
				want = append(want, "a", "pause 1")
				p.Write(slices.Concat(frameOf("c")[5:], frameOf("d")))
			case 1:
				want = append(want, "b", "c", "d")
				conn.PauseRead()
				passSecond(sim)
				p.Write(frameOf("e"))
				passSecond(sim)
			case 2:
				want = append(want, "e")
			}
		}
		if !slices.Equal(heard, want) {
			t.Errorf("heard %q, want %q", heard, want)
		}
	})
}

// PauseRead in OnOpen holds back what came right behind the request.
func TestPauseReadInOnOpen(t *testing.T) {
	var conn *Conn
	var heard []string
	h := HandlerFuncs{Open: func(c *Conn) { conn = c; c.PauseRead() }}
	h.Message = func(_ *Conn, _ Op, p []byte) { heard = append(heard, string(p)) }
	for seed := range uint64(30) { // the request is cut anywhere
		conn, heard = nil, nil
		flowServer(t, seed, 0, Config{}, Endpoint{Handler: h}, func(_ *Server, sim *simwire.Sim) {
			newFullPeer(sim, 1<<20, simRequest+string(frameOf("a"))+string(frameOf("b")))
			passSecond(sim)
			if len(heard) > 0 {
				t.Errorf("heard %q in a pause", heard)
			}
			conn.ResumeRead()
			passSecond(sim)
			if !slices.Equal(heard, []string{"a", "b"}) {
				t.Errorf("heard %q", heard)
			}
		})
	}
}

// A pause of a minute: neither a message that is cut nor a heartbeat ends it.
func TestPauseReadOutlastsEveryTimer(t *testing.T) {
	for name, cut := range map[string]int{"between messages": 0, "in a header": 3, "in a payload": 9} {
		for _, asked := range []bool{false, true} {
			var conn *Conn
			var info CloseInfo
			pings, heard := 0, 0
			cutting, owed := false, []byte(nil) // pongs that wait for the rest of a frame
			h := HandlerFuncs{Open: func(c *Conn) { conn = c }}
			h.Message = func(*Conn, Op, []byte) { heard++ }
			h.Close = func(_ *Conn, i CloseInfo) { info = i }
			ep := Endpoint{Handler: h, PingInterval: 4 * time.Second, PongTimeout: 2 * time.Second}
			flowServer(t, 2, 0, Config{StallTimeout: 3 * time.Second}, ep, func(_ *Server, sim *simwire.Sim) {
				p := newFullPeer(sim, 1<<20, simRequest)
				p.frames.frame = func(first byte, payload []byte) {
					if pings++; first != 0x80|wirePing {
						t.Errorf("%s: a frame %#x %q", name, first, payload)
					}
					if !asked || pings > 1 {
						owed = append(owed, clientFrame(0x80|wirePong, [4]byte{}, payload)...)
					}
					if !cutting {
						p.Write(owed)
						owed = nil
					}
				}
				passSecond(sim)
				for limit := sim.Now() + 10*time.Second; asked && pings == 0 && sim.Now() < limit; {
					sim.Step() // until the heartbeat has asked, and no pong comes before the pause
				}
				whole := frameOf("a message")
				p.Write(whole[:cut])
				cutting = cut > 0
				sim.Run(sim.Now() + 100*time.Millisecond)
				conn.PauseRead()
				sim.Run(sim.Now() + time.Minute)
				if info != (CloseInfo{}) || conn.armed() {
					t.Errorf("%s: it ended in the pause: %+v", name, info)
				}
				conn.ResumeRead()
				sim.Run(sim.Now() + 100*time.Millisecond)
				p.Write(append(whole[cut:len(whole):len(whole)], owed...))
				cutting, owed = false, nil
				passSecond(sim)
				if info != (CloseInfo{}) || heard != 1 {
					t.Errorf("%s: it ended after the pause, with %d messages heard: %+v", name, heard, info)
				}
				p.Write(whole[:4]) // the timers count again
				p.frames.frame = nil
				sim.Run(sim.Now() + 20*time.Second)
				if !errors.Is(info.Err, ErrStalled) {
					t.Errorf("%s: a message that stays unfinished ends with %+v", name, info)
				}
			})
		}
	}
}

// Close, a shutdown and a full queue end a pause; the closing handshake is a whole one.
func TestEndsInAPause(t *testing.T) {
	for name, end := range map[string]func(*Server, *Conn){
		"Close":    func(_ *Server, c *Conn) { _ = c.Close(codec.CloseNormal, "") },
		"shutdown": func(srv *Server, _ *Conn) { srv.beginDrain() },
		"full": func(_ *Server, c *Conn) {
			_ = c.Send(Binary, make([]byte, 100))
			_ = c.Send(Binary, make([]byte, 2000))
		},
	} {
		t.Run(name, func(t *testing.T) {
			var conn *Conn
			var info CloseInfo
			heard := 0
			h := HandlerFuncs{Open: func(c *Conn) { conn = c }}
			h.Message = func(c *Conn, _ Op, _ []byte) { heard++; c.PauseRead() }
			h.Close = func(_ *Conn, i CloseInfo) { info = i }
			flowServer(t, 2, 0, Config{}, Endpoint{Handler: h, MaxQueue: 1000}, func(srv *Server, sim *simwire.Sim) {
				p := newFullPeer(sim, 1<<20, simRequest)
				passSecond(sim)
				p.Write(slices.Concat(frameOf("first"), frameOf("kept"), frameOf("cut")[:4]))
				passSecond(sim)
				p.Write(frameOf("cut")[4:]) // waits in the socket
				p.frames.frame = func(first byte, payload []byte) {
					if first == 0x80|wireClose {
						p.Write(clientFrame(first, [4]byte{}, payload))
					}
				}
				passSecond(sim)
				end(srv, conn)
				passSecond(sim)
				if !info.Clean || info.Initiator != Local || heard != 1 {
					t.Errorf("it ended with %+v, %d messages were heard", info, heard)
				}
			})
		})
	}
}

// The peer's reset is noticed in a pause; its Close frame is found after it.
func TestPeerEndsInAPause(t *testing.T) {
	for name, c := range map[string]struct {
		end   func(p *fullPeer)
		early bool // noticed in the pause
		code  codec.CloseCode
	}{
		"reset": {func(p *fullPeer) { p.Reset() }, true, codec.CloseAbnormal},
		"close": {func(p *fullPeer) { p.Write(clientFrame(0x80|wireClose, [4]byte{}, []byte{3, 232})) }, false, codec.CloseNormal},
		"FIN":   {func(p *fullPeer) { p.CloseWrite() }, false, codec.CloseAbnormal},
	} {
		t.Run(name, func(t *testing.T) {
			var conn *Conn
			var infos []CloseInfo
			heard := 0
			h := HandlerFuncs{Open: func(c *Conn) { conn = c; c.PauseRead() }}
			h.Message = func(*Conn, Op, []byte) { heard++ }
			h.Close = func(_ *Conn, i CloseInfo) { infos = append(infos, i) }
			flowServer(t, 2, 0, Config{}, Endpoint{Handler: h}, func(_ *Server, sim *simwire.Sim) {
				p := newFullPeer(sim, 1<<20, simRequest)
				passSecond(sim)
				p.Write(frameOf("last words"))
				c.end(p)
				passSecond(sim)
				if noticed := len(infos) > 0; noticed != c.early {
					t.Errorf("noticed in the pause: %t", noticed)
				}
				conn.ResumeRead()
				passSecond(sim)
				if len(infos) != 1 || infos[0].Code != c.code || !c.early && heard != 1 {
					t.Errorf("it ended with %+v, %d messages were heard", infos, heard)
				}
			})
		})
	}
}

// Both reasons not to read at once: it takes both to go.
func TestPauseReadAndBackPressure(t *testing.T) {
	const messages = 200
	for _, userFirst := range []bool{true, false} {
		var conn *Conn
		heard := 0
		h := HandlerFuncs{Open: func(c *Conn) { conn = c }}
		h.Message = func(c *Conn, op Op, p []byte) {
			heard++
			if err := c.Reply(op, make([]byte, 1000)); err != nil {
				t.Error(err)
			}
		}
		ep := Endpoint{Handler: h, MaxQueue: 32 << 10, MaxMessage: 1000}
		flowServer(t, 2, 0, Config{StallTimeout: time.Hour}, ep, func(_ *Server, sim *simwire.Sim) {
			got := 0
			p := newFullPeer(sim, 2000, simRequest)
			p.frames.frame = func(byte, []byte) { got++ }
			passSecond(sim)
			p.Halt()
			for range messages {
				p.Write(frameOf("question"))
			}
			passSecond(sim)
			before := heard
			if before == 0 || before == messages {
				t.Fatalf("%d of %d messages were heard by a full queue", before, messages)
			}
			conn.PauseRead()
			passSecond(sim)
			if userFirst {
				conn.ResumeRead()
				passSecond(sim)
				if heard != before {
					t.Error("ResumeRead ends a pause that has another reason")
				}
				p.Resume()
			} else {
				p.Resume()
				passSecond(sim)
				if heard != before || conn.Buffered() > 0 {
					t.Errorf("%d messages were heard in a pause; %d bytes wait", heard-before, conn.Buffered())
				}
				conn.ResumeRead()
			}
			passSecond(sim)
			if heard != messages || got != messages {
				t.Errorf("%d messages were heard, %d answers came", heard, got)
			}
		})
	}
}

// On real sockets, with the pauses from another goroutine: everything is delivered,
// once, in order, and nothing while a pause lasts.
func TestPauseReadFromAnotherGoroutine(t *testing.T) {
	const messages = 20_000
	var mu sync.Mutex
	paused, heard := false, 0
	opened, done := make(chan *Conn, 1), make(chan struct{})
	h := HandlerFuncs{Open: func(c *Conn) { opened <- c }}
	h.Message = func(_ *Conn, _ Op, p []byte) {
		mu.Lock()
		defer mu.Unlock()
		if paused {
			t.Error("a message in a pause")
		}
		if err := checkNumbered(p); err != nil || string(p[:4]) != string(numberedMessage(heard, 4)[:4]) {
			t.Errorf("message %d: %v", heard, err)
		}
		if heard++; heard == messages {
			close(done)
		}
	}
	srv := startServer(t, Config{Loops: 1, ReadBuffer: 4 << 10}, func(s *Server) { s.Handle("/x", Endpoint{Handler: h}) })
	c := connect(t, srv, "/x")
	conn := next(t, opened)
	go func() {
		for n := range messages {
			if c.send(codec.OpBinary, numberedMessage(n, 4+n%300)) != nil {
				return
			}
		}
	}()
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond):
		}
		conn.PauseRead()
		loopCounts(srv) // the loop has taken it in
		mu.Lock()
		paused = true
		mu.Unlock()
		time.Sleep(time.Millisecond)
		mu.Lock()
		paused = false
		mu.Unlock()
		conn.ResumeRead()
		if heard := func() int { mu.Lock(); defer mu.Unlock(); return heard }(); heard > messages {
			t.Fatal("more came than was sent")
		}
	}
}

// The kernel's reset reaches a connection that is not read.
func TestResetInAPauseOnARealSocket(t *testing.T) {
	r := newRecorder()
	r.Open = func(c *Conn) {
		c.PauseRead()
		r.opened <- c
	}
	srv := startServer(t, Config{}, func(s *Server) { s.Handle("/x", Endpoint{Handler: r}) })
	c := connect(t, srv, "/x")
	next(t, r.opened)
	_ = c.send(codec.OpText, []byte("unheard"))
	if err := c.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = c.Conn.Close()
	info := next(t, r.closed)
	if info.Code != codec.CloseAbnormal || !errors.Is(info.Err, syscall.ECONNRESET) {
		t.Errorf("it ended with %+v", info)
	}
}

// The write that decides on a pause may find the connection broken: then what follows
// in the same read, a Close frame too, counts no more.
func TestBreakInTheMiddleOfARead(t *testing.T) {
	var infos []CloseInfo
	var at time.Duration
	h := HandlerFuncs{Message: func(c *Conn, op Op, p []byte) { _ = c.Reply(op, p) }}
	ep := Endpoint{Handler: h, MaxQueue: 64 << 10, MaxMessage: 40 << 10}
	for seed := range uint64(20) {
		infos = nil
		flowServer(t, seed, 0, Config{}, ep, func(srv *Server, sim *simwire.Sim) {
			h.Close = func(_ *Conn, i CloseInfo) { infos, at = append(infos, i), sim.Now() }
			srv.endpoints["/a"].Handler = h
			var f serverFrames
			profile := f.profile(1 << 20)
			profile.WriteError, profile.ErrorAfter = syscall.EPIPE, 100
			p := sim.Dial(profile)
			p.Write([]byte(simRequest))
			passSecond(sim)
			begun := sim.Now()
			big := clientFrame(0x80|wireBinary, [4]byte{}, make([]byte, 40<<10))
			p.Write(slices.Concat(big, clientFrame(0x80|wireClose, [4]byte{}, []byte{3, 232})))
			sim.Run(sim.Now() + time.Minute)
			if len(infos) != 1 || infos[0].Clean || infos[0].Code != codec.CloseAbnormal || at > begun+time.Second {
				t.Errorf("seed %d: it ended after %v with %+v", seed, at-begun, infos)
			}
		})
	}
}
