package bench

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/engine"
)

// play is a scenario under way, as its loops and goroutines see it. Times are since
// origin, when the first phase begins.
type play struct {
	// immutable
	plan    *Scenario
	line    *timeline
	stamps  stamps
	text    *content // the random bytes of messages of some size
	binary  *content
	inTexts bool          // stamps come back in texts
	inBytes bool          // and in random bytes
	ordered bool          // all answers are echoes, and come in the order of the messages
	longest time.Duration // that anything may take to come back
	lanes   *lanes[*actorLane]
	crowd   *crowd

	made   time.Time
	begins atomic.Int64 // the origin, in nanoseconds since made; notYet until it is known
}

// The streams of chance that a seed gives. Each is used by one goroutine.
const (
	chanceStamps = iota
	chanceArrivals
	chanceKinds
	chanceBackoff
	chanceStages // and behind it one for each phase
)

func (p *Scenario) chance(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(p.Seed, stream)) }

func newPlay(plan *Scenario) *play {
	p := &play{plan: plan, line: newTimeline(plan.Phases), made: time.Now(), ordered: true}
	p.begins.Store(notYet)
	p.stamps = newStamps(plan.chance(chanceStamps))
	longest := 0
	for i := range plan.Messages {
		m := &plan.Messages[i]
		if m.Sizes != nil {
			longest = max(longest, m.Sizes.Max)
		}
		if m.Expect.kind != expectNothing {
			p.longest = max(p.longest, m.Within)
		}
		p.inTexts = p.inTexts || m.op() == engine.Text && (m.Sizes != nil || m.Template.HasStamp())
		p.inBytes = p.inBytes || m.op() == engine.Binary && m.isStamped()
		p.ordered = p.ordered && m.Expect.kind == expectEcho
	}
	p.text, p.binary = newContent(engine.Text, longest), newContent(engine.Binary, longest)
	p.lanes = newLanes(func(l *engine.Loop, number int) *actorLane {
		d := &actorLane{play: p, rng: rand.New(rand.NewPCG(uint64(number), 1))}
		d.lane = newLane(l, d.run)
		return d
	})
	return p
}

// notYet has all that happens while connections are opened be before the first phase.
const notYet = int64(365 * 24 * time.Hour)

func (p *play) now() time.Duration { return time.Since(p.made) - time.Duration(p.begins.Load()) }

func (p *play) origin() time.Time { return p.made.Add(time.Duration(p.begins.Load())) }

// appendMessage appends a message of some kind, with a stamp of conn and seq.
func (p *play) appendMessage(dst []byte, kind uint8, conn, seq uint32, a *actor) []byte {
	m := &p.plan.Messages[kind]
	if m.Sizes == nil {
		var stamp [textStamp]byte
		return m.Template.AppendTo(dst, a.number, a.sent, p.stamps.appendText(stamp[:0], conn, seq))
	}
	n := m.Sizes.of(a.lane.rng) - m.least()
	if m.Text {
		return append(p.stamps.appendText(dst, conn, seq), p.text.stretch(conn, seq, n)...)
	}
	dst = binary.BigEndian.AppendUint32(dst, conn)
	dst = binary.BigEndian.AppendUint32(dst, seq)
	return append(dst, p.binary.stretch(conn, seq, n)...)
}

// stampIn looks for the stamp of a connection in a message that it has got.
func (p *play) stampIn(op engine.Op, b []byte, conn uint32) (seq uint32, whose whoseStamp) {
	switch {
	case op == engine.Text && p.inTexts:
		return p.stamps.find(b, conn)
	case op == engine.Binary && p.inBytes && len(b) >= stampSize && binary.BigEndian.Uint32(b) == conn:
		return binary.BigEndian.Uint32(b[4:]), ownStamp
	}
	return 0, noStamp
}

// sender gives the loops what is due.
type sender struct {
	play   *play
	pulse  *pulse
	kinds  *rand.Rand
	upTo   []float64 // of the weights, added up
	until  time.Duration
	parts  map[*actorLane][]dueMessage // of the messages that are due now
	credit map[*actorLane]int
}

func newSender(p *play) *sender {
	s := &sender{play: p, kinds: p.plan.chance(chanceKinds), until: p.line.end()}
	s.parts, s.credit = make(map[*actorLane][]dueMessage), make(map[*actorLane]int)
	random := p.plan.chance(chanceArrivals)
	if !p.plan.Random {
		random = nil
	}
	a := newArrivals(p.line, random)
	step := func(time.Duration) time.Duration { return a.next() }
	s.pulse = newPulse(func() { s.send(p.now()) }, step, a.next())
	sum := 0.0
	for i := range p.plan.Messages {
		sum += p.plan.Messages[i].Weight
		s.upTo = append(s.upTo, sum)
	}
	return s
}

// kind takes one kind of message by chance.
func (s *sender) kind() uint8 {
	at, _ := slices.BinarySearch(s.upTo, s.kinds.Float64()*s.upTo[len(s.upTo)-1])
	return uint8(min(at, len(s.upTo)-1))
}

// send gives out what is due until now, each loop its part by the connections that it
// has.
func (s *sender) send(now time.Duration) {
	lanes := s.play.lanes.all()
	s.pulse.each(now, s.until, math.MaxInt, func(due time.Duration) {
		m := dueMessage{due, s.kind()}
		if to := s.next(lanes); to != nil {
			s.parts[to] = append(s.parts[to], m)
		} else {
			s.play.crowd.notSent(m, s.play.crowd.isOurDoing())
		}
	})
	for to, part := range s.parts {
		if len(part) == 0 {
			continue
		}
		for _, m := range to.give(part) {
			s.play.crowd.notSent(m, false) // the loop is far behind
		}
		s.parts[to] = part[:0]
		to.work.Ask()
	}
}

// next gives the lane whose turn it is (smooth weighted round robin), nil without any
// connection.
func (s *sender) next(lanes []*actorLane) (best *actorLane) {
	all := 0
	for _, d := range lanes {
		open := int(d.open.Load())
		if open == 0 {
			s.credit[d] = 0
			continue
		}
		all += open
		s.credit[d] += open
		if best == nil || s.credit[d] > s.credit[best] {
			best = d
		}
	}
	if best != nil {
		s.credit[best] -= all
	}
	return best
}
