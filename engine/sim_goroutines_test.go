package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/simwire"
)

// busyConn is a connection that real goroutines send to.
type busyConn struct {
	conn     *Conn
	ended    CloseInfo
	got      [busySenders]int          // frames that the peer has read, by sender
	accepted [busySenders]atomic.Int64 // frames that Send has taken, by sender
	closer   atomic.Bool               // a sender has called Close
}

const busySenders = 4

// read checks that the frames of each sender come in order, none missing.
func (b *busyConn) read(op byte, p []byte) error {
	var sender, number int
	if op == wireClose {
		return nil
	}
	if _, err := fmt.Sscanf(string(p), "%d:%d", &sender, &number); err != nil {
		return err
	}
	if number != b.got[sender] {
		return fmt.Errorf("frame %d of sender %d came where %d was due", number, sender, b.got[sender])
	}
	b.got[sender]++
	return nil
}

// TestSimGoroutines has goroutines send, ping and close while the simulation
// runs: what the race detector cannot see in TestSimLives.
func TestSimGoroutines(t *testing.T) {
	const conns, sends = 40, 3000
	var mu sync.Mutex
	var all []*busyConn
	h := HandlerFuncs{
		Open: func(c *Conn) {
			mu.Lock()
			defer mu.Unlock()
			b := &busyConn{conn: c}
			c.SetUser(b)
			all = append(all, b)
		},
		Close: func(c *Conn, info CloseInfo) { c.User().(*busyConn).ended = info },
	}
	send := func(who int, rng *rand.Rand) {
		for range sends {
			mu.Lock()
			b := all[rng.IntN(len(all))]
			mu.Unlock()
			p := fmt.Appendf(nil, "%d:%d:", who, b.accepted[who].Load())
			var err error
			switch n := rng.IntN(200); {
			case n == 0:
				b.closer.Store(true)
				_ = b.conn.Close(codec.CloseNormal, "enough")
				continue
			case n < 20:
				err = b.conn.Ping(p)
			default:
				err = b.conn.Send(Text, append(p, make([]byte, rng.IntN(3000))...))
			}
			switch {
			case err == nil:
				b.accepted[who].Add(1)
			case errors.Is(err, ErrSlowPeer):
				b.closer.Store(true)
			case !errors.Is(err, ErrClosed):
				t.Error(err)
			}
			if b.conn.Buffered() < 0 {
				t.Error("less than nothing waits")
			}
		}
	}
	cfg := Config{CloseTimeout: time.Hour} // nobody's time is known while goroutines run
	simServer(t, 1, cfg, Endpoint{Handler: h, MaxQueue: 256 << 10}, func(srv *Server, sim *simwire.Sim) {
		for i := range conns {
			dialBusy(t, sim, i, &mu, &all)
			sim.Run(sim.Now() + time.Second) // so that all[i] is the i-th
		}
		var senders sync.WaitGroup
		var running atomic.Int32
		for who := range busySenders {
			running.Add(1)
			senders.Go(func() {
				defer running.Add(-1)
				send(who, rand.New(rand.NewPCG(uint64(who), 7)))
			})
		}
		for running.Load() > 0 {
			if !sim.Step() {
				runtime.Gosched()
			}
		}
		senders.Wait()
		srv.beginDrain()
		sim.Run(sim.Now() + 2*time.Hour)
		if n := srv.Connections(); n != 0 {
			t.Errorf("%d connections are open after the shutdown", n)
		}
	})
	for i, b := range all {
		for who := range busySenders {
			if accepted := int(b.accepted[who].Load()); b.got[who] != accepted && !b.closer.Load() {
				t.Errorf("connection %d: %d frames of sender %d were accepted, %d came: %+v", i, accepted, who, b.got[who], b.ended)
			}
		}
		if n := b.conn.Buffered(); n != 0 {
			t.Errorf("connection %d: %d bytes wait after the end", i, n)
		}
	}
}

// dialBusy makes the peer of all[i]: it reads, and closes when the server does.
func dialBusy(t *testing.T, sim *simwire.Sim, i int, mu *sync.Mutex, all *[]*busyConn) {
	var peer *simwire.Peer
	reader := &wireReader{}
	reader.frame = func(op byte, p []byte) error {
		mu.Lock()
		b := (*all)[i]
		mu.Unlock()
		return b.read(op, p)
	}
	peer = sim.Dial(simwire.Profile{
		SendBuffer: 20 << 10,
		PeerLag:    100 * time.Microsecond,
		Data: func(p []byte) {
			if err := reader.feed(p); err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
		},
		End: func(error) { peer.Close() },
	})
	peer.Write([]byte(simRequest))
}
