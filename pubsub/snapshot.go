package pubsub

import (
	"math"

	"github.com/headrace/headrace/engine"
)

// fence keeps messages from a subscription that are part of its snapshot: a topic's
// messages up to the position at which its values were read. Until that has happened
// all are kept away, because the snapshot will hold them. So a snapshot can be as slow
// as the socket, and nothing has to be stored for it. Loop-only.
type fence struct {
	all    bool // nothing passes: the broker has to bring something first
	search bool // nor now: the topics of the pattern have to be looked up
	until  map[*topic]uint64
	topics []*topic // those whose snapshot has to come
	lost   bool     // their snapshots say that messages are missing
	opened bool     // all have come
	last   uint64   // then: the fence can go when so many messages of the shard are done
}

// withheld as fence.until says that the topic's snapshot has to come.
const withheld = math.MaxUint64

// passes says whether a message is not part of the snapshot. A nil fence has none.
func (f *fence) passes(e *event) bool {
	if f == nil {
		return true
	}
	until, ok := f.until[e.topic]
	return !f.all && !f.search && (!ok || e.seq > until)
}

// isWaiting says whether snapshots have to come.
func (f *fence) isWaiting() bool { return f != nil && !f.all && !f.opened }

// start begins the snapshot of a new subscription.
func (s *shard) start(sub *subscription) {
	h, o := s.hub, &sub.options
	f := &fence{until: make(map[*topic]uint64)}
	sub.fence = f
	exact := isLiteral(sub.pattern)
	switch {
	case !h.cfg.NoLastValues && !o.NoSnapshot:
		f.search = true // later, because there may be many
	case len(o.Since) > 0:
		for name := range o.Since {
			if t := h.topic(name); t != nil {
				f.topics = append(f.topics, t)
			} else {
				s.sendTopic(sub, Mark{Kind: SnapshotBegin, Topic: name, Lost: true}, nil)
			}
		}
	case exact:
		if t := h.topic(sub.pattern); t != nil {
			f.until[t] = sub.from.Seq
		}
		if !o.NoSnapshot {
			s.sendTopic(sub, Mark{Kind: SnapshotBegin, Topic: sub.pattern, Position: sub.from}, nil)
		}
	}
	f.withhold(f.topics)
	s.activate(sub)
}

// search looks up the topics of a subscription's pattern.
func (s *shard) search(sub *subscription) {
	f := sub.fence
	f.search = false
	f.topics = s.hub.matching(sub.pattern)
	f.withhold(f.topics)
	if len(f.topics) == 0 && isLiteral(sub.pattern) {
		_, came := sub.options.Since[sub.pattern]
		s.sendTopic(sub, Mark{Kind: SnapshotBegin, Topic: sub.pattern, Lost: came}, nil)
	}
}

func (f *fence) withhold(topics []*topic) {
	for _, t := range topics {
		f.until[t] = withheld
	}
}

// startAgain sends the snapshots of topics again of which messages may be missing.
func (s *shard) startAgain(pattern string) {
	s.mu.Lock()
	var subs []*subscription
	for _, o := range s.subscribers {
		for _, sub := range o.live {
			if overlaps(sub.pattern, pattern) && (sub.fence == nil || !sub.fence.all && !sub.fence.search) {
				subs = append(subs, sub)
			}
		}
	}
	s.mu.Unlock()
	for _, sub := range subs {
		if sub.fence == nil || sub.fence.opened {
			sub.fence = &fence{until: make(map[*topic]uint64)}
		}
		f := sub.fence
		f.lost = true
		for _, t := range s.hub.matching(sub.pattern) {
			if matches(pattern, t.name) && f.until[t] != withheld {
				f.until[t] = withheld
				f.topics = append(f.topics, t)
			}
		}
		if sub.waiting != nil {
			sub.waiting.forget(func(e *event) bool { return matches(pattern, e.topic.name) })
		}
		s.activate(sub)
	}
}

// topicsPerTurn is how many topics a snapshot goes on by at a time.
const topicsPerTurn = 256

// continueSnapshot sends as many topics of a snapshot as fit one write, and says
// whether there are more that the socket may take.
func (s *shard) continueSnapshot(sub *subscription) (more bool) {
	f, c := sub.fence, sub.owner.conn
	if !f.isWaiting() {
		return false
	}
	if f.search {
		s.search(sub)
	}
	for n := 0; len(f.topics) > 0; n++ {
		if c.Stalled() { // OnWritable comes
			return false
		}
		if n == topicsPerTurn || c.Buffered() > batchBytes || !c.IsOpen() {
			return c.IsOpen()
		}
		last := len(f.topics) - 1
		if !s.snapshot(sub, f.topics[last]) {
			return true
		}
		f.topics[last] = nil
		f.topics = f.topics[:last]
	}
	s.messages = s.messages[:0]
	s.addMark(sub, Mark{Kind: Live, Pattern: sub.pattern})
	s.sendMessages(sub)
	s.openFence(sub)
	return false
}

// openFence ends a snapshot: the fence is needed for the messages that were pushed
// before only.
func (s *shard) openFence(sub *subscription) {
	f := sub.fence
	s.mu.Lock()
	f.opened, f.last = true, s.pushed
	s.mu.Unlock()
	f.topics, sub.options.Since = nil, nil
	if s.done >= f.last {
		sub.fence = nil
	} else {
		s.fenced = append(s.fenced, sub)
	}
}

// dropFences lets those fences go that have done their work.
func (s *shard) dropFences() {
	n := 0
	for ; n < len(s.fenced); n++ {
		if f := s.fenced[n].fence; f != nil && f.opened {
			if f.last > s.done {
				break
			}
			s.fenced[n].fence = nil
		}
	}
	if n > 0 {
		rest := copy(s.fenced, s.fenced[n:])
		clear(s.fenced[rest:])
		s.fenced = s.fenced[:rest]
	}
}

// snapshot sends what a topic holds, or what a subscriber who comes back has missed.
// ok false says that it is too much beside what waits for the socket already.
func (s *shard) snapshot(sub *subscription, t *topic) (ok bool) {
	f := sub.fence
	mark := Mark{Kind: SnapshotBegin, Topic: t.name, Lost: f.lost}
	events, forgotten := s.contents(sub, t, &mark)
	if forgotten { // before this subscription was there
		delete(f.until, t)
		return true
	}
	size := 0
	for _, e := range events {
		size += e.message.Size()
	}
	if size > batchBytes && sub.owner.conn.Buffered() > 0 {
		return false
	}
	f.until[t] = mark.Seq
	s.sendTopic(sub, mark, events)
	return true
}

// contents reads what a topic holds for a subscription, and sets the mark that goes
// before it.
func (s *shard) contents(sub *subscription, t *topic, mark *Mark) (events []*event, forgotten bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mark.Position = t.pos
	if p, ok := sub.options.Since[t.name]; ok && !mark.Lost {
		missed, known := t.since(p, sub.options.Mode == Latest, !s.hub.cfg.NoLastValues)
		if known {
			mark.Kind = Recovered
			return missed, t.forgotten
		}
		mark.Lost = true
	}
	if sub.options.NoSnapshot {
		return nil, t.forgotten
	}
	return t.snapshot(0), t.forgotten
}

// sendTopic sends a mark and the messages that it tells of.
func (s *shard) sendTopic(sub *subscription, mark Mark, events []*event) {
	stats := &s.hub.stats
	mark.Pattern, mark.Count = sub.pattern, len(events)
	s.messages = s.messages[:0]
	s.addMark(sub, mark)
	for _, e := range events {
		s.messages = append(s.messages, e.message)
	}
	switch mark.Kind {
	case Recovered:
		stats.recovered.Add(1)
	default:
		stats.snapshots.Add(1)
		if mark.Lost {
			stats.lost.Add(1)
		}
		mark.Kind = SnapshotEnd
		s.addMark(sub, mark)
	}
	s.sendMessages(sub)
}

// addMark adds the message for a mark to s.messages, if the Encoder makes one.
func (s *shard) addMark(sub *subscription, mark Mark) {
	m := s.encode(sub, func(dst []byte) []byte { return s.hub.cfg.Encoder.AppendMark(dst, &mark) })
	if m != nil && len(m.Payload()) > 0 {
		s.messages = append(s.messages, m)
	}
}

var _ engine.Companion = (*subscriber)(nil)
