package pubsub

// part is what is left to send of a topic.
type part struct {
	topic  *topic // nil: the mark is all
	mark   Mark
	begun  bool // the mark is sent
	events []*event
	next   int

	// What has come of the topic since it was read, up to a message.
	heldTo    uint64
	conflates bool // in Latest, where the topic keeps its values:
	newest    newest
	held      []*event // else
	bytes     int      // of held
	over      bool     // they would have been too many, and are gone
}

// newPart makes a part of a topic. mark counts its events.
func (s *shard) newPart(sub *subscription, t *topic, mark Mark, events []*event) *part {
	mark.Count = len(events)
	return &part{
		topic: t, mark: mark, events: events, heldTo: mark.Seq,
		conflates: sub.options.Mode == Latest && !s.hub.cfg.NoLastValues,
	}
}

// hold keeps a message that comes while its topic is sent, within so many bytes, or no
// more than the newest of each key.
func (p *part) hold(e *event, most int) {
	if p.over || e.epoch != p.mark.Epoch || e.seq <= p.mark.Seq {
		return
	}
	p.heldTo = e.seq
	if p.conflates {
		p.newest.add(e, 0)
		return
	}
	p.held = append(p.held, e)
	if p.bytes += e.size(); p.bytes > most {
		p.held, p.over = nil, true
	}
}

// meanwhile gives what was held.
func (p *part) meanwhile() []*event {
	if p.conflates {
		return p.newest.events()
	}
	return p.held
}
