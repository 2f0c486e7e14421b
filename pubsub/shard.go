package pubsub

import (
	"container/heap"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/engine"
)

// The journey of a message:
//
//  1. Publish asks the broker, which gives it to the hub (sink.Next or Deliver).
//  2. Under the lock of its topic it gets its place, is encoded, becomes the newest
//     value of its key, and is pushed to the shard of each loop that has a subscription
//     which matches. The loop is asked to work.
//  3. In a turn of the loop (shard.run) the shard takes what was pushed as a batch,
//     finds the groups of subscriptions whose patterns match, and makes one burst for
//     each group.
//  4. Group by group, the burst goes to the subscriptions, so many in each turn
//     (deliver.go). The engine writes to each connection at the end of the turn, once.
//  5. A subscription that is not like the others (its snapshot is not through, its
//     socket takes no more, it wants fewer messages) looks at the messages one by one,
//     and may keep them for later (waiting.go).

// shard is a hub's part on one loop: the subscriptions of that loop's connections. Its
// work runs on the loop.
type shard struct {
	// immutable
	hub  *Hub
	loop *engine.Loop
	work *engine.Work

	backlog atomic.Int64 // bytes of messages that were pushed and are not delivered
	held    atomic.Int32 // calls of PublishAll that have not come to their end, and will ask

	mu          sync.Mutex
	gone        bool // the last subscriber has left; another shard takes its place
	pushed      uint64
	queue       []*event
	orders      []order
	subscribers map[*engine.Conn]*subscriber
	forget      func() // see stopListening

	// loop-only
	patterns   trie[*group]
	incoming   []*event // taken from queue, in no batch yet, from incomingAt on
	incomingAt int
	spare      []*event // for queue
	batch      batch
	done       uint64          // messages pushed and delivered, of pushed
	active     []*subscription // those with a snapshot or messages to go on with
	fenced     []*subscription // those whose fence can go when older messages are done
	timed      dueHeap         // those with messages that come too soon
	timer      *time.Timer
	messages   []*engine.Message // scratch
	gathered   int               // bytes in messages, where they are for one subscription
	visit      func(*group)      // batch.add, made once
	now        time.Duration
	note       latencyNote
	found      search // the last one
}

// order is what other goroutines want of a shard.
type order struct {
	kind     orderKind
	sub, old *subscription
	pattern  string
	do       func()
}

type orderKind uint8

const (
	orderAdd    orderKind = iota // sub gets messages from now on, in the place of old
	orderRemove                  // sub gets none any more
	orderReady                   // the broker has brought what sub has to begin with
	orderLost                    // messages of pattern may be missing
	orderDo                      // call do
	orderEnd                     // the hub is closed
)

const (
	deliveriesPerTurn = 256      // connections that get something in a turn
	ordersPerTurn     = 1024     // subscriptions that begin or end
	batchEvents       = 256      // messages in a batch
	batchBytes        = 64 << 10 // and their bytes, from which on there are no more
	maxSpareQueue     = 16 << 10
)

// shardOf gives the shard of a connection's loop.
func (h *Hub) shardOf(c *engine.Conn) *shard {
	loop := c.Loop()
	if s, ok := h.shards.Load(loop); ok {
		return s.(*shard)
	}
	made := &shard{hub: h, loop: loop, subscribers: make(map[*engine.Conn]*subscriber)}
	made.work = loop.NewWork(made.run)
	made.visit = made.batch.add
	made.note.init(made)
	s, had := h.shards.LoadOrStore(loop, made)
	if !had {
		made.stopListening(loop.OnEnd(made.loopEnded))
	}
	return s.(*shard)
}

func (h *Hub) eachShard(f func(*shard)) {
	h.shards.Range(func(_, s any) bool {
		f(s.(*shard))
		return true
	})
}

// push hands a message over. The caller holds the lock of its topic, so the messages
// of a topic come in order.
func (s *shard) push(e *event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return
	}
	s.queue = append(s.queue, e)
	s.pushed++
	s.backlog.Add(int64(e.size()))
	if s.held.Load() == 0 || len(s.queue) >= batchEvents {
		s.work.Ask()
	}
}

func (s *shard) ask(o order) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.gone {
		s.orders = append(s.orders, o)
		s.work.Ask()
	} else if o.kind == orderAdd { // its loop has ended meanwhile
		go s.hub.dropInterest(o.sub)
	}
}

// wake has the loop look at the shard.
func (s *shard) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.gone {
		s.work.Ask()
	}
}

// run does a piece of the shard's work. It is called on the loop.
func (s *shard) run() (more bool) {
	s.now = s.hub.now()
	left := s.takeIn()
	s.goOn()
	for budget := deliveriesPerTurn; budget > 0 && (s.batch.busy() || s.beginBatch()); {
		budget = s.deliverBatch(budget)
	}
	s.flushDue()
	s.note.send()
	return left || s.batch.busy() || s.incomingAt < len(s.incoming) || s.canGoOn()
}

// takeIn takes messages and orders over, both at once: an order stands before every
// message that was pushed after it. Orders are few; in a storm of subscriptions they
// come a part at a time, and the messages wait. left says that there is more.
func (s *shard) takeIn() (left bool) {
	s.mu.Lock()
	orders := s.orders
	if left = len(orders) > ordersPerTurn; left {
		s.orders = slices.Clone(orders[ordersPerTurn:])
		orders = orders[:ordersPerTurn]
	} else {
		s.orders = nil
		if s.incomingAt == len(s.incoming) {
			s.spare, s.incoming = s.incoming[:0], s.queue
			s.queue, s.incomingAt = s.spare, 0
			if cap(s.queue) > maxSpareQueue {
				s.queue = nil
			}
		}
	}
	left = left || len(s.queue) > 0 // nobody asks for those again
	s.mu.Unlock()
	for i := range orders {
		s.obey(&orders[i])
	}
	return left
}

func (s *shard) obey(o *order) {
	switch o.kind {
	case orderAdd:
		s.add(o.sub, o.old)
	case orderRemove:
		s.remove(o.sub)
	case orderReady:
		if o.sub.live {
			s.start(o.sub)
		}
	case orderLost:
		s.startAgain(o.pattern)
	case orderDo:
		o.do()
	case orderEnd:
		s.endAll()
	}
}

// add begins a subscription, in the place of old if that is not nil.
func (s *shard) add(sub, old *subscription) {
	if old != nil && old.live {
		s.inherit(sub, old)
		sub.follows = true
		if s.remove(old) && !s.hub.cfg.NoLastValues {
			sub.options.NoSnapshot = sub.options.NoSnapshot && len(sub.options.Since) > 0 // what is missing has to be made good
		}
	}
	owner := sub.owner
	if !owner.attached && !owner.ended {
		owner.attached = owner.conn.Attach(owner) == nil
		owner.ended = !owner.attached
	}
	closed := s.hub.closed.Load()
	if closed && !owner.ended && len(owner.live) == 0 { // behind orderEnd, or before: nobody else lets go of it
		owner.conn.Detach(owner)
		owner.ended = true
	}
	if owner.ended || sub.ended || closed {
		s.hub.dropInterest(sub)
		s.leaveIfEnded(owner)
		return
	}
	g, ok := s.patterns.get(sub.pattern)
	if !ok {
		g = &group{pattern: sub.pattern}
		s.patterns.set(sub.pattern, g)
	}
	sub.group, sub.at, sub.live, sub.batch = g, len(g.subs), true, s.batch.number
	g.subs = append(g.subs, sub)
	for _, other := range owner.live {
		if overlaps(sub.pattern, other.pattern) {
			owner.overlapping = true
			s.inherit(sub, other)
		}
	}
	owner.live = append(owner.live, sub)
	s.hub.stats.subscriptions.Add(1)
	switch {
	case sub.options.NoSnapshot && len(sub.options.Since) == 0, s.hub.isReady(sub):
		s.start(sub)
	case sub.fence == nil:
		sub.fence = &fence{all: true}
	default:
		sub.fence.all = true
	}
}

// remove ends a subscription, and says whether it has kept or withheld what it will not
// get any more.
func (s *shard) remove(sub *subscription) (unheard bool) {
	if !sub.live { // it has not begun, and will not, or has ended with its connection
		sub.ended = true
		return false
	}
	s.deliverBefore(sub)
	unheard = sub.fence.isPending() || sub.waiting != nil && sub.waiting.len() > 0
	sub.live, sub.fence, sub.waiting = false, nil, nil
	if sub.timed {
		heap.Remove(&s.timed, sub.timedAt)
		sub.timed = false
	}
	sub.group.remove(sub)
	if len(sub.group.subs) == 0 {
		s.patterns.remove(sub.pattern)
	}
	owner := sub.owner
	owner.live = slices.DeleteFunc(owner.live, func(x *subscription) bool { return x == sub })
	if owner.overlapping {
		s.takeOver(sub, unheard)
	}
	if owner.beginning == sub {
		s.letNextBegin(owner)
	}
	s.hub.stats.subscriptions.Add(-1)
	s.hub.dropInterest(sub)
	return unheard
}

// deliverBefore has the connection of a subscription that ends get what the batch under
// way has for it. What comes by way of that one alone does not, if it was struck.
func (s *shard) deliverBefore(sub *subscription) {
	g, o := sub.group, sub.owner
	if g.active && g.number == s.batch.number && sub.batch != s.batch.number && !o.ended && !s.hub.closed.Load() {
		s.deliverTo(o, sub)
	}
}

// OnWritable implements engine.Companion.
func (o *subscriber) OnWritable(*engine.Conn) {
	s := o.shard
	s.now = s.hub.now()
	for _, sub := range o.live {
		if sub.waiting != nil || sub.fence.isWaiting() {
			s.activate(sub)
		}
	}
	s.goOn()
	s.setTimer()
	s.note.send()
	if s.canGoOn() {
		s.wake()
	}
}
