package pubsub

import (
	"slices"
	"time"
)

// waiting holds the messages that a subscription cannot get yet.
type waiting interface {
	// add takes a message in, and says how many were given up for it.
	add(e *event) (dropped int)
	// next takes the first one out that is still worth sending, and says how many older
	// ones of its key it stands for, and how many were too old. nil: there is none.
	next(now time.Duration) (e *event, skipped, late int)
	len() int
	// forget takes out those for which gone holds.
	forget(gone func(e *event) bool)
	// oldest is when the first one was published.
	oldest() time.Duration
}

// newest is waiting for Latest: the newest message of each topic and key, in the order
// in which they were published.
type newest struct {
	slots []slot // those without an event are holes
	first int    // no event before it
	at    map[slotKey]int
	most  int // keys; 0: topics see to that
}

type slot struct {
	*event
	skipped int
}

type slotKey struct {
	topic *topic
	key   string
}

func (n *newest) len() int { return len(n.at) }

func (n *newest) add(e *event) (dropped int) {
	if n.at == nil {
		n.at = make(map[slotKey]int)
	}
	key, skipped := slotKey{e.topic, e.key}, 0
	if at, ok := n.at[key]; ok {
		skipped = n.slots[at].skipped + 1
		n.slots[at] = slot{}
	} else if n.most > 0 && len(n.at) >= n.most {
		_, skippedToo, _ := n.next(0)
		dropped = 1 + skippedToo
	}
	if len(n.slots) > 2*len(n.at)+16 {
		n.close()
	}
	n.at[key] = len(n.slots)
	n.slots = append(n.slots, slot{e, skipped})
	return dropped
}

func (n *newest) forget(gone func(e *event) bool) {
	for i, s := range n.slots {
		if s.event != nil && gone(s.event) {
			delete(n.at, slotKey{s.topic, s.key})
			n.slots[i] = slot{}
		}
	}
}

// close moves the slots together.
func (n *newest) close() {
	kept := n.slots[:0]
	for _, s := range n.slots {
		if s.event != nil {
			n.at[slotKey{s.topic, s.key}] = len(kept)
			kept = append(kept, s)
		}
	}
	clear(n.slots[len(kept):])
	n.slots, n.first = kept, 0
}

// skipHoles sets first.
func (n *newest) skipHoles() {
	for n.first < len(n.slots) && n.slots[n.first].event == nil {
		n.first++
	}
}

func (n *newest) next(time.Duration) (e *event, skipped, late int) {
	n.skipHoles()
	if n.first == len(n.slots) {
		return nil, 0, 0
	}
	s := n.slots[n.first]
	n.slots[n.first] = slot{}
	n.first++
	if delete(n.at, slotKey{s.topic, s.key}); len(n.at) == 0 {
		*n = newest{slots: n.slots[:0], at: n.at, most: n.most}
	}
	return s.event, s.skipped, 0
}

func (n *newest) oldest() time.Duration {
	if n.skipHoles(); n.first == len(n.slots) {
		return 0
	}
	return n.slots[n.first].event.at
}

// inOrder is waiting for Deadline: all messages, until they are too old.
type inOrder struct {
	events []*event
	first  int
	most   int // messages
	maxAge time.Duration
}

func (w *inOrder) len() int { return len(w.events) - w.first }

func (w *inOrder) add(e *event) (dropped int) {
	if w.len() >= w.most {
		w.take()
		dropped = 1
	}
	if w.first > 64 && w.first > len(w.events)/2 { // a list that never empties must not grow
		rest := copy(w.events, w.events[w.first:])
		clear(w.events[rest:])
		w.events, w.first = w.events[:rest], 0
	}
	w.events = append(w.events, e)
	return dropped
}

func (w *inOrder) forget(gone func(e *event) bool) {
	w.events, w.first = slices.DeleteFunc(w.events[w.first:], gone), 0
}

func (w *inOrder) take() *event {
	e := w.events[w.first]
	w.events[w.first] = nil
	if w.first++; w.first == len(w.events) {
		w.events, w.first = w.events[:0], 0
	}
	return e
}

func (w *inOrder) next(now time.Duration) (e *event, skipped, late int) {
	for ; w.len() > 0; late++ {
		if e = w.take(); now-e.at <= w.maxAge {
			return e, 0, late
		}
	}
	return nil, 0, late
}

func (w *inOrder) oldest() time.Duration {
	if w.len() == 0 {
		return 0
	}
	return w.events[w.first].at
}
