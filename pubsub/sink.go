package pubsub

import (
	"errors"
	"fmt"
)

// sink is a hub as its broker sees it.
type sink Hub

// Next implements Sink.
func (k *sink) Next(p Publication) (Position, error) {
	h := (*Hub)(k)
	if p.Deleted && !h.cfg.NoLastValues && h.topic(p.Topic) == nil {
		return Position{}, checkTopic(p.Topic)
	}
	pos, err := h.take(&p, func(t *topic) error {
		if p.Deleted && !h.cfg.NoLastValues && t.values[p.Key] == nil {
			p.Position = t.pos
			return errKnown
		}
		p.Position = Position{t.pos.Epoch, t.pos.Seq + 1}
		if t.pos.Epoch == 0 {
			p.Position = Position{newEpoch(), 1}
		}
		return nil
	})
	if err == errKnown { //nolint:errorlint // it comes from above
		return p.Position, nil
	}
	return pos, err
}

var (
	errKnown     = errors.New("pubsub: the message says nothing new")
	errForgotten = errors.New("pubsub: the topic was forgotten a moment ago")
)

// Deliver implements Sink.
func (k *sink) Deliver(p Publication) error {
	h, renewed := (*Hub)(k), false
	_, err := h.take(&p, func(t *topic) error {
		if p.Epoch == t.pos.Epoch && p.Seq <= t.pos.Seq {
			return errKnown
		}
		renewed = t.isRenewedBy(p.Epoch)
		return nil
	})
	if renewed && err == nil {
		k.Lost(p.Topic)
	}
	if err == errKnown { //nolint:errorlint // it comes from above
		return nil
	}
	return err
}

// take makes an event of a message, once place has seen to its position, and hands it
// to the loops that want it. An error leaves the topic as it was.
func (h *Hub) take(p *Publication, place func(t *topic) error) (Position, error) {
	if h.closed.Load() {
		return Position{}, ErrHubClosed
	}
	if err := h.check(p); err != nil {
		return Position{}, err
	}
	for {
		t, err := h.makeTopic(p.Topic)
		if err != nil {
			return Position{}, err
		}
		if pos, err := h.takeInto(t, p, place); err != errForgotten { //nolint:errorlint // it comes from there
			return pos, err
		}
	}
}

func (h *Hub) takeInto(t *topic, p *Publication, place func(t *topic) error) (pos Position, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.forgotten {
		return pos, errForgotten
	}
	if !p.Deleted && !t.hasRoomFor(p.Key, &h.cfg) {
		return pos, fmt.Errorf("%w: %d", ErrTooManyKeys, h.cfg.MaxKeys)
	}
	shards := h.interestedIn(t)
	for _, s := range shards {
		if s.backlog.Load() > int64(h.cfg.MaxBacklog) {
			h.stats.busy.Add(1)
			return pos, ErrBusy
		}
	}
	if err := place(t); err != nil {
		return pos, err
	}
	e, err := h.encode(t, p)
	if err != nil {
		return pos, err
	}
	t.remember(e, &h.cfg)
	h.stats.published.Add(1)
	for _, s := range shards {
		s.push(e)
	}
	return p.Position, nil
}

// Restore implements Sink.
func (k *sink) Restore(name string, at Position, values, last []Publication) error {
	h := (*Hub)(k)
	t, err := h.makeTopic(name)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.forgotten || t.pos.Epoch == at.Epoch && t.pos.Seq >= at.Seq {
		return nil
	}
	t.values, t.history, t.cleared = nil, history{}, 0
	refused := errors.Join(h.restoreValues(t, values), h.restoreHistory(t, at, last))
	known := t.pos.Epoch != 0
	t.pos, t.cleared, t.used = at, at.Seq, h.now()
	if known && len(h.interestedIn(t)) > 0 { // who gets the topic has not had all of that
		k.Lost(name)
	}
	return refused
}

// restoreValues takes the values of keys. A key that was deleted has none. The caller
// holds t.mu.
func (h *Hub) restoreValues(t *topic, values []Publication) (refused error) {
	if h.cfg.NoLastValues || len(values) == 0 {
		return nil
	}
	t.values = make(map[string]*event, min(len(values), h.cfg.MaxKeys))
	for i := range values {
		p := &values[i]
		if p.Deleted {
			continue
		}
		e, err := h.restored(t, p)
		if err == nil && !t.hasRoomFor(p.Key, &h.cfg) {
			err = fmt.Errorf("%w: %d", ErrTooManyKeys, h.cfg.MaxKeys)
		}
		if err != nil {
			refused = err
			continue
		}
		t.values[e.key] = e
	}
	return refused
}

// restoreHistory takes the last messages up to a position, those behind the last gap. The
// caller holds t.mu.
func (h *Hub) restoreHistory(t *topic, at Position, last []Publication) (refused error) {
	for i := range last {
		p := &last[i]
		if left := uint64(len(last) - 1 - i); p.Epoch != at.Epoch || p.Seq+left != at.Seq {
			continue
		}
		e, err := h.restored(t, p)
		if err != nil {
			t.history.clear()
			refused = err
			continue
		}
		t.history.add(e, h.cfg.History, h.cfg.HistoryBytes)
	}
	return refused
}

// restored makes the event of a message, or says why Publish would refuse it.
func (h *Hub) restored(t *topic, p *Publication) (*event, error) {
	if err := h.check(p); err != nil {
		return nil, err
	}
	return h.encode(t, p)
}

// Lost implements Sink.
func (k *sink) Lost(pattern string) {
	(*Hub)(k).eachShard(func(s *shard) { s.ask(order{kind: orderLost, pattern: pattern}) })
}
