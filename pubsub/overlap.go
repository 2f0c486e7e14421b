package pubsub

import "slices"

// A connection may have several subscriptions that match a topic. Of all messages of the
// topic it gets each once:
//
//   - by way of the first that matches, which is the oldest, in its mode;
//   - what one is sent in a snapshot, the others know too (pass);
//   - one that begins with no snapshot goes on where an older one is, whose messages are on
//     their way still (inherit, joinAt), so that it can take the older one's place;
//   - of one that ends, what is on its way comes by way of the next, and what it has kept is
//     part of a snapshot (takeOver).

// pass notes that a subscription was sent a topic up to a position, so that the others of
// its connection that match it know it too.
func (s *shard) pass(sub *subscription, t *topic, at Position) {
	sub.fence.note(t, passage{at, s.pushedNow()}, s.done)
	s.passOthers(sub, t, at)
}

func (s *shard) pushedNow() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pushed
}

// passOthers keeps what a subscription was sent, or is being sent, from the others.
func (s *shard) passOthers(sub *subscription, t *topic, at Position) {
	if !sub.owner.overlapping || t == nil {
		return
	}
	pushed := s.pushedNow()
	for _, other := range sub.owner.live {
		if other == sub || !matches(other.pattern, t.name) {
			continue
		}
		if other.fence == nil {
			other.fence = &fence{opened: true}
			s.fenced = append(s.fenced, other)
		}
		other.fence.note(t, passage{at, pushed}, s.done)
		other.fence.last = max(other.fence.last, pushed)
		if other.waiting != nil {
			other.waiting.forget(func(e *event) bool { return e.topic == t && e.seq <= at.Seq })
		}
	}
}

// inherit has a new subscription know what its connection knows by way of another one
// that it overlaps, or whose place it takes.
func (s *shard) inherit(sub, other *subscription) {
	if other.fence == nil || len(other.fence.passed) == 0 {
		return
	}
	if sub.fence == nil {
		sub.fence = new(fence)
	}
	for t, p := range other.fence.passed {
		if known, ok := sub.fence.passed[t]; ok && known.Epoch == p.Epoch && known.Seq >= p.Seq {
			continue
		}
		if p.pushed > s.done && matches(sub.pattern, t.name) {
			sub.fence.note(t, p, s.done)
		}
	}
}

// joinAt has a subscription get the messages of a topic behind a position, with nothing
// before. One that joins gets what is on its way too.
func (s *shard) joinAt(sub *subscription, t *topic, at Position) {
	if !sub.joins(t) {
		sub.fence.note(t, passage{at, s.pushedNow()}, s.done)
	}
}

// joins says whether a subscription goes on with a topic that its connection had.
func (sub *subscription) joins(t *topic) bool { return sub.follows || sub.isBeside(t) }

// isBeside says whether an older subscription of the connection has the topic.
func (sub *subscription) isBeside(t *topic) bool {
	for _, other := range sub.owner.live {
		if other == sub {
			break
		}
		if matches(other.pattern, t.name) {
			return true
		}
	}
	return false
}

// reached gives how far the connection of a subscription that begins with nothing has come
// in a topic that is at a position: where it joins, what is on its way comes behind.
func (s *shard) reached(sub *subscription, t *topic, at Position) Position {
	if !sub.joins(t) {
		return at
	}
	reached := map[*topic]Position{t: at}
	s.putBeforeWhatComes(sub, reached)
	return reached[t]
}

// deliverOnce is deliverTo where subscriptions match the same topics: each message comes
// by way of the first that matches it.
func (s *shard) deliverOnce(o *subscriber) (cost int) {
	s.messages = s.messages[:0]
	began := len(s.note.runs)
	for _, e := range s.batch.events {
		if b := o.beginning; b != nil && b.fence.isSending(e.topic) {
			b.fence.hold(e, o.conn.QueueLimit())
		} else if sub := s.carrier(o, e); sub != nil && s.wants(sub, e) {
			s.gather(e)
		}
	}
	for _, sub := range o.live {
		sub.batch = s.batch.number
	}
	s.sendNoted(o.live[0], began)
	return 1 + len(s.batch.events)*len(o.live)/32
}

// carrier gives the subscription by way of which a message of the batch comes. Where the
// one whose turn it is has been struck it is the next, also one that came after the batch
// began: it goes on where the other one ends. If that has not begun, the message comes
// by way of the struck one all the same.
func (s *shard) carrier(o *subscriber, e *event) *subscription {
	var struck *subscription
	for _, sub := range o.live {
		if sub.batch == s.batch.number && struck == nil || !matches(sub.pattern, e.topic.name) {
			continue
		}
		if !sub.struck.Load() {
			return sub
		}
		if struck == nil {
			struck = sub
		}
	}
	if struck != nil && s.isWanted(o, e.topic) {
		return struck
	}
	return nil
}

// isWanted says whether a connection has a subscription that matches a topic, begun or not.
func (s *shard) isWanted(o *subscriber, t *topic) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(o.all, func(sub *subscription) bool { return matches(sub.pattern, t.name) })
}

// hasStruck says whether a subscription is about to end.
func (o *subscriber) hasStruck() bool {
	return slices.ContainsFunc(o.live, func(sub *subscription) bool { return sub.struck.Load() })
}

// takeOver has the other subscriptions of a connection go on with the topics of one that
// has ended. What that one has kept and not sent is not lost: it is part of a snapshot, or
// where there are no values a mark says so.
func (s *shard) takeOver(sub *subscription, unheard bool) {
	owner := sub.owner
	owner.lookForOverlaps()
	lost := ""
	if s.hub.cfg.NoLastValues {
		lost = sub.pattern
	}
	for _, other := range owner.live {
		if unheard && !owner.ended && overlaps(other.pattern, sub.pattern) {
			s.restart(other, lost)
		}
	}
}

// lookForOverlaps sets overlapping.
func (o *subscriber) lookForOverlaps() {
	o.overlapping = false
	for i, a := range o.live {
		for _, b := range o.live[:i] {
			if overlaps(a.pattern, b.pattern) {
				o.overlapping = true
				return
			}
		}
	}
}
