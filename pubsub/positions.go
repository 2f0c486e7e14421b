package pubsub

import "slices"

// tellPositions says where the topics are of which a subscription was sent nothing, so that
// a subscriber who comes back can say where it was, of as many as it may name then. It
// sends what there is room for, and says whether there is more.
func (s *shard) tellPositions(sub *subscription) (more bool) {
	f := sub.fence
	if f.tell {
		f.untold, f.tell = s.matching(sub.pattern), false
		f.untold = f.untold[:min(len(f.untold), maxPositions)]
	}
	turn := f.untold[:min(len(f.untold), topicsPerTurn)]
	at := make(map[*topic]Position, len(turn))
	for _, t := range turn {
		_, came := sub.options.Since[t.name]
		if pos := t.position(); pos.Epoch != 0 && !came && !sub.isBeside(t) {
			at[t] = pos
		}
	}
	s.putBeforeWhatComes(sub, at)
	s.messages = s.messages[:0]
	room := s.room(sub)
	for _, t := range turn {
		had := len(s.messages)
		if room <= 0 && (had > 0 || sub.owner.conn.Buffered() > 0) {
			break
		}
		if pos := at[t]; pos.Seq > 0 { // else its first message is on its way
			s.addMark(sub, Mark{Kind: Recovered, Topic: t.name, Position: pos})
		}
		for _, m := range s.messages[had:] {
			room -= m.Size()
		}
		f.untold = f.untold[1:]
	}
	s.sendMessages(sub)
	return len(f.untold) > 0
}

// putBeforeWhatComes has each position say how far the connection of a subscription has come
// in a topic: what comes after it is on its way still, or is not published yet.
func (s *shard) putBeforeWhatComes(sub *subscription, at map[*topic]Position) {
	look := func(e *event, from uint64) {
		if p, ok := at[e.topic]; ok && e.epoch == p.Epoch && from <= p.Seq {
			at[e.topic] = Position{p.Epoch, from - 1}
		}
	}
	for _, e := range s.batch.events {
		if _, ok := at[e.topic]; ok && sub.owner.hasToCome(e, s.batch.number) {
			look(e, e.seq)
		}
	}
	for _, e := range s.incoming[s.incomingAt:] {
		look(e, e.seq)
	}
	s.mu.Lock()
	for _, e := range s.queue {
		look(e, e.seq)
	}
	s.mu.Unlock()
	for _, other := range sub.owner.live {
		if other.waiting != nil {
			other.waiting.each(look)
		}
	}
	for t, p := range at {
		if passed, ok := sub.fence.passed[t]; ok && passed.Epoch == p.Epoch {
			at[t] = Position{p.Epoch, max(p.Seq, passed.Seq)}
		}
	}
}

// hasToCome says whether a connection gets a message of a batch later than now.
func (o *subscriber) hasToCome(e *event, batch uint32) bool {
	return slices.ContainsFunc(o.live, func(sub *subscription) bool {
		return sub.batch != batch && matches(sub.pattern, e.topic.name)
	})
}
