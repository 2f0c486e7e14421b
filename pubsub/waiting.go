package pubsub

import (
	"slices"
	"time"
)

// waiting holds the messages that a subscription cannot get yet.
type waiting interface {
	// add takes a message in, and says how many were given up for it, and how many
	// because they are too old.
	add(e *event, now time.Duration) (dropped, late int)
	// next takes the first one out that is still worth sending, unless it takes more
	// than so many bytes, and says how many older ones of its key it stands for, and how
	// many were too old. nil: there is none.
	next(now time.Duration, most int) (e *event, skipped, late int)
	// forget takes out those for which gone holds.
	forget(gone func(e *event) bool)
	// each calls f with all of them, and with the Seq of the first that each stands for.
	each(f func(e *event, from uint64))
	len() int
	// oldest is when the first one was published.
	oldest() time.Duration
}

// newest is waiting for Latest: the newest message of each topic and key, in the order
// in which they were published. A key that is made and deleted meanwhile leaves nothing,
// so there are no more than the topics have, and those that the subscriber has seen.
type newest struct {
	slots []slot // those without an event are holes
	first int    // no event before it
	at    map[slotKey]int
	most  int // keys; 0: topics see to that
}

type slot struct {
	*event
	skipped int
	from    uint64 // Seq of the first that it stands for
	unseen  bool   // the subscriber does not know the key
}

type slotKey struct {
	topic *topic
	key   string
}

func (n *newest) len() int { return len(n.at) }

// empty makes a hole, and gives what was there.
func (n *newest) empty(at int) slot {
	s := n.slots[at]
	n.slots[at] = slot{}
	return s
}

func (n *newest) add(e *event, _ time.Duration) (dropped, late int) {
	if n.at == nil {
		n.at = make(map[slotKey]int)
	}
	key, next := slotKey{e.topic, e.key}, slot{event: e, from: e.seq, unseen: e.fresh}
	if at, ok := n.at[key]; ok {
		old := n.empty(at)
		next.skipped, next.from, next.unseen = old.skipped+1, old.from, old.unseen
		if e.deleted && old.unseen {
			delete(n.at, key)
			return 0, 0
		}
	} else if n.most > 0 && len(n.at) >= n.most {
		_, skippedToo, _ := n.next(0, noLimit)
		dropped = 1 + skippedToo
	}
	if len(n.slots) > 2*len(n.at)+16 {
		n.close()
	}
	n.at[key] = len(n.slots)
	n.slots = append(n.slots, next)
	return dropped, 0
}

func (n *newest) forget(gone func(e *event) bool) {
	for i, s := range n.slots {
		if s.event != nil && gone(s.event) {
			delete(n.at, slotKey{s.topic, s.key})
			n.empty(i)
		}
	}
}

func (n *newest) each(f func(e *event, from uint64)) {
	for _, s := range n.slots {
		if s.event != nil {
			f(s.event, s.from)
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

func (n *newest) next(_ time.Duration, most int) (e *event, skipped, late int) {
	n.skipHoles()
	if n.first == len(n.slots) || n.slots[n.first].message.Size() > most {
		return nil, 0, 0
	}
	s := n.empty(n.first)
	n.first++
	if delete(n.at, slotKey{s.topic, s.key}); len(n.at) == 0 {
		*n = newest{slots: n.slots[:0], at: n.at, most: n.most}
	}
	return s.event, s.skipped, 0
}

// events gives all of them.
func (n *newest) events() (all []*event) {
	n.each(func(e *event, _ uint64) { all = append(all, e) })
	return all
}

func (n *newest) oldest() time.Duration {
	if n.skipHoles(); n.first == len(n.slots) {
		return 0
	}
	return n.slots[n.first].event.at
}

// inOrder is waiting for Deadline: all messages, until they are too old.
type inOrder struct {
	events    []*event
	first     int
	bytes     int
	most      int // messages
	mostBytes int
	maxAge    time.Duration
}

func (w *inOrder) len() int { return len(w.events) - w.first }

func (w *inOrder) add(e *event, now time.Duration) (dropped, late int) {
	late = w.dropLate(now)
	for w.len() > 0 && (w.len() >= w.most || w.bytes+e.size() > w.mostBytes) {
		w.take()
		dropped++
	}
	if w.first > 64 && w.first > len(w.events)/2 { // a list that never empties must not grow
		rest := copy(w.events, w.events[w.first:])
		clear(w.events[rest:])
		w.events, w.first = w.events[:rest], 0
	}
	w.events = append(w.events, e)
	w.bytes += e.size()
	return dropped, late
}

func (w *inOrder) dropLate(now time.Duration) (late int) {
	for ; w.len() > 0 && now-w.events[w.first].at > w.maxAge; late++ {
		w.take()
	}
	return late
}

func (w *inOrder) forget(gone func(e *event) bool) {
	w.events, w.first = slices.DeleteFunc(w.events[w.first:], gone), 0
	w.bytes = 0
	for _, e := range w.events {
		w.bytes += e.size()
	}
}

func (w *inOrder) each(f func(e *event, from uint64)) {
	for _, e := range w.events[w.first:] {
		f(e, e.seq)
	}
}

func (w *inOrder) take() *event {
	e := w.events[w.first]
	w.events[w.first] = nil
	w.bytes -= e.size()
	if w.first++; w.first == len(w.events) {
		w.events, w.first = w.events[:0], 0
	}
	return e
}

func (w *inOrder) next(now time.Duration, most int) (e *event, skipped, late int) {
	late = w.dropLate(now)
	if w.len() == 0 || w.events[w.first].message.Size() > most {
		return nil, 0, late
	}
	return w.take(), 0, late
}

func (w *inOrder) oldest() time.Duration {
	if w.len() == 0 {
		return 0
	}
	return w.events[w.first].at
}
