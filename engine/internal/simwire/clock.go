package simwire

import (
	"container/heap"
	"time"
)

// clock is the virtual time and what will happen in it.
type clock struct {
	now     time.Duration
	stalled time.Duration // of now, the part in which nothing could run
	seq     uint64
	events  events
}

// event is something that will happen: on a loop, between two of its turns, or
// outside of all.
type event struct {
	at   time.Duration
	seq  uint64 // keeps the order of events of one moment
	loop *loop
	run  func()
}

// maxBusy is how many events of busy loops next looks behind.
const maxBusy = 8

func (c *clock) plan(e event) {
	c.seq++
	e.seq = c.seq
	heap.Push(&c.events, e)
}

// next takes the first event whose loop is not in a turn, and goes to its time.
func (c *clock) next() (event, bool) {
	var busy [maxBusy]event
	n := 0
	defer func() {
		for _, e := range busy[:n] {
			heap.Push(&c.events, e)
		}
	}()
	for len(c.events) > 0 && n < maxBusy {
		e := heap.Pop(&c.events).(event)
		if e.loop == nil || !e.loop.busy {
			c.now = max(c.now, e.at)
			return e, true
		}
		busy[n] = e
		n++
	}
	return event{}, false
}

func (c *clock) stall(d time.Duration) {
	c.now += d
	c.stalled += d
}

// events is a heap by time.
type events []event

func (h events) Len() int { return len(h) }

func (h events) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h events) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *events) Push(x any) { *h = append(*h, x.(event)) }

// Pop implements heap.Interface.
func (h *events) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = event{}
	*h = (*h)[:last]
	return e
}
