package bench

import (
	"hash/maphash"
	"slices"
	"time"

	"github.com/headrace/headrace/engine"
)

// actor is one connection of a scenario. Loop-only.
type actor struct {
	lane   *actorLane
	conn   *engine.Conn
	number int

	sent  uint64      // messages, of all kinds
	out   outstanding // those that are to be answered
	what  []sentAs    // the same ring, with what they were
	order []uint32    // those whose answers come in order, the oldest first

	// Our own doing.
	ours    bool      // it ends, or has ended, because we want it
	leaves  time.Time // it is closed when all is answered, or then
	slow    *slowReader
	shaken  bool          // it was slow: what was sent before calm is disturbed still
	calm    uint32        // the first message that was sent after
	heals   time.Duration // until then it may still be closed for having been slow
	waiting bool          // for its last answers, before it leaves
}

// sentAs is what is known of a message on its way.
type sentAs struct {
	hash uint64 // of its bytes
	kind uint8
}

// slowReader is how slowly a connection reads.
type slowReader struct {
	rate   float64 // bytes of payload a second; 0: nothing
	credit float64 // bytes that it may read now
	at     time.Duration
	paused bool
}

// isDisturbed says whether what becomes of a message is our own doing.
func (a *actor) isDisturbed(seq uint32) bool {
	return a.ours || a.slow != nil || a.shaken && int32(seq-a.calm) < 0
}

// isHurt says whether the end of the connection is our own doing, and what is lost with it.
func (a *actor) isHurt() bool { return a.ours || a.slow != nil || a.lane.play.now() < a.heals }

// expect notes that a message goes, and gives its number.
func (a *actor) expect(due time.Duration, kind uint8, stamped bool) (seq uint32, ok bool) {
	if seq, ok = a.out.add(due); !ok {
		return 0, false
	}
	if len(a.what) != len(a.out.at) { // it has grown
		grown := make([]sentAs, len(a.out.at))
		for s := a.out.first; s != a.out.next; s++ {
			if len(a.what) > 0 {
				grown[int(s)&(len(grown)-1)] = a.what[int(s)&(len(a.what)-1)]
			}
		}
		a.what = grown
	}
	a.at(seq).kind = kind
	if !stamped {
		a.order = append(a.order, seq)
	}
	return seq, true
}

// unexpect takes the last expect back: the message did not go.
func (a *actor) unexpect(stamped bool) {
	a.out.next--
	if !stamped {
		a.order = a.order[:len(a.order)-1]
	}
}

func (a *actor) at(seq uint32) *sentAs { return &a.what[int(seq)&(len(a.what)-1)] }

// hashSeed is that of all hashes of messages.
var hashSeed = maphash.MakeSeed()

// receive takes in a message.
func (a *actor) receive(op engine.Op, p []byte) {
	d := a.lane
	seq, whose := d.play.stampIn(op, p, uint32(a.number))
	ok := whose == ownStamp
	if whose == noStamp {
		seq, ok = a.nextInOrder()
	}
	if ok {
		a.answer(seq, p)
	} else {
		d.rec.breakdown().unasked++
	}
	if a.slow != nil {
		a.slow.credit -= float64(len(p))
		a.slow.apply(a.conn)
	}
	if a.waiting && a.out.missing() == 0 {
		a.close()
	}
}

// answer takes in the answer to a message.
func (a *actor) answer(seq uint32, p []byte) {
	d := a.lane
	disturbed := a.isDisturbed(seq)
	due, how := a.out.take(seq)
	if how == unknown || how == duplicate {
		t := tally{rec: d.rec}
		t.parts[0] = portionOf(d.rec.breakdown().phases, d.play.line.phase(d.play.now()))
		t.parts[1] = new(portion) // of whatever kind it was
		one := oneCorrupt
		if how == duplicate {
			one = oneDuplicate
		}
		t.lost(disturbed, one)
		return
	}
	d.onWay.Add(-1)
	sent := *a.at(seq)
	m := &d.play.plan.Messages[sent.kind]
	t, took := d.tally(due, sent.kind), d.play.now()-due
	same := m.Expect.kind != expectEcho || maphash.Bytes(hashSeed, p) == sent.hash
	switch {
	case !m.Expect.holds(p, same):
		t.lost(disturbed, oneCorrupt)
	case took > m.Within:
		t.lost(disturbed, oneLost)
		if !disturbed {
			t.slow(took) // a quantile without it would flatter
		}
	default:
		t.answered(took, len(p), disturbed)
		if how == late && d.play.ordered && !disturbed {
			t.count(oneReordered)
		}
	}
	a.settle()
}

// settle ends what is left of a disturbance, when all that was sent before its end has
// come back.
func (a *actor) settle() {
	if a.shaken && int32(a.out.first-a.calm) >= 0 {
		a.shaken = false
	}
}

// nextInOrder gives the oldest message whose answer comes in order. One whose time is
// over is lost, and no longer waited for.
func (a *actor) nextInOrder() (seq uint32, ok bool) {
	d := a.lane
	for len(a.order) > 0 {
		seq = a.order[0]
		a.order = a.order[1:]
		due, sent := a.out.at[int(seq)&(len(a.out.at)-1)], a.at(seq)
		if d.play.now()-due <= d.play.plan.Messages[sent.kind].Within {
			return seq, true
		}
		d.tally(due, sent.kind).lost(a.isDisturbed(seq), oneLost)
		a.out.take(seq)
		d.onWay.Add(-1)
		a.settle()
	}
	a.order = nil
	return 0, false
}

// apply pauses or resumes reading, as the credit has it.
func (s *slowReader) apply(c *engine.Conn) {
	switch empty := s.credit <= 0; {
	case empty && !s.paused:
		s.paused = true
		c.PauseRead()
	case !empty && s.paused:
		s.paused = false
		c.ResumeRead()
	}
}

// earn gives the credit of the time that has passed.
func (s *slowReader) earn(now time.Duration, c *engine.Conn) {
	s.credit = min(s.credit+s.rate*(now-s.at).Seconds(), max(s.rate, 1))
	s.at = now
	s.apply(c)
}

// slowDown makes it a slow reader. rate is in bytes a second; 0: it reads nothing.
func (a *actor) slowDown(rate int) {
	if a.slow == nil && !a.ours {
		a.slow = &slowReader{rate: float64(rate), at: a.lane.play.now()}
		a.slow.apply(a.conn)
		a.lane.careFor(a)
	}
}

// speedUp ends that.
func (a *actor) speedUp() {
	if a.slow == nil {
		return
	}
	if a.slow.paused {
		a.conn.ResumeRead()
	}
	a.slow = nil
	a.shaken, a.calm = true, a.out.next
	a.heals = a.lane.play.now() + healing
	a.settle()
}

// healing is how long after it was slow the end of a connection still counts as ours: a
// server may have decided on it before, and its Close frame may stand behind all that it
// has sent.
const healing = 10 * time.Second

// leave has it close: when all is answered, within a second, or at once.
func (a *actor) leave(atOnce bool) {
	if a.waiting || a.ours {
		return
	}
	a.lane.remove(a)
	if atOnce || a.out.missing() == 0 {
		a.close()
		return
	}
	a.waiting, a.leaves = true, time.Now().Add(leavePatience)
	a.lane.careFor(a)
}

const leavePatience = time.Second

func (a *actor) close() {
	if !a.ours {
		a.ours, a.waiting = true, false
		_ = a.conn.Close(engine.CloseNormal, "")
	}
}

// breakOff resets the connection.
func (a *actor) breakOff() {
	if !a.ours {
		a.ours, a.waiting = true, false
		a.lane.remove(a)
		a.conn.Abort()
	}
}

// gone counts what is lost with the connection.
func (a *actor) gone(info engine.CloseInfo) {
	d := a.lane
	hurt := a.isHurt()
	if !a.ours {
		d.endOf(a.number, info, hurt)
	}
	for seq := a.out.first; seq != a.out.next; seq++ {
		if due := a.out.at[int(seq)&(len(a.out.at)-1)]; due != returned {
			d.tally(due, a.at(seq).kind).lost(hurt || a.isDisturbed(seq), oneLost)
			d.onWay.Add(-1)
		}
	}
	a.out, a.what, a.order = outstanding{}, nil, nil
	d.remove(a)
	d.care = slices.DeleteFunc(d.care, func(x *actor) bool { return x == a })
}
