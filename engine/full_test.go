package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/bytebufferpool"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/simwire"
)

// DropNewest: what was accepted arrives, in order; the rest was refused, and counted.
func TestDropNewest(t *testing.T) {
	for way := range sendWays {
		t.Run(way, func(t *testing.T) {
			var conn *Conn
			h := HandlerFuncs{Open: func(c *Conn) { conn = c }}
			ep := Endpoint{Handler: h, MaxQueue: 20 << 10, WhenFull: DropNewest}
			flowServer(t, 3, 0, Config{StallTimeout: time.Hour}, ep, func(srv *Server, sim *simwire.Sim) {
				p := newFullPeer(sim, 4<<10, simRequest)
				passSecond(sim)
				p.Halt()
				var accepted []int
				refused, n := 0, 0
				for range 30 {
					simSend(conn, way, func(send func(Op, []byte) error) {
						for range 10 {
							switch err := send(Binary, numberedMessage(n, 1000)); {
							case err == nil:
								accepted = append(accepted, n)
							case errors.Is(err, ErrDropped):
								refused++
							default:
								t.Errorf("a full queue gives %v", err)
							}
							n++
						}
						if b := conn.Buffered(); b > 20<<10 {
							t.Errorf("%d bytes wait", b)
						}
					})
					passSecond(sim)
				}
				if refused == 0 {
					t.Error("nothing was refused")
				}
				if d := conn.Dropped(); d != refused || srv.drops.newest.Load() != uint64(refused) {
					t.Errorf("%d messages were refused; the connection counts %d, the server %d", refused, d, srv.drops.newest.Load())
				}
				p.Resume()
				passSecond(sim)
				simSend(conn, way, func(send func(Op, []byte) error) {
					if err := send(Binary, numberedMessage(n, 10)); err != nil {
						t.Errorf("when there is room again: %v", err)
					}
					accepted = append(accepted, n)
				})
				passSecond(sim)
				if !equalNumbers(p.got, accepted) || len(p.mistakes) > 0 {
					t.Errorf("accepted %d, came %d: %v; %v", len(accepted), len(p.got), p.got, p.mistakes)
				}
			})
		})
	}
}

// DropOldest: who reads again gets what had begun to leave, and then the newest.
func TestDropOldest(t *testing.T) {
	for name, c := range map[string]struct {
		maxQueue, size, sendBuffer int
		batch                      int // how many are sent at once
		least                      int // of the newest, how many must come
		request                    string
		compression                *Compression
	}{
		"a long queue":              {256 << 10, 1000, 4 << 10, 10, 180, simRequest, nil},
		"a short queue":             {16 << 10, 1000, 4 << 10, 10, 8, simRequest, nil},
		"a short queue in bursts":   {16 << 10, 1000, 4 << 10, 40, 8, simRequest, nil},
		"a short queue, tiny ones":  {8 << 10, 20, 1 << 10, 10, 60, simRequest, nil},
		"messages as long as it":    {16 << 10, 15 << 10, 4 << 10, 10, 1, simRequest, nil},
		"a queue for half a one":    {4 << 10, 8 << 10, 1 << 10, 10, 0, simRequest, nil},
		"compressed":                {64 << 10, 1000, 4 << 10, 10, 30, simDeflateRequest, &Compression{}},
		"compressed, full takeover": {64 << 10, 1000, 4 << 10, 10, 30, simDeflateRequest, &Compression{History: FullHistory}},
	} {
		for way := range sendWays {
			t.Run(name+"/"+way, func(t *testing.T) {
				const messages = 3000
				batch := c.batch
				if way == "Send" { // else senders are far ahead of the loop
					batch = max(1, min(batch, c.maxQueue/c.size/2))
				}
				var conn *Conn
				h := HandlerFuncs{Open: func(c *Conn) { conn = c }}
				ep := Endpoint{Handler: h, MaxQueue: c.maxQueue, WhenFull: DropOldest, Compression: c.compression}
				flowServer(t, 3, 0, Config{StallTimeout: time.Hour}, ep, func(srv *Server, sim *simwire.Sim) {
					p := newFullPeer(sim, c.sendBuffer, c.request)
					decode := plainMessages(t, p, c.compression != nil)
					passSecond(sim)
					p.Halt()
					for n := 0; n < messages; n += batch {
						simSend(conn, way, func(send func(Op, []byte) error) {
							for i := range batch {
								if err := send(Binary, numberedMessage(n+i, c.size)); err != nil && !errors.Is(err, ErrDropped) {
									t.Errorf("message %d: %v", n+i, err)
								}
								if b := conn.Buffered(); b > 2*c.maxQueue+c.size+codec.MaxHeaderSize {
									t.Errorf("%d bytes wait, the limit is twice %d", b, c.maxQueue)
								}
							}
						})
						sim.Run(sim.Now() + 20*time.Millisecond)
					}
					dropped := conn.Dropped()
					p.Resume()
					passSecond(sim)
					got := decode()
					if len(p.mistakes) > 0 {
						t.Fatal(p.mistakes)
					}
					if len(got)+dropped != messages || conn.Dropped() != dropped || conn.Buffered() != 0 {
						t.Errorf("%d came, %d were dropped, of %d; %d bytes wait", len(got), conn.Dropped(), messages, conn.Buffered())
					}
					if sum := srv.drops.newest.Load() + srv.drops.oldest.Load(); sum != uint64(dropped) {
						t.Errorf("the server counts %d, the connection %d", sum, dropped)
					}
					gaps, tail := 0, 1
					for i := 1; i < len(got); i++ {
						switch step := int(got[i]) - int(got[i-1]); {
						case step <= 0:
							t.Fatalf("message %d behind %d", got[i], got[i-1])
						case step > 1:
							gaps++
							tail = 1
						default:
							tail++
						}
					}
					if c.least == 0 {
						return
					}
					if gaps != 1 || int(got[len(got)-1]) != messages-1 || tail < c.least {
						t.Errorf("%d gaps, the last is %d, the newest are %d, want %d: %v", gaps, got[len(got)-1], tail, c.least, got)
					}
					if srv.drops.newest.Load() != 0 {
						t.Errorf("%d of the newest were dropped", srv.drops.newest.Load())
					}
				})
			})
		}
	}
}

// plainMessages has p's messages decompressed, if they are compressed, before they
// are looked at. It gives their numbers.
func plainMessages(t *testing.T, p *fullPeer, compressed bool) (numbers func() []uint32) {
	if compressed {
		z := newInflateClient()
		p.frames.frame = func(first byte, payload []byte) {
			if first&0x40 != 0 {
				plain, err := z.inflate(payload)
				if err != nil {
					t.Errorf("message behind %d: %v", len(p.got), err)
				}
				payload = plain
			}
			p.frame(first&^0x40, payload)
		}
	}
	return func() []uint32 { return p.got }
}

// DropOldest under senders on several goroutines and a peer that stops and goes on.
func TestDropOldestUnderSendersOnGoroutines(t *testing.T) {
	const senders, each, size, maxQueue = 4, 20000, 500, 64 << 10
	opened := make(chan *Conn, 1)
	h := HandlerFuncs{Open: func(c *Conn) { opened <- c }}
	for name, compression := range map[string]*Compression{"plain": nil, "compressed": {}, "full takeover": {History: FullHistory}} {
		t.Run(name, func(t *testing.T) {
			srv := startServer(t, Config{}, func(s *Server) {
				s.Handle("/x", Endpoint{Handler: h, MaxQueue: maxQueue, WhenFull: DropOldest, Compression: compression})
			})
			c, _ := dialDeflate(t, srv, "/x", "permessage-deflate")
			if err := c.Conn.(interface{ SetReadBuffer(int) error }).SetReadBuffer(64 << 10); err != nil {
				t.Fatal(err)
			}
			conn := next(t, opened)
			var most, refused atomic.Int64
			var wg sync.WaitGroup
			for who := range senders {
				wg.Go(func() {
					p := numberedMessage(0, size)
					for i := range each {
						copy(p, numberedMessage(who<<24|i, size))
						if err := conn.Send(Binary, p); errors.Is(err, ErrDropped) {
							refused.Add(1)
						} else if err != nil {
							t.Errorf("sender %d, message %d: %v", who, i, err)
							return
						}
						most.Store(max(most.Load(), int64(conn.Buffered())))
						if i%100 == 0 {
							runtime.Gosched()
						}
					}
				})
			}
			sent := make(chan struct{})
			go func() {
				wg.Wait()
				_ = conn.Close(codec.CloseNormal, "all sent")
				close(sent)
			}()
			z := newInflateClient()
			got := 0
			last := map[uint32]int{}
			for {
				first, p, err := c.recvFirst()
				if err != nil {
					t.Fatal(err)
				}
				if codec.Opcode(first&0xF) == codec.OpClose {
					break
				}
				if first&0x40 != 0 {
					if p, err = z.inflate(p); err != nil {
						t.Fatalf("message %d: %v", got, err)
					}
				}
				if err := checkNumbered(p); err != nil {
					t.Fatal(err)
				}
				n := binary.BigEndian.Uint32(p)
				if had, ok := last[n>>24]; ok && had >= int(n&0xFFFFFF) {
					t.Fatalf("sender %d: %d behind %d", n>>24, n&0xFFFFFF, had)
				}
				last[n>>24] = int(n & 0xFFFFFF)
				if got++; got%200 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			<-sent
			if got+conn.Dropped() != senders*each {
				t.Errorf("%d came and %d were dropped of %d", got, conn.Dropped(), senders*each)
			}
			if int64(conn.Dropped()) < refused.Load() || conn.Dropped() == 0 {
				t.Errorf("%d were dropped, %d of them refused", conn.Dropped(), refused.Load())
			}
			if m := most.Load(); m > 2*maxQueue+size+codec.MaxHeaderSize {
				t.Errorf("%d bytes were waiting", m)
			}
			t.Logf("%d came, %d were dropped, %d refused", got, conn.Dropped(), refused.Load())
		})
	}
}

// Whatever the policy, pongs and the Close frame come, and the latter is the last.
func TestControlFramesAreNotDropped(t *testing.T) {
	for _, policy := range []FullPolicy{DropNewest, DropOldest, AskHandler} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			const maxQueue = 16 << 10
			var conn *Conn
			h := &flowHandler{full: func(*Conn) FullPolicy { return DropOldest }}
			h.Open = func(c *Conn) { conn = c }
			ep := Endpoint{Handler: h, MaxQueue: maxQueue, HighWater: maxQueue, LowWater: 1, WhenFull: policy}
			flowServer(t, 5, 0, Config{StallTimeout: time.Hour, CloseTimeout: time.Hour}, ep, func(_ *Server, sim *simwire.Sim) {
				p := newFullPeer(sim, 4<<10, simRequest)
				passSecond(sim)
				p.Halt()
				sent := 0
				fill := func() {
					for range 200 {
						_ = conn.Send(Binary, numberedMessage(sent, 100))
						sent++
						sim.Run(sim.Now() + 10*time.Millisecond)
					}
				}
				fill()
				const pings = 20
				for range pings {
					p.Write(clientFrame(0x80|wirePing, [4]byte{}, make([]byte, 120)))
					passSecond(sim)
					fill()
				}
				p.Resume()
				passSecond(sim)
				if pongs := strings.Count(fmt.Sprint(p.others), codec.OpPong.String()); pongs != pings {
					t.Errorf("%d pongs to %d pings", pongs, pings)
				}
				p.Halt()
				fill()
				if err := conn.Close(codec.CloseNormal, "enough"); err != nil {
					t.Error(err)
				}
				passSecond(sim)
				p.Resume()
				passSecond(sim)
				if p.code != codec.CloseNormal || p.behind > 0 || len(p.mistakes) > 0 {
					t.Errorf("closed with %v, %d frames behind that, %v", p.code, p.behind, p.mistakes)
				}
				if len(p.got)+conn.Dropped() != sent || conn.Dropped() == 0 {
					t.Errorf("%d messages came, %d were dropped, of %d", len(p.got), conn.Dropped(), sent)
				}
			})
		})
	}
}

// backlogOverhead is how much heap a small message may take that waits and may be
// dropped, in bytes.
const backlogOverhead = 200

// A queue of small messages must not hold the large buffers that others have left
// in the pool.
func TestSmallMessagesInABacklogHoldLittle(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector changes the size of everything")
	}
	opened := make(chan *Conn, 100)
	h := HandlerFuncs{Open: func(c *Conn) { opened <- c }}
	srv := startServer(t, Config{Loops: 1}, func(s *Server) {
		s.poison = false // as in a server, buffers come from a pool of the process
		s.Handle("/x", Endpoint{Handler: h, MaxQueue: 1 << 20, WhenFull: DropOldest})
	})
	for range 50_000 { // the pool learns that frames have 16 KB
		b := bytebufferpool.Get()
		b.B = append(b.B, make([]byte, 16<<10)...)
		bytebufferpool.Put(b)
	}
	slow := connect(t, srv, "/x")
	conn := next(t, opened)
	for conn.Buffered() == 0 || conn.Dropped() == 0 { // the kernel's buffers, then a queue
		_ = conn.Send(Binary, make([]byte, 60<<10))
	}
	before := heapInUse()
	sent := 0
	for range 20 {
		for range 1000 {
			_ = conn.Send(Binary, make([]byte, 16))
			sent++
		}
		loopCounts(srv)
	}
	held := heapInUse() - before
	t.Logf("%d messages of 16 bytes hold %d bytes", sent, held)
	if held > int64(sent*backlogOverhead) {
		t.Errorf("%d messages of 16 bytes hold %d bytes, %d each", sent, held, held/int64(sent))
	}
	runtime.KeepAlive(slow)
}

// A queue of many messages is not kept for the next connection.
func TestFreeOutboxesAreSmall(t *testing.T) {
	var conn *Conn
	h := HandlerFuncs{Open: func(c *Conn) { conn = c }}
	ep := Endpoint{Handler: h, MaxQueue: 1 << 20, WhenFull: DropOldest}
	flowServer(t, 1, 0, Config{StallTimeout: time.Hour}, ep, func(srv *Server, sim *simwire.Sim) {
		p := newFullPeer(sim, 1<<10, simRequest)
		passSecond(sim)
		p.Halt()
		for range 100_000 {
			_ = conn.Send(Binary, numberedMessage(0, 4))
		}
		passSecond(sim)
		p.Resume()
		passSecond(sim)
		for _, o := range srv.loops[0].outboxes {
			if n := cap(o.backlog.messages); n > 4096 {
				t.Errorf("a free outbox keeps room for %d messages", n)
			}
		}
	})
}

// What the kernel holds before a socket is full is bounded by MaxUnsent, when the peer
// has no room left.
func TestMaxUnsent(t *testing.T) {
	held := func(limit int) int {
		opened := make(chan *Conn, 1)
		srv := startServer(t, Config{Loops: 1, ShutdownTimeout: 100 * time.Millisecond}, func(s *Server) {
			s.Handle("/", Endpoint{MaxUnsent: limit, MaxQueue: 64 << 20, Handler: HandlerFuncs{Open: func(c *Conn) { opened <- c }}})
		})
		connect(t, srv, "/")
		c := <-opened
		sent := 0
		p := make([]byte, 4<<10)
		for stalled := false; !stalled; {
			if err := c.Send(Binary, p); err != nil {
				t.Fatal(err)
			}
			sent += len(p)
			onLoop(c.Loop(), func() {})
			onLoop(c.Loop(), func() { stalled = c.Stalled() })
		}
		return sent - c.Buffered()
	}
	usual, little := held(0), held(16<<10)
	t.Logf("the kernels of both ends took %d bytes, with a limit %d", usual, little)
	if little > usual/2 {
		t.Errorf("with MaxUnsent the kernels of both ends took %d bytes, without %d", little, usual)
	}
}
