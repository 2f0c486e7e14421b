package pubsub

import (
	"maps"
	"slices"

	"github.com/headrace/headrace/engine"
)

// How subscriptions, their connections and their shards end: with the connection, with
// the loop, or with the hub.

// OnEnd implements engine.Companion.
func (o *subscriber) OnEnd(*engine.Conn) {
	o.ended = true
	for len(o.live) > 0 {
		o.shard.remove(o.live[len(o.live)-1])
	}
	o.shard.leaveIfEnded(o)
}

// leaveIfEnded forgets a subscriber whose connection has ended, and the shard with the
// last one.
func (s *shard) leaveIfEnded(o *subscriber) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !o.ended || s.subscribers[o.conn] != o {
		return
	}
	delete(s.subscribers, o.conn)
	if len(s.subscribers) == 0 {
		s.end()
	}
}

// stopListening keeps what has the loop's end not told any more, for when the shard is
// gone.
func (s *shard) stopListening(forget func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		forget()
	}
	s.forget = forget
}

// end has another shard take the place of this one. What hangs on its loop is let go
// of: topics may know the shard for long. The caller holds mu.
func (s *shard) end() {
	for _, o := range s.orders {
		if o.kind == orderAdd { // of a connection that has ended before
			go s.hub.dropInterest(o.sub)
		}
	}
	if s.forget != nil {
		s.forget()
	}
	s.gone, s.queue, s.orders = true, nil, nil
	s.backlog.Store(0)
	s.hub.shards.CompareAndDelete(s.loop, s)
	if s.timer != nil {
		s.timer.Stop()
	}
	s.loop, s.work, s.timer, s.forget = nil, nil, nil, nil
	s.active, s.fenced, s.timed = nil, nil, nil
}

// loopEnded is called when the loop runs no more. Subscriptions that were not begun by
// then have nobody else to end them.
func (s *shard) loopEnded() {
	s.mu.Lock()
	var left []*subscription
	if !s.gone {
		for _, o := range s.subscribers {
			left = append(append(left, o.all...), o.live...)
			o.ended = true
		}
		clear(s.subscribers)
		s.end()
	}
	s.mu.Unlock()
	for _, sub := range left {
		if sub.live {
			s.remove(sub)
		} else {
			s.hub.dropInterest(sub)
		}
	}
}

// endAll ends all subscriptions of a hub that is closed, and those that live although
// they have been struck or replaced: the orders that end them stand behind.
func (s *shard) endAll() {
	s.mu.Lock()
	var all []*subscription
	for _, o := range s.subscribers {
		all = append(append(all, o.all...), o.live...)
		o.all = nil
	}
	owners := slices.Collect(maps.Values(s.subscribers))
	s.mu.Unlock()
	for _, sub := range all {
		s.remove(sub)
	}
	for _, o := range owners {
		o.conn.Detach(o)
		o.ended = true
		s.leaveIfEnded(o)
	}
}
