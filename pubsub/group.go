package pubsub

import (
	"slices"

	"github.com/headrace/headrace/engine"
)

// group is the subscriptions of a shard with one pattern.
type group struct {
	pattern string
	subs    []*subscription // those that have left in a batch are nil until its end
	holes   int

	number uint32 // of the batch that the rest is for
	events []*event
	burst  *engine.Burst
	next   int // the next of subs
	end    int // those from here on came after the batch began
	active bool
	noted  notedAt // in latencyNote
}

// remove takes a subscription out of its group. While a batch goes through the group
// nothing moves.
func (g *group) remove(sub *subscription) {
	if g.active {
		g.subs[sub.at] = nil
		g.holes++
		return
	}
	last := len(g.subs) - 1
	g.subs[sub.at] = g.subs[last]
	g.subs[sub.at].at = sub.at
	g.subs[last] = nil
	g.subs = g.subs[:last]
}

// close moves the subscriptions together after a batch.
func (g *group) close() {
	if g.holes == 0 {
		return
	}
	g.subs = slices.DeleteFunc(g.subs, func(sub *subscription) bool { return sub == nil })
	for i, sub := range g.subs {
		sub.at = i
	}
	g.holes = 0
}
