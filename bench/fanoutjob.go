package bench

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/engine"
)

// fanJob is what the loops of a Fanout share. The slices are made before the first
// connection; who may touch what they hold stands with it.
type fanJob struct {
	plan    *Fanout
	target  *Target // of all who connect or POST, but for its URL
	content *fanContent
	began   time.Time
	from    atomic.Int64 // what is due from here on counts, in nanoseconds since the job began
	until   atomic.Int64 // nothing more is published from here on

	subscribers []subscriber
	publishers  []publisher
	rooms       []fanRoom

	subscribe, introduce []Template
	publish              Template
	skipped              []byte

	ready   atomic.Int64           // subscribers that were ready, ever
	gone    atomic.Int64           // subscribers that have ended before
	heard   atomic.Pointer[string] // what one got instead of an ack
	refusal atomic.Pointer[string] // how the server has refused first

	lanes *lanes[*fanLane]
	posts *postings // nil where publishers connect
}

// fanRoom is who hears the same publishes.
type fanRoom struct{ ready atomic.Int32 }

func newFanJob(plan *Fanout, began time.Time) *fanJob {
	j := &fanJob{
		plan: plan, target: plan.teller(), content: newFanContent(plan.Sizes.Max), began: began,
		subscribers: make([]subscriber, plan.Subscribers), publishers: make([]publisher, plan.Publishers),
		rooms: make([]fanRoom, plan.Rooms), skipped: []byte(plan.Skipped),
		subscribe: parsed(plan.Subscribe...), introduce: parsed(plan.Introduce...), publish: parsed(plan.Publish)[0],
	}
	streams := make([]fanStream, plan.Subscribers*plan.heard())
	for i := range j.subscribers {
		s := &j.subscribers[i]
		s.number, s.room = i, i%plan.Rooms
		s.streams, streams = streams[:plan.heard():plan.heard()], streams[plan.heard():]
	}
	slots := j.slots()
	for i := range j.publishers {
		p := &j.publishers[i]
		p.number, p.room, p.flight = i, &j.rooms[i%plan.Rooms], newFanFlight(slots)
		p.base.Store(1<<32 - 1)
	}
	j.from.Store(math.MaxInt64) // until it is known
	j.lanes = newLanes(func(l *engine.Loop, number int) *fanLane {
		d := &fanLane{job: j, writer: newFanWriter(j, uint64(number))}
		d.lane = newLane(l, d.run)
		return d
	})
	return j
}

// parsed reads templates that were read before, without an error.
func parsed(texts ...string) []Template {
	all := make([]Template, len(texts))
	for i, text := range texts {
		all[i], _ = ParseTemplate(text)
	}
	return all
}

// slots is how many publishes of one publisher are kept account of at a time: those of
// 10 s and the grace, as far as memory goes.
func (j *fanJob) slots() int {
	p := j.plan
	n := 8 * p.InFlight
	if p.Rate > 0 {
		n = int(p.Rate / float64(p.Publishers) * (10*time.Second + p.Grace).Seconds())
	}
	return min(max(n, 64), 1<<16, max(64, 1<<22/p.Publishers))
}

func (j *fanJob) now() time.Duration { return time.Since(j.began) }

// sends says whether publishes are still sent.
func (j *fanJob) sends() bool { return j.now() < time.Duration(j.until.Load()) }

// counts says whether what was due at a time counts.
func (j *fanJob) counts(due time.Duration) bool { return due >= time.Duration(j.from.Load()) }

// keepFirst keeps the first message of its kind, one to connection i, shortened.
func (j *fanJob) keepFirst(at *atomic.Pointer[string], i int, p []byte) {
	if at.Load() == nil {
		text := j.target.conceal(i, string(bytes.ToValidUTF8(p[:min(len(p), maxTold)], nil)))
		at.CompareAndSwap(nil, &text)
	}
}

// maxTold is how many bytes of a message are told.
const maxTold = 200

// fanLane is what one loop does: it sends what is due on the publishers that are on it,
// one after the other, and measures what its subscribers receive. What is not atomic is
// loop-only.
type fanLane struct {
	*lane
	job    *fanJob
	writer *fanWriter
	pubs   []*publisher
	turn   int // the publisher that is next
}

func (d *fanLane) of() *lane { return d.lane }

// run publishes what is due.
func (d *fanLane) run() (more bool) {
	if p := d.pulse.Load(); p != nil {
		p.each(d.job.now(), time.Duration(d.job.until.Load()), publishesPerTurn, d.sendNext)
	} else {
		d.fill()
	}
	return false // the metronome comes again for what is left
}

// sendNext has the publisher send whose turn it is. What is due while there is none is
// not sent, and counts as that.
func (d *fanLane) sendNext(due time.Duration) {
	switch {
	case len(d.pubs) > 0:
		d.turn++
		d.pubs[d.turn%len(d.pubs)].send(d.rec, d.writer, due)
	case d.job.counts(due):
		d.rec.NotSent++
	}
}

// publishesPerTurn is how many publishes a loop sends before it looks at its sockets.
const publishesPerTurn = 64

// fill has each publisher of a closed loop send as many as may be on their way.
func (d *fanLane) fill() {
	for _, p := range d.pubs {
		if gaveUp := p.tidy(d.job.now() - d.job.plan.Patience); gaveUp > 0 {
			d.rec.fanned().gaveUp += gaveUp
		}
		for d.job.sends() && p.hasTurn(d.job) {
			if !p.send(d.rec, d.writer, d.job.now()) {
				break
			}
		}
	}
}

// leave forgets a publisher.
func (d *fanLane) leave(p *publisher) {
	d.open.Add(-1)
	d.pubs = slices.DeleteFunc(d.pubs, func(x *publisher) bool { return x == p })
}

// fanWriter makes publishes. One goroutine, or loop, at a time.
type fanWriter struct {
	job     *fanJob
	rng     *rand.Rand
	payload []byte
	buf     []byte
}

func newFanWriter(j *fanJob, seed uint64) *fanWriter {
	return &fanWriter{job: j, rng: rand.New(rand.NewPCG(seed, 3))}
}

// write gives a publish, valid until the next.
func (w *fanWriter) write(of published) []byte {
	w.payload = w.job.content.appendTo(w.payload[:0], of, w.job.plan.Sizes.of(w.rng))
	w.buf = w.job.publish.AppendTo(w.buf[:0], int(of.publisher), uint64(of.number), w.payload)
	return w.buf
}
