package bench

import (
	"errors"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/headrace/headrace/engine"
)

// breakdown is what a scenario tells apart of what a loop has measured. The whole is
// in the recorder beside it. Loop-only.
type breakdown struct {
	phases   map[int]*portion // by when a message was due, or a connection ended
	messages map[int]*portion // by kind
	unasked  uint64           // messages that answer none of ours

	// What came of our own doing: slow readers, resets, reconnects.
	disturbed Counts
	ended     map[string]uint64
}

// portion is the figures of one phase, or of one kind of message.
type portion struct {
	Counts
	disturbed uint64 // messages whose loss is our own doing
	latency   *hdrhistogram.Histogram
}

func newBreakdown() *breakdown {
	return &breakdown{phases: make(map[int]*portion), messages: make(map[int]*portion), ended: make(map[string]uint64)}
}

// portionOf gives one, made when it is first needed: a histogram has some 200 KB.
func portionOf(all map[int]*portion, i int) *portion {
	p := all[i]
	if p == nil {
		p = &portion{latency: newHistogram()}
		all[i] = p
	}
	return p
}

func (b *breakdown) add(more *breakdown) {
	for _, both := range []struct{ to, from map[int]*portion }{{b.phases, more.phases}, {b.messages, more.messages}} {
		for i, p := range both.from {
			to := portionOf(both.to, i)
			to.Counts.add(&p.Counts)
			to.disturbed += p.disturbed
			to.latency.Merge(p.latency)
		}
	}
	b.unasked += more.unasked
	b.disturbed.add(&more.disturbed)
	for why, n := range more.ended {
		b.ended[why] += n
	}
}

// tally is where an event of the scenario is counted: in the whole, its phase, and its
// kind of message.
type tally struct {
	rec   *recorder
	parts [2]*portion
}

// tally gives that of a message.
func (d *actorLane) tally(due time.Duration, kind uint8) tally {
	b := d.rec.breakdown()
	return tally{d.rec, [2]*portion{
		portionOf(b.phases, d.play.line.phase(due)), portionOf(b.messages, int(kind)),
	}}
}

// count counts something everywhere.
func (t tally) count(one func(*Counts)) {
	one(&t.rec.Counts)
	for _, p := range t.parts {
		one(&p.Counts)
	}
}

// answered counts an answer that is right and in time.
func (t tally) answered(took time.Duration, n int, disturbed bool) {
	t.count(func(c *Counts) { c.Received++; c.Bytes += uint64(n) })
	if disturbed {
		t.rec.parts.disturbed.Received++
		return
	}
	t.slow(took)
}

// slow records a latency.
func (t tally) slow(took time.Duration) {
	record(t.rec.latency, took)
	for _, p := range t.parts {
		record(p.latency, took)
	}
}

// lost counts a message that did not come back, did not in time, or was not sent.
func (t tally) lost(disturbed bool, one func(*Counts)) {
	if !disturbed {
		t.count(one)
		return
	}
	one(&t.rec.parts.disturbed)
	for _, p := range t.parts {
		p.disturbed++
	}
}

func oneLost(c *Counts)        { c.Lost++ }
func oneCorrupt(c *Counts)     { c.Corrupt++ }
func oneDuplicate(c *Counts)   { c.Duplicated++ }
func oneReordered(c *Counts)   { c.Reordered++ }
func oneUnsent(c *Counts)      { c.NotSent++ }
func oneConnEnded(c *Counts)   { c.Dropped++ }
func oneMessageSent(c *Counts) { c.Sent++ }

// endOf counts the end of connection i that we have not wanted.
func (d *actorLane) endOf(i int, info engine.CloseInfo, disturbed bool) {
	if errors.Is(info.Err, engine.ErrShutdown) {
		return
	}
	b := d.rec.breakdown()
	if disturbed {
		b.disturbed.Dropped++
		b.ended[d.play.plan.ending(i, info)]++
		return
	}
	d.rec.end(&d.play.plan.Target, i, info)
	oneConnEnded(&portionOf(b.phases, d.play.line.phase(d.play.now())).Counts)
}
