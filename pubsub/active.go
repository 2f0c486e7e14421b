package pubsub

import (
	"container/heap"
	"time"
)

// What a subscription has to go on with, beside new messages: its snapshot, and what
// has waited.

// activate has goOn look at a subscription.
func (s *shard) activate(sub *subscription) {
	if !sub.listed {
		sub.listed = true
		s.active = append(s.active, sub)
	}
}

// canGoOn says whether goOn has something to do in the next turn.
func (s *shard) canGoOn() bool { return len(s.active) > 0 }

const (
	activePerTurn = 128                  // subscriptions that go on in a turn
	activeTime    = 2 * time.Millisecond // and for how long
)

// goOn gives each active subscription, or some of them, a piece of what it has to go on
// with. Those that are not through, and don't wait for their socket, stay active.
func (s *shard) goOn() {
	n := 0
	for most := min(len(s.active), activePerTurn); n < most; n++ {
		if n > 0 && s.hub.now()-s.now > activeTime {
			break
		}
		sub := s.active[n]
		sub.listed = false
		if !sub.live || sub.struck.Load() {
			continue
		}
		more := s.continueSnapshot(sub)
		if s.deliverWaiting(sub) || more {
			s.activate(sub)
		}
	}
	rest := copy(s.active, s.active[n:])
	clear(s.active[rest:])
	s.active = s.active[:rest]
}

// deliverWaiting sends what waits for a subscription, unless it is too soon for that or
// the socket takes no more, and says whether there is more than fits one write.
func (s *shard) deliverWaiting(sub *subscription) (more bool) {
	switch {
	case sub.waiting == nil || sub.waiting.len() == 0 || sub.timed:
		return false
	case sub.owner.conn.Stalled(): // OnWritable comes
		return false
	case sub.midway:
	case sub.due > s.now:
		s.waitUntilDue(sub)
		return false
	default:
		sub.due = s.now + sub.interval
	}
	sub.midway = s.flush(sub)
	return sub.midway
}

// waitUntilDue has a subscription with MaxRate get what waits when that is due.
func (s *shard) waitUntilDue(sub *subscription) {
	if !sub.timed {
		sub.timed = true
		heap.Push(&s.timed, sub)
	}
}

// setTimer has the shard work when the first subscription is due.
func (s *shard) setTimer() {
	if len(s.timed) == 0 {
		return
	}
	d := max(0, s.timed[0].due-s.now)
	if s.timer == nil {
		s.timer = time.AfterFunc(d, s.work.Ask)
	} else {
		s.timer.Reset(d)
	}
}

// flushDue sends to those that are due.
func (s *shard) flushDue() {
	for n := 0; n < activePerTurn && len(s.timed) > 0 && s.timed[0].due <= s.now; n++ {
		sub := heap.Pop(&s.timed).(*subscription)
		sub.timed = false
		if sub.live && !sub.struck.Load() && s.deliverWaiting(sub) {
			s.activate(sub)
		}
	}
	s.setTimer()
}

// dueHeap is subscriptions by due, the first one first. It implements heap.Interface.
type dueHeap []*subscription

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].timedAt, h[j].timedAt = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	sub := x.(*subscription)
	sub.timedAt = len(*h)
	*h = append(*h, sub)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	old := *h
	last := len(old) - 1
	x := old[last]
	old[last] = nil
	*h = old[:last]
	return x
}
