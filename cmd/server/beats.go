package main

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/engine"
)

// beats tells the connections of the feed now and then that they are alive: a browser
// does not show a page the pings of the engine. One goroutine does it for all. The
// connections are dealt out to as many slots as turns make up the interval, so that
// no turn is a burst.
type beats struct {
	every time.Duration // 0: never
	dealt atomic.Uint32
	slots [beatSlots]beatSlot
}

const beatSlots = 64

type beatSlot struct {
	mu    sync.Mutex
	conns map[*engine.Conn]struct{}
}

func newBeats(every time.Duration) *beats {
	b := &beats{every: every}
	for i := range b.slots {
		b.slots[i].conns = make(map[*engine.Conn]struct{})
	}
	return b
}

// join adds a connection, in its OnOpen. Its user state is its slot.
func (b *beats) join(c *engine.Conn) {
	if b.every <= 0 {
		return
	}
	slot := &b.slots[b.dealt.Add(1)%beatSlots]
	c.SetUser(slot)
	slot.mu.Lock()
	defer slot.mu.Unlock()
	slot.conns[c] = struct{}{}
}

// leave takes it out, in its OnClose.
func (b *beats) leave(c *engine.Conn) {
	if slot, ok := c.User().(*beatSlot); ok {
		slot.mu.Lock()
		defer slot.mu.Unlock()
		delete(slot.conns, c)
	}
}

// run sends heartbeats until ctx ends.
func (b *beats) run(ctx context.Context) {
	turns := time.NewTicker(max(time.Millisecond, b.every/beatSlots))
	defer turns.Stop()
	var message []byte
	var conns []*engine.Conn
	for i := 0; ; i = (i + 1) % beatSlots {
		select {
		case <-ctx.Done():
			return
		case now := <-turns.C:
			message = appendHeartbeat(message[:0], now)
		}
		conns = b.slots[i].appendConns(conns[:0])
		for _, c := range conns {
			if c.Buffered() == 0 { // else what waits for the peer says the same
				_ = c.Send(engine.Text, message) // after an error OnClose follows
			}
		}
		clear(conns)
	}
}

// appendConns copies the slot, so that nobody waits for it while messages go out.
func (s *beatSlot) appendConns(dst []*engine.Conn) []*engine.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		dst = append(dst, c)
	}
	return dst
}

func appendHeartbeat(dst []byte, now time.Time) []byte {
	return append(strconv.AppendInt(append(dst, `{"type":"heartbeat","time":`...), now.UnixMilli(), 10), '}')
}
