package pubsub

import (
	"slices"
	"sync"
	"time"
)

// interest is a pattern that somebody subscribes to, and on which loops.
// Guarded by Hub.interestMu.
type interest struct {
	count   int // subscriptions
	shards  []share
	ready   bool            // the broker has brought what there is
	waiting []*subscription // those that wait for that
	timeout *time.Timer
}

// share is how many subscriptions a shard has.
type share struct {
	shard *shard
	count int
}

// brokerPatience is how long subscribers wait for what a broker has to bring.
var brokerPatience = 10 * time.Second

// addInterest counts a subscription in.
func (h *Hub) addInterest(sub *subscription) {
	pattern, s := sub.pattern, sub.owner.shard
	h.watchMu.Lock()
	defer h.watchMu.Unlock()
	if h.closed.Load() {
		return
	}
	sub.counted.Store(true)
	if first := h.countIn(pattern, s); first != nil {
		var once sync.Once
		ready := func(error) { once.Do(func() { h.interestReady(first) }) }
		h.broker.Watch(pattern, ready)
		h.interestMu.Lock()
		defer h.interestMu.Unlock()
		if !first.ready {
			first.timeout = time.AfterFunc(brokerPatience, func() { ready(nil) })
		}
	}
}

// countIn gives the interest if it is new.
func (h *Hub) countIn(pattern string, s *shard) (first *interest) {
	h.interestMu.Lock()
	defer h.interestMu.Unlock()
	i, ok := h.interests.get(pattern)
	if !ok {
		i = new(interest)
		first = i
		h.interests.set(pattern, i)
	}
	i.count++
	at := slices.IndexFunc(i.shards, func(x share) bool { return x.shard == s })
	if at < 0 {
		i.shards = append(i.shards, share{s, 1})
		h.interestAt.Add(1)
	} else {
		i.shards[at].count++
	}
	return first
}

// interestReady lets those go on that have waited for the broker.
func (h *Hub) interestReady(i *interest) {
	h.interestMu.Lock()
	waiting := i.waiting
	i.ready, i.waiting = true, nil
	if i.timeout != nil {
		i.timeout.Stop()
	}
	h.interestMu.Unlock()
	for _, sub := range waiting {
		sub.owner.shard.ask(order{kind: orderReady, sub: sub})
	}
}

// isReady says whether the broker has brought what there is for a subscription, which
// is told later otherwise.
func (h *Hub) isReady(sub *subscription) bool {
	h.interestMu.Lock()
	defer h.interestMu.Unlock()
	i, ok := h.interests.get(sub.pattern)
	if !ok || i.ready {
		return true
	}
	i.waiting = append(i.waiting, sub)
	return false
}

// dropInterest counts a subscription out.
func (h *Hub) dropInterest(sub *subscription) {
	h.watchMu.Lock()
	defer h.watchMu.Unlock()
	if sub.counted.Swap(false) && h.countOut(sub) && !h.closed.Load() {
		h.broker.Unwatch(sub.pattern)
	}
}

func (h *Hub) countOut(sub *subscription) (last bool) {
	h.interestMu.Lock()
	defer h.interestMu.Unlock()
	i, ok := h.interests.get(sub.pattern)
	if !ok {
		return false
	}
	i.count--
	i.waiting = slices.DeleteFunc(i.waiting, func(w *subscription) bool { return w == sub })
	at := slices.IndexFunc(i.shards, func(x share) bool { return x.shard == sub.owner.shard })
	if i.shards[at].count--; i.shards[at].count == 0 {
		i.shards = slices.Delete(i.shards, at, at+1)
		h.interestAt.Add(1)
	}
	if i.count == 0 {
		h.interests.remove(sub.pattern)
		if i.timeout != nil {
			i.timeout.Stop()
		}
	}
	return i.count == 0
}

// interestedIn gives the shards that a message of t goes to. The caller holds t.mu.
func (h *Hub) interestedIn(t *topic) []*shard {
	if at := h.interestAt.Load(); t.interestedAt != at {
		h.interestMu.RLock()
		t.interestedAt = h.interestAt.Load()
		clear(t.interested)
		t.interested = t.interested[:0]
		h.interests.match(t.name, func(i *interest) {
			for _, x := range i.shards {
				if !slices.Contains(t.interested, x.shard) {
					t.interested = append(t.interested, x.shard)
				}
			}
		})
		h.interestMu.RUnlock()
	}
	return t.interested
}
