package pubsub

import (
	"cmp"
	"slices"
)

// fence keeps messages from a subscription that are part of its snapshot. The topics
// of a snapshot are sent one by one, in the order in which they were made; the messages
// of those whose turn has not come are kept away, because the snapshot will hold them.
// So a snapshot can be as slow as the socket, and nothing has to be stored for it. Of
// those that were sent, the messages up to the position that was read are kept away,
// until they are through. Loop-only.
type fence struct {
	all    bool // nothing passes: the broker has to bring something first
	search bool // nor now: the topics of the pattern have to be looked up

	marks  []Mark   // to be sent first: topics of Options.Since that are no more
	topics []*topic // in the order in which they were made; others may use the slice too
	next   int      // the topic whose turn it is
	part   *part    // what is left of it
	lost   string   // topics that match this pattern get a mark that says so; "": none
	again  int      // how often the topic's snapshot has begun again

	tell   bool     // where the topics are that begin with nothing has to be told
	untold []*topic // those of which it still has; others may use the slice too

	passed map[*topic]passage
	opened bool   // all have come
	last   uint64 // then: the fence can go when so many messages of the shard are done
}

// passage is where a topic was when it was read for a snapshot.
type passage struct {
	Position
	pushed uint64 // how many messages the shard had been given
}

// passes says whether a message is not part of the snapshot. A nil fence has none.
func (f *fence) passes(e *event) bool {
	if f == nil {
		return true
	}
	if f.all || f.search || f.withholds(e.topic) {
		return false
	}
	p, ok := f.passed[e.topic]
	return !ok || e.epoch == p.Epoch && e.seq > p.Seq
}

// withholds says whether a topic's snapshot has to come.
func (f *fence) withholds(t *topic) bool {
	rest := f.topics[f.next:]
	if len(rest) == 0 || t.born < rest[0].born || t.born > rest[len(rest)-1].born {
		return false
	}
	_, found := slices.BinarySearchFunc(rest, t, compareTopics)
	return found
}

func compareTopics(a, b *topic) int { return cmp.Compare(a.born, b.born) }

// hold keeps a message that does not pass where its topic is being sent: it comes behind.
func (f *fence) hold(e *event, most int) {
	if f.part != nil && f.part.topic == e.topic {
		f.part.hold(e, most)
	}
}

// isSending says whether a topic's snapshot is under way.
func (f *fence) isSending(t *topic) bool { return f != nil && f.part != nil && f.part.topic == t }

// isPending says whether something has to come before what is published.
func (f *fence) isPending() bool {
	return f != nil && (f.all || f.search || f.part != nil || f.next < len(f.topics) || len(f.marks) > 0)
}

// isWaiting says whether snapshots have to come.
func (f *fence) isWaiting() bool { return f != nil && !f.all && !f.opened }

// maxPassed is how many passages are kept before those are looked for that are over.
const maxPassed = 512

func (f *fence) note(t *topic, p passage, done uint64) {
	if f.passed == nil {
		f.passed = make(map[*topic]passage)
	}
	if len(f.passed) >= maxPassed {
		for old, was := range f.passed {
			if was.pushed <= done {
				delete(f.passed, old)
			}
		}
	}
	f.passed[t] = p
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
