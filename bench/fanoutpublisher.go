package bench

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/engine"
)

// publisher sends publishes on a connection, or by POST. What is not atomic belongs to
// its loop, or to the goroutine that posts.
type publisher struct {
	number int
	room   *fanRoom
	conn   *engine.Conn // nil: it posts
	lane   *fanLane
	flight *fanFlight
	woken  chan struct{} // of who posts

	next   uint32        // the number of the next publish
	oldest uint32        // closed loop: what is before has reached everybody, or was given up
	sent   atomic.Uint32 // next, for others
	base   atomic.Uint32 // the first number that counts
	begins bool          // base is known
}

// begin notes the next publish, and gives what it says of itself. ok false: nobody
// would hear it.
func (p *publisher) begin(rec *recorder, j *fanJob, due time.Duration) (of published, expected uint32, ok bool) {
	counts := j.counts(due)
	expected = uint32(max(0, p.room.ready.Load()))
	if expected == 0 {
		if counts {
			rec.NotSent++
		}
		return of, 0, false
	}
	if counts && !p.begins {
		p.begins = true
		p.base.Store(p.next)
	}
	p.flight.begin(p.next, expected, due)
	return published{uint32(p.number), p.next, due}, expected, true
}

// end counts the publish that begin has noted as sent, or not.
func (p *publisher) end(rec *recorder, j *fanJob, of published, expected uint32, err error) bool {
	counts := j.counts(of.due)
	if err != nil {
		p.flight.giveUp(of.number)
		if counts {
			rec.NotSent++
		}
		return false
	}
	p.next++
	p.sent.Store(p.next)
	if counts {
		rec.Sent++
		rec.fanned().owed += uint64(expected)
	}
	return true
}

// send sends one publish that was due at a time on the connection. Loop-only.
func (p *publisher) send(rec *recorder, w *fanWriter, due time.Duration) bool {
	j := w.job
	of, expected, ok := p.begin(rec, j, due)
	if !ok {
		return false
	}
	err := p.conn.Reply(j.plan.op(), w.write(of))
	if err == nil && j.counts(due) {
		record(rec.lag, j.now()-due)
	}
	return p.end(rec, j, of, expected, err)
}

// hasTurn says whether a closed loop may send another.
func (p *publisher) hasTurn(j *fanJob) bool {
	return int(p.flight.waiting.Load()) < j.plan.InFlight
}

// tidy gives up the publishes that were sent before a time and have not reached
// everybody: a closed loop would stand still for ever.
func (p *publisher) tidy(before time.Duration) (gaveUp uint64) {
	for ; p.oldest != p.next; p.oldest++ {
		s := p.flight.slot(p.oldest)
		if begun := time.Duration(s.begun.Load()); begun >= before {
			return gaveUp
		}
		if p.flight.giveUp(p.oldest) {
			gaveUp++
		}
	}
	return gaveUp
}

// pubHandler is the handler of a publisher's connection.
type pubHandler struct {
	job    *fanJob
	number int
}

// OnOpen implements engine.Handler.
func (h pubHandler) OnOpen(c *engine.Conn) {
	p, d := &h.job.publishers[h.number], h.job.lanes.on(c.Loop())
	p.conn, p.lane = c, d
	c.SetUser(p)
	d.pubs = append(d.pubs, p)
	d.open.Add(1)
	sayAll(c, h.job, h.job.introduce, h.number)
}

// OnMessage implements engine.Handler. Of what a publisher hears only refusals matter.
func (h pubHandler) OnMessage(c *engine.Conn, _ engine.Op, p []byte) {
	if h.job.plan.Refused.In(p) {
		c.User().(*publisher).lane.rec.fanned().refused++
		h.job.keepFirst(&h.job.refusal, h.number, p)
	}
}

// OnClose implements engine.Handler.
func (h pubHandler) OnClose(c *engine.Conn, info engine.CloseInfo) {
	if p, ok := c.User().(*publisher); ok {
		p.lane.rec.end(h.job.target, h.number, info)
		p.lane.leave(p)
	}
}

// sayAll sends what a connection says when it has opened. Loop-only.
func sayAll(c *engine.Conn, j *fanJob, all []Template, number int) {
	for i := range all {
		_ = c.Reply(j.plan.op(), all[i].AppendTo(nil, number, uint64(i), nil)) // an error means that the connection is at its end
	}
}

// wake has a publisher of a closed loop look whether it may send. Safe from any
// goroutine.
func (p *publisher) wake() {
	if p.lane != nil {
		p.lane.work.Ask()
		return
	}
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// ours says whether a connection has ended because the run has.
func ours(info engine.CloseInfo) bool { return errors.Is(info.Err, engine.ErrShutdown) }
