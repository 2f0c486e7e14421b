package pubsub

import (
	"errors"
	"time"

	"github.com/headrace/headrace/engine"
)

// batch is the messages that are being delivered, and the groups that they are for.
type batch struct {
	number uint32 // of this batch
	events []*event
	groups []*group
	at     int    // the group whose turn it is
	event  *event // that add is for
	size   int    // bytes of the events' messages
	oldest time.Duration
}

func (b *batch) busy() bool { return b.at < len(b.groups) }

// add notes that the event is for a group.
func (b *batch) add(g *group) {
	if g.number != b.number {
		g.number, g.active = b.number, true
		g.next, g.end = 0, len(g.subs)
		b.groups = append(b.groups, g)
	}
	g.events = append(g.events, b.event)
}

// beginBatch takes some of the messages that have come, and says whether there are any.
func (s *shard) beginBatch() bool {
	if s.incomingAt == len(s.incoming) {
		return false
	}
	b := &s.batch
	b.number++
	b.oldest = s.incoming[s.incomingAt].at
	b.size = 0
	for len(b.events) < batchEvents && b.size < batchBytes && s.incomingAt < len(s.incoming) {
		e := s.incoming[s.incomingAt]
		s.incoming[s.incomingAt] = nil
		s.incomingAt++
		b.size += e.message.Size()
		b.events = append(b.events, e)
		b.event = e
		s.patterns.match(e.topic.name, s.visit)
	}
	if !b.busy() {
		s.endBatch()
	}
	return true
}

// deliverBatch delivers to at most so many subscriptions, and gives how many more may
// get something in this turn.
func (s *shard) deliverBatch(budget int) int {
	b := &s.batch
	for b.busy() {
		g := b.groups[b.at]
		for ; g.next < g.end; g.next++ {
			sub := g.subs[g.next]
			if sub == nil || sub.batch == b.number {
				continue
			}
			if budget == 0 {
				return 0
			}
			budget = max(0, budget-s.deliverTo(sub.owner, sub))
		}
		s.finish(g)
		b.at++
	}
	s.endBatch()
	return budget
}

// finish lets go of what the batch had for the group.
func (s *shard) finish(g *group) {
	if g.burst != nil {
		g.burst.Release()
	}
	clear(g.events)
	g.events, g.burst, g.active = g.events[:0], nil, false
	if g.close(); len(g.subs) == 0 {
		s.patterns.remove(g.pattern)
	}
}

func (s *shard) endBatch() {
	b := &s.batch
	size := 0
	for i, e := range b.events {
		size += e.size()
		b.events[i] = nil
	}
	s.backlog.Add(int64(-size))
	s.done += uint64(len(b.events))
	s.dropFences()
	clear(b.groups)
	b.events, b.groups, b.at, b.event = b.events[:0], b.groups[:0], 0, nil
}

// deliverTo gives a connection what the batch has for it by way of sub, and of its
// other subscriptions too, so that it all leaves in one write. It gives what that
// cost, as a number of plain deliveries.
func (s *shard) deliverTo(o *subscriber, sub *subscription) (cost int) {
	if o.overlapping || o.hasStruck() {
		return s.deliverOnce(o)
	}
	s.deliver(sub)
	if len(o.live) == 1 {
		return 1
	}
	for _, other := range o.live {
		if g := other.group; g.active && g.number == s.batch.number && other.batch != s.batch.number {
			s.deliver(other)
			cost++
		}
	}
	return 1 + cost + len(o.live)/16
}

// deliver gives a subscription its messages of the batch.
func (s *shard) deliver(sub *subscription) {
	sub.batch = s.batch.number
	g := sub.group
	if s.takesAll(sub) {
		if g.burst == nil {
			g.burst = s.burst(g.events)
		}
		if s.send(sub, g.burst) {
			s.note.add(g)
		}
		return
	}
	s.messages = s.messages[:0]
	began := len(s.note.runs)
	for _, e := range g.events {
		if s.wants(sub, e) {
			s.gather(e)
		}
	}
	s.sendNoted(sub, began)
}

// takesAll says whether a subscription gets everything that its group gets.
func (s *shard) takesAll(sub *subscription) bool {
	if sub.fence != nil || sub.waiting != nil || sub.interval != 0 {
		return false
	}
	switch sub.options.Mode {
	case Latest:
		return s.fits(sub, s.batch.size)
	case Deadline:
		return s.fits(sub, s.batch.size) && s.now-s.batch.oldest <= sub.options.MaxAge
	default:
		return true
	}
}

// fits says whether so many bytes can be sent to a subscription at once, behind what was
// gathered for it: its socket takes more, and its connection's queue has room for them.
func (s *shard) fits(sub *subscription, n int) bool {
	c := sub.owner.conn
	return !c.Stalled() && c.Buffered()+s.gathered+n <= c.QueueLimit()
}

// fitsAlone is fits for one message. What finds nothing before it is the connection's own
// affair, however large.
func (s *shard) fitsAlone(sub *subscription, e *event) bool {
	c := sub.owner.conn
	return s.fits(sub, e.message.Size()) || !c.Stalled() && c.Buffered()+s.gathered == 0
}

// gather adds an event to what a subscription gets now.
func (s *shard) gather(e *event) {
	s.messages = append(s.messages, e.message)
	s.gathered += e.message.Size()
	s.note.addOne(e)
}

// wants says whether a subscription gets a message now. One that it gets later it
// keeps.
func (s *shard) wants(sub *subscription, e *event) bool {
	if !sub.fence.passes(e) {
		sub.fence.hold(e, sub.owner.conn.QueueLimit())
		return false
	}
	stats := &s.hub.stats
	if sub.options.Mode == Queue {
		return true
	}
	if sub.waiting != nil || sub.interval != 0 || !s.fitsAlone(sub, e) {
		s.keep(sub, e)
		return false
	}
	if sub.options.Mode == Deadline && s.now-e.at > sub.options.MaxAge {
		stats.late.Add(1)
		return false
	}
	return true
}

// keep has a message wait.
func (s *shard) keep(sub *subscription, e *event) {
	if sub.waiting == nil {
		sub.waiting = s.newWaiting(sub)
	}
	before := sub.waiting.len()
	dropped, late := sub.waiting.add(e, s.now)
	stats := &s.hub.stats
	stats.pending.Add(uint64(dropped))
	stats.late.Add(uint64(late))
	if sub.options.Mode == Latest && dropped == 0 {
		stats.conflated.Add(uint64(before + 1 - sub.waiting.len()))
	}
	switch {
	case sub.interval != 0:
		s.waitUntilDue(sub)
	case !sub.owner.conn.Stalled():
		s.activate(sub)
	}
}

func (s *shard) newWaiting(sub *subscription) waiting {
	cfg := &s.hub.cfg
	if sub.options.Mode == Deadline {
		return &inOrder{most: cfg.MaxPending, mostBytes: maxPendingBytes, maxAge: sub.options.MaxAge}
	}
	n := new(newest)
	if cfg.NoLastValues { // nothing else bounds the keys
		n.most = cfg.MaxKeys
	}
	return n
}

// maxPendingBytes is what may wait for a subscription with Deadline, in bytes.
const maxPendingBytes = 4 << 20

// room is how many bytes may be sent to a subscription now that it does not have to get
// at once: enough for one write, and no more than leaves half of the connection's queue
// to others.
func (s *shard) room(sub *subscription) int {
	c := sub.owner.conn
	return min(batchBytes, c.QueueLimit()/2) - c.Buffered()
}

// flush sends what waits for a subscription, as much as there is room for, and says
// whether more is left.
func (s *shard) flush(sub *subscription) (more bool) {
	s.messages = s.messages[:0]
	stats := &s.hub.stats
	began, room := len(s.note.runs), s.room(sub)
	for size := 0; len(s.messages) < batchEvents; {
		most := room - size
		if size == 0 && sub.owner.conn.Buffered() == 0 {
			most = noLimit // what finds nothing before it is always taken
		}
		e, skipped, late := sub.waiting.next(s.now, most)
		stats.late.Add(uint64(late))
		if e == nil {
			break
		}
		m := e.message
		if skipped > 0 {
			u := e.update(skipped)
			m = s.encode(sub, func(dst []byte) []byte { return s.hub.cfg.Encoder.AppendUpdate(dst, &u) })
		}
		if m != nil {
			s.messages = append(s.messages, m)
			size += m.Size()
			s.note.addOne(e)
		}
	}
	more = sub.waiting.len() > 0
	if !more && sub.interval == 0 {
		sub.waiting = nil
	}
	s.sendNoted(sub, began)
	return more
}

// encode makes a message for one subscription. A panic of the Encoder ends the
// connection, and so does text that is not UTF-8.
func (s *shard) encode(sub *subscription, encode func(dst []byte) []byte) (m *engine.Message) {
	defer func() {
		if p := recover(); p != nil {
			s.hub.cfg.Logger.Error("panic in an encoder; its subscriber is closed", "panic", p)
			_ = sub.owner.conn.Close(engine.CloseInternalError, "")
		}
	}()
	if m = s.hub.message(encode); m == nil {
		s.hub.cfg.Logger.Error("an encoder made text that is not UTF-8; its subscriber is closed")
		_ = sub.owner.conn.Close(engine.CloseInternalError, "")
	}
	return m
}

// burst makes a burst of events.
func (s *shard) burst(events []*event) *engine.Burst {
	s.messages = s.messages[:0]
	for _, e := range events {
		s.messages = append(s.messages, e.message)
	}
	return s.loop.NewBurst(s.messages...)
}

// sendMessages sends what stands in s.messages, and says whether any was accepted.
func (s *shard) sendMessages(sub *subscription) (sent bool) {
	if len(s.messages) > 0 {
		b := s.loop.NewBurst(s.messages...)
		sent = s.send(sub, b)
		b.Release()
	}
	clear(s.messages)
	s.messages, s.gathered = s.messages[:0], 0
	return sent
}

// sendNoted is sendMessages for messages that were noted from a run on.
func (s *shard) sendNoted(sub *subscription, began int) {
	if !s.sendMessages(sub) {
		s.note.forget(began)
	}
}

func (s *shard) send(sub *subscription, b *engine.Burst) (sent bool) {
	n, err := sub.owner.conn.SendBurst(b)
	s.note.delivered += uint64(n)
	if errors.Is(err, engine.ErrDropped) {
		s.hub.stats.full.Add(uint64(b.Len() - n))
	}
	return n > 0
}
