package pubsub

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/headrace/headrace/engine"
)

// topic is what a hub remembers of a topic: where its messages are, the newest of
// each key, and the last ones for those who come back.
type topic struct {
	// immutable
	name string
	born uint64 // how many topics the hub had made before

	mu        sync.Mutex
	pos       Position          // of the newest message
	values    map[string]*event // the newest of each key, unless it is deleted
	cleared   uint64            // Seq of the last deletion: who was before it may know keys that are gone
	history   history
	used      time.Duration // by the hub's clock, of the newest message
	forgotten bool          // no longer in the hub's index: look again

	interested   []*shard // those with a subscription that matches, as of
	interestedAt uint64   // this state of the hub's interests
}

// event is a message of a topic. It never changes, and is shared by all who get it.
type event struct {
	topic   *topic
	key     string
	seq     uint64
	epoch   uint64
	deleted bool
	fresh   bool          // its key had no value before, as far as the hub knows
	at      time.Duration // by the hub's clock
	message *engine.Message
	payload []byte // a part of message, if it stands there as it is
}

// size is what the event holds, in bytes, roughly.
func (e *event) size() int { return e.message.Size() + len(e.key) + 160 }

// held is what counts against Config.HistoryBytes.
func (e *event) held() int { return len(e.payload) + len(e.key) }

// update is the event as an Encoder sees it.
func (e *event) update(skipped int) Update {
	return Update{
		Topic: e.topic.name, Key: e.key, Position: Position{e.epoch, e.seq},
		Payload: e.payload, Deleted: e.deleted, Skipped: skipped,
	}
}

// newEpoch gives an epoch that no earlier one of this topic is likely to have had.
func newEpoch() uint64 { return 1 + rand.Uint64N(1<<53-1) }

// isRenewedBy says whether an epoch is another one than that of the messages before. The
// caller holds mu.
func (t *topic) isRenewedBy(epoch uint64) bool { return t.pos.Epoch != 0 && epoch != t.pos.Epoch }

// remember makes e the newest message. A new epoch takes the place of all, and nothing is
// recovered across a gap. The caller holds mu.
func (t *topic) remember(e *event, cfg *Config) {
	renewed := t.isRenewedBy(e.epoch)
	if renewed {
		t.values = nil
	}
	if renewed || e.seq != t.pos.Seq+1 {
		t.history.clear()
		t.cleared = e.seq
	}
	t.pos = Position{e.epoch, e.seq}
	t.used = e.at
	t.history.add(e, cfg.History, cfg.HistoryBytes)
	switch {
	case cfg.NoLastValues:
	case e.deleted:
		delete(t.values, e.key)
		t.cleared = e.seq
	default:
		if t.values == nil {
			t.values = make(map[string]*event)
		}
		had := len(t.values)
		t.values[e.key] = e
		e.fresh = len(t.values) > had
	}
}

// position gives where the topic is.
func (t *topic) position() Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pos
}

// hasRoomFor says whether a message with this key may come. The caller holds mu.
func (t *topic) hasRoomFor(key string, cfg *Config) bool {
	return cfg.NoLastValues || len(t.values) < cfg.MaxKeys || t.values[key] != nil
}

// snapshot gives the values of all keys that are newer than seq, oldest first. The
// caller holds mu.
func (t *topic) snapshot(seq uint64) []*event {
	events := make([]*event, 0, len(t.values))
	for _, e := range t.values {
		if e.seq > seq {
			events = append(events, e)
		}
	}
	slices.SortFunc(events, func(a, b *event) int { return int(int64(a.seq - b.seq)) })
	return events
}

// since gives what a subscriber has missed that was at p, or says that this is not
// known any more. With latest, older messages of a key may be left out. The caller
// holds mu.
func (t *topic) since(p Position, latest, values bool) (missed []*event, ok bool) {
	switch {
	case p.Epoch != t.pos.Epoch || p.Seq > t.pos.Seq:
		return nil, false
	case p.Seq == t.pos.Seq:
		return nil, true
	case latest && values && p.Seq >= t.cleared:
		return t.snapshot(p.Seq), true
	}
	return t.history.after(p.Seq)
}

// history is the last messages of a topic, in a ring.
type history struct {
	ring  []*event
	first int // index of the oldest
	count int
	bytes int
}

// add takes a message in, and lets the oldest go beyond so many or so many bytes.
func (h *history) add(e *event, most, mostBytes int) {
	if most == 0 {
		return
	}
	for h.count > 0 && (h.count >= most || h.bytes+e.held() > mostBytes) {
		h.dropOldest()
	}
	if e.held() > mostBytes {
		return
	}
	if h.count == len(h.ring) {
		h.grow(most)
	}
	h.ring[(h.first+h.count)%len(h.ring)] = e
	h.count++
	h.bytes += e.held()
}

func (h *history) dropOldest() {
	h.bytes -= h.ring[h.first].held()
	h.ring[h.first] = nil
	h.first = (h.first + 1) % len(h.ring)
	h.count--
}

// grow doubles the ring: most topics have few messages.
func (h *history) grow(most int) {
	ring := make([]*event, min(max(4, 2*len(h.ring)), most))
	for i := range h.count {
		ring[i] = h.at(i)
	}
	h.ring, h.first = ring, 0
}

func (h *history) at(i int) *event { return h.ring[(h.first+i)%len(h.ring)] }

// after gives the messages behind seq, if none of them is gone.
func (h *history) after(seq uint64) (events []*event, ok bool) {
	if h.count == 0 || h.at(0).seq > seq+1 {
		return nil, false
	}
	for i := int(seq + 1 - h.at(0).seq); i < h.count; i++ {
		events = append(events, h.at(i))
	}
	return events, true
}

func (h *history) clear() { *h = history{} }
