package pubsub

import (
	"slices"

	"github.com/headrace/headrace/engine"
)

// keepsValues says whether a subscription begins with the values of its topics.
func (s *shard) keepsValues(sub *subscription) bool {
	return !s.hub.cfg.NoLastValues && !sub.options.NoSnapshot
}

// start begins the snapshot of a new subscription.
func (s *shard) start(sub *subscription) {
	h, o := s.hub, &sub.options
	f := new(fence)
	if sub.fence != nil {
		f.passed = sub.fence.passed
	}
	sub.fence = f
	switch {
	case s.keepsValues(sub):
		f.search = true // later, because there may be many
	case len(o.Since) > 0:
		for name := range o.Since {
			if t := h.topic(name); t != nil {
				f.topics = append(f.topics, t)
			}
		}
		slices.SortFunc(f.topics, compareTopics)
		f.addVanished(h, o.Since)
	case isLiteral(sub.pattern):
		at := sub.from
		if t := h.topic(sub.pattern); t != nil && at.Epoch != 0 { // else all of it is after
			s.joinAt(sub, t, at)
			if !o.NoSnapshot {
				at = s.reached(sub, t, at)
			}
		}
		if !o.NoSnapshot && !sub.struck.Load() {
			s.sendMarks(sub, Mark{Kind: SnapshotBegin, Topic: sub.pattern, Position: at})
		}
	}
	f.tell = o.NoSnapshot || h.cfg.NoLastValues && !isLiteral(sub.pattern) // else marks say it
	s.activate(sub)
}

// addVanished notes the topics that a subscriber knows and that are no more.
func (f *fence) addVanished(h *Hub, since map[string]Position) {
	for name := range since {
		if h.topic(name) == nil {
			f.marks = append(f.marks, Mark{Kind: SnapshotBegin, Topic: name, Lost: true})
		}
	}
}

// search looks up the topics whose values a subscription begins with.
func (s *shard) search(sub *subscription) {
	f, h := sub.fence, s.hub
	f.search = false
	f.topics = s.matching(sub.pattern)
	f.addVanished(h, sub.options.Since)
	if len(f.topics) == 0 && len(f.marks) == 0 && isLiteral(sub.pattern) {
		f.marks = append(f.marks, Mark{Kind: SnapshotBegin, Topic: sub.pattern})
	}
}

// matching gives the topics of a pattern, in the order in which they were made.
// Subscriptions that come together share the list.
func (s *shard) matching(pattern string) []*topic {
	if at := s.hub.topicsAt.Load(); s.found.pattern != pattern || s.found.at != at {
		s.found = search{pattern, at, s.hub.matching(pattern)}
		slices.SortFunc(s.found.topics, compareTopics)
	}
	return s.found.topics
}

// search is the topics that a pattern matched in a state of the hub.
type search struct {
	pattern string
	at      uint64
	topics  []*topic
}

// startAgain sends the snapshots of topics again of which messages may be missing.
func (s *shard) startAgain(pattern string) {
	s.mu.Lock()
	var subs []*subscription
	for _, o := range s.subscribers {
		for _, sub := range o.live {
			if overlaps(sub.pattern, pattern) && (sub.fence == nil || !sub.fence.all) {
				subs = append(subs, sub)
			}
		}
	}
	s.mu.Unlock()
	for _, sub := range subs {
		s.restart(sub, pattern)
	}
}

// restart sends a subscription's snapshot again. What waits for it is part of that. The
// topics that match lost get a mark that says that messages are missing.
func (s *shard) restart(sub *subscription, lost string) {
	f := &fence{search: true, lost: lost}
	if sub.fence != nil {
		f.passed, f.marks = sub.fence.passed, sub.fence.marks
	}
	if !s.hub.cfg.NoLastValues {
		sub.waiting = nil
		sub.options.Since, sub.options.NoSnapshot = nil, false // what is missing has to be made good
	} else { // there is nothing to begin again with
		f.search = false
		if old := sub.fence; old != nil {
			f.topics, f.next, f.part, f.tell, f.untold = old.topics, old.next, old.part, old.tell, old.untold
		}
		for _, t := range s.hub.matching(sub.pattern) {
			if lost != "" && matches(lost, t.name) && len(f.marks) < maxPositions {
				f.marks = append(f.marks, Mark{Kind: SnapshotBegin, Topic: t.name, Position: t.position(), Lost: true})
			}
		}
	}
	sub.fence = f
	s.activate(sub)
}

// topicsPerTurn is how many topics a snapshot goes on by at a time.
const topicsPerTurn = 256

// continueSnapshot sends as much of a snapshot as there is room for, and says whether
// there is more that the socket may take. A connection gets one snapshot after the
// other.
func (s *shard) continueSnapshot(sub *subscription) (more bool) {
	f, c, o := sub.fence, sub.owner.conn, sub.owner
	if !f.isWaiting() || o.beginning != nil && o.beginning != sub {
		return false
	}
	o.beginning = sub
	if c.Stalled() || !c.IsOpen() { // OnWritable comes, or the end
		return false
	}
	if f.search {
		s.search(sub)
	}
	for range topicsPerTurn { // what is read is sent, or begun, before anything else can come of it
		if f.part == nil && !s.nextPart(sub) {
			if s.tellPositions(sub) {
				return true
			}
			s.endSnapshot(sub)
			return false
		}
		if !s.sendPart(sub) {
			return true
		}
	}
	return true
}

// nextPart reads the next topic, and says whether there is one.
func (s *shard) nextPart(sub *subscription) bool {
	f := sub.fence
	if n := len(f.marks); n > 0 {
		f.part = &part{mark: f.marks[n-1]}
		f.marks = f.marks[:n-1]
		return true
	}
	for ; f.next < len(f.topics); f.next++ {
		if p, ok := s.read(sub, f.topics[f.next]); ok {
			f.part = p
			return true
		}
	}
	return false
}

// read reads what a topic holds for a subscription: its values, or what a subscriber
// that comes back has missed. ok false: it was forgotten before this one was there.
func (s *shard) read(sub *subscription, t *topic) (p *part, ok bool) {
	f := sub.fence
	mark := Mark{Kind: SnapshotBegin, Topic: t.name, Lost: f.lost != "" && matches(f.lost, t.name)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.forgotten {
		return nil, false
	}
	mark.Position = t.pos
	if at, came := sub.options.Since[t.name]; came && !mark.Lost {
		if missed, known := t.since(at, sub.options.Mode == Latest, !s.hub.cfg.NoLastValues); known {
			mark.Kind = Recovered
			return s.newPart(sub, t, mark, missed), true
		}
		mark.Lost = true
	}
	var values []*event
	if s.keepsValues(sub) {
		values = t.snapshot(0)
	} else {
		mark.Position = s.reached(sub, t, t.pos)
	}
	return s.newPart(sub, t, mark, values), true
}

// sendPart sends what there is room for of the topic whose turn it is, and says whether
// that was all. What comes of a topic that takes several turns is held meanwhile, for
// all subscriptions of the connection, and follows.
func (s *shard) sendPart(sub *subscription) bool {
	f, p := sub.fence, sub.fence.part
	whole := !p.begun
	s.messages = s.messages[:0]
	room, size := s.room(sub), 0
	if !p.begun {
		s.addMark(sub, p.mark)
		p.begun = true
	}
	for ; p.next < len(p.events); p.next++ {
		m := p.events[p.next].message
		if size += m.Size(); size > room && (len(s.messages) > 0 || sub.owner.conn.Buffered() > 0) {
			break
		}
		s.messages = append(s.messages, m)
	}
	through := p.next == len(p.events)
	if through && p.mark.Kind == SnapshotBegin {
		end := p.mark
		end.Kind = SnapshotEnd
		s.addMark(sub, end)
	}
	s.sendMessages(sub)
	if !through {
		if whole {
			s.passOthers(sub, p.topic, p.mark.Position)
		}
		return false
	}
	s.countPart(p)
	f.part = nil
	switch {
	case p.topic == nil:
		return true
	case !whole:
		if f.part = s.meanwhile(sub, p); f.part != nil {
			return true
		}
	case p.mark.Kind == SnapshotBegin && !s.keepsValues(sub): // says only that messages are missing
		s.joinAt(sub, p.topic, p.mark.Position)
	default:
		s.pass(sub, p.topic, p.mark.Position)
	}
	f.next++
	f.again = 0
	return true
}

// maxAgain is how often a topic's snapshot begins again because more came meanwhile than
// may be held.
const maxAgain = 2

// meanwhile gives the messages of a topic that have come while a part of it was sent, nil
// if there are none: then those that come pass. Where the topic's history has forgotten
// them, they are those that were held: in Latest the newest of each key, which are never
// too many. Else its values are sent again; a subscriber that gets no further by that
// reads more slowly than the topic goes.
func (s *shard) meanwhile(sub *subscription, p *part) *part {
	t, at := p.topic, p.mark.Position
	t.mu.Lock()
	now := t.pos
	missed, known := t.since(at, sub.options.Mode == Latest, !s.hub.cfg.NoLastValues)
	t.mu.Unlock()
	if !known && !p.over {
		missed, known, now = p.meanwhile(), true, at // the others stand in the shard's queue
		now.Seq = p.heldTo
	}
	if known && len(missed) > 0 {
		return s.newPart(sub, t, Mark{Kind: Recovered, Topic: t.name, Position: now}, missed)
	}
	f := sub.fence
	if !known {
		if f.again++; f.again <= maxAgain || sub.options.Mode == Latest { // who has no values to begin with, so that this is the end
			return s.readAgain(sub, t)
		}
		if sub.options.Mode == Queue {
			_ = sub.owner.conn.Close(engine.CloseTryAgainLater, "reading too slowly")
		} else {
			s.hub.stats.pending.Add(now.Seq - at.Seq)
		}
	}
	s.pass(sub, t, now)
	return nil
}

// readAgain reads a topic's values after all. Where there are none, what has come since
// is lost.
func (s *shard) readAgain(sub *subscription, t *topic) *part {
	delete(sub.options.Since, t.name)
	p, ok := s.read(sub, t)
	if ok && !s.keepsValues(sub) {
		p.mark.Lost = true
	}
	return p
}

// countPart counts a topic that was sent.
func (s *shard) countPart(p *part) {
	stats := &s.hub.stats
	if p.mark.Kind == Recovered {
		stats.recovered.Add(1)
		return
	}
	stats.snapshots.Add(1)
	if p.mark.Lost {
		stats.lost.Add(1)
	}
}

// endSnapshot says that a subscription is live, and lets the next one of its connection
// begin.
func (s *shard) endSnapshot(sub *subscription) {
	s.messages = s.messages[:0]
	s.addMark(sub, Mark{Kind: Live, Pattern: sub.pattern})
	s.sendMessages(sub)
	f := sub.fence
	s.mu.Lock()
	f.opened, f.last = true, s.pushed
	s.mu.Unlock()
	f.topics, f.next, sub.options.Since = nil, 0, nil
	if s.done >= f.last {
		sub.fence = nil
	} else {
		s.fenced = append(s.fenced, sub)
	}
	s.letNextBegin(sub.owner)
}

// letNextBegin has another snapshot of a connection begin.
func (s *shard) letNextBegin(o *subscriber) {
	o.beginning = nil
	for _, other := range o.live {
		if other.fence.isWaiting() {
			s.activate(other)
		}
	}
}

// sendMarks sends a mark with nothing behind it, at once.
func (s *shard) sendMarks(sub *subscription, mark Mark) {
	s.messages = s.messages[:0]
	s.addMark(sub, mark)
	s.countPart(&part{mark: mark})
	mark.Kind = SnapshotEnd
	s.addMark(sub, mark)
	s.sendMessages(sub)
}

// addMark adds the message for a mark to s.messages, if the Encoder makes one.
func (s *shard) addMark(sub *subscription, mark Mark) {
	mark.Pattern = sub.pattern
	m := s.encode(sub, func(dst []byte) []byte { return s.hub.cfg.Encoder.AppendMark(dst, &mark) })
	if m != nil && len(m.Payload()) > 0 {
		s.messages = append(s.messages, m)
	}
}
