package bench

import "slices"

// mergeScenario adds up what only a scenario has, if all parts have gone through the same.
func (r *Result) mergeScenario(parts []Part) {
	first := parts[0].Result
	if len(first.Phases) == 0 {
		return
	}
	r.Seed = first.Seed
	for _, p := range parts[1:] {
		if !first.isSameScenario(p.Result) {
			r.Seed = 0
			return
		}
		if p.Result.Seed != r.Seed {
			r.Seed = 0
		}
	}
	r.FailIf, r.Disturbed = first.FailIf, &OwnDoing{Ended: map[string]uint64{}}
	for _, p := range first.Phases {
		r.Phases = append(r.Phases, Phase{Name: p.Name, From: p.From, FailIf: p.FailIf, Latency: Histogram{newHistogram()}})
	}
	for _, k := range first.Kinds {
		r.Kinds = append(r.Kinds, Kind{Name: k.Name, Latency: Histogram{newHistogram()}})
	}
	for _, p := range parts {
		for i := range r.Phases {
			r.Phases[i].add(&p.Result.Phases[i])
		}
		for i := range r.Kinds {
			r.Kinds[i].add(&p.Result.Kinds[i])
		}
		if d := p.Result.Disturbed; d != nil {
			r.Disturbed.Counts.add(&d.Counts)
			addReasons(r.Disturbed.Ended, d.Ended)
		}
	}
}

// isSameScenario says whether phases, conditions and kinds of messages are those of
// another result. How many connections and messages there were may differ, and when a
// phase was over: it may have been interrupted.
func (r *Result) isSameScenario(q *Result) bool {
	return slices.Equal(r.FailIf, q.FailIf) &&
		slices.EqualFunc(r.Phases, q.Phases, func(a, b Phase) bool {
			return a.Name == b.Name && a.From == b.From && slices.Equal(a.FailIf, b.FailIf)
		}) &&
		slices.EqualFunc(r.Kinds, q.Kinds, func(a, b Kind) bool { return a.Name == b.Name })
}

// add adds what another load tester has measured in the same phase.
func (p *Phase) add(more *Phase) {
	p.To = max(p.To, more.To)
	p.Asked += more.Asked
	p.Counts.add(&more.Counts)
	p.Latency.merge(more.Latency)
	p.Conns += more.Conns
	p.Opened += more.Opened
	p.Refused += more.Refused
	p.Disturbed += more.Disturbed
	p.Slow += more.Slow
	p.Resets += more.Resets
	p.Reconnects += more.Reconnects
}

// add adds what another load tester has measured of the same kind.
func (k *Kind) add(more *Kind) {
	k.Counts.add(&more.Counts)
	k.Latency.merge(more.Latency)
	k.Disturbed += more.Disturbed
}

// hasConditions says whether the conditions of its scenario are known.
func (r *Result) hasConditions() bool {
	return len(r.FailIf) > 0 || slices.ContainsFunc(r.Phases, func(p Phase) bool { return len(p.FailIf) > 0 })
}
