package bench

import (
	"bytes"
	"time"

	"github.com/headrace/headrace/engine"
)

// subscriber is one that hears the publishes of its room. It belongs to its loop, and to
// the run when the loops have ended.
type subscriber struct {
	number  int
	room    int
	lane    *fanLane
	streams []fanStream // of the publishers room, room+rooms, room+2*rooms, …

	awaits  int // acks that have not come; -1: it is ready
	ended   bool
	spread  spread // of its latencies
	slowest time.Duration

	received  uint64
	conflated uint64 // publishes that the server says to have left out for it
	holes     uint64 // known when it has ended: numbers that it lacks before the last that came,
	tail      uint64 // and behind it
}

// subHandler is the handler of a subscriber's connection.
type subHandler struct {
	job    *fanJob
	number int
}

// OnOpen implements engine.Handler.
func (h subHandler) OnOpen(c *engine.Conn) {
	s := &h.job.subscribers[h.number]
	s.lane = h.job.lanes.on(c.Loop())
	c.SetUser(s)
	if h.job.plan.Ack.text != "" {
		s.awaits = len(h.job.subscribe)
	}
	sayAll(c, h.job, h.job.subscribe, h.number)
	s.becomesReady()
}

// becomesReady counts a subscriber whose acks have all come.
func (s *subscriber) becomesReady() {
	if s.awaits == 0 {
		s.awaits = -1
		s.lane.job.rooms[s.room].ready.Add(1)
		s.lane.job.ready.Add(1)
	}
}

// OnMessage implements engine.Handler.
func (h subHandler) OnMessage(c *engine.Conn, _ engine.Op, p []byte) {
	s := c.User().(*subscriber)
	now := h.job.now()
	found := s.receive(p, now)
	switch j := h.job; {
	case found:
	case s.awaits > 0 && j.plan.Ack.In(p):
		s.awaits--
		s.becomesReady()
	case s.awaits > 0:
		if j.plan.Refused.In(p) {
			j.keepFirst(&j.refusal, h.number, p)
		}
		j.keepFirst(&j.heard, h.number, p)
	default:
		s.lane.rec.fanned().other++
	}
}

// receive measures the publishes in a message.
func (s *subscriber) receive(p []byte, now time.Duration) (found bool) {
	d, size := s.lane, len(p)
	for {
		of, behind, another, intact := d.job.content.next(p)
		switch {
		case !another:
			return found
		case !intact:
			d.rec.Corrupt++
		default:
			s.countSkipped(p[:len(p)-len(behind)], of)
			s.deliver(of, now, size)
			size = 0 // the message counts with the first
		}
		found, p = true, behind
	}
}

// countSkipped looks for how many older publishes one that has come stands for as well.
// Loop-only.
func (s *subscriber) countSkipped(p []byte, of published) {
	j := s.lane.job
	if len(j.skipped) == 0 || !j.counts(of.due) {
		return
	}
	n := numberBehind(p, j.skipped)
	if n == 0 {
		return
	}
	if s.received == 0 {
		n = min(n, s.countedBefore(of)) // the others are of the warm-up
	}
	s.conflated += n
	s.lane.rec.fanned().conflated += n
}

// countedBefore is how many publishes that count the room may have had before one.
func (s *subscriber) countedBefore(of published) (n uint64) {
	j := s.lane.job
	for i := s.room; i < len(j.publishers); i += len(j.rooms) {
		p, end := &j.publishers[i], of.number
		if i != int(of.publisher) {
			end = p.sent.Load()
		}
		n += uint64(end - min(p.base.Load(), end))
	}
	return n
}

// numberBehind reads the number that stands behind a text, 0 if there is none.
func numberBehind(p, text []byte) (n uint64) {
	at := bytes.Index(p, text)
	if at < 0 {
		return 0
	}
	for _, c := range bytes.TrimLeft(p[at+len(text):], " ") {
		if c < '0' || c > '9' || n > 1<<40 {
			break
		}
		n = 10*n + uint64(c-'0')
	}
	return n
}

// deliver counts one publish that has come as it was sent.
func (s *subscriber) deliver(of published, now time.Duration, size int) {
	d, j := s.lane, s.lane.job
	rec := d.rec
	if int(of.publisher) >= len(j.publishers) || int(of.publisher)%len(j.rooms) != s.room {
		rec.Corrupt++
		rec.fanned().strayed++
		return
	}
	counts := j.counts(of.due)
	how := s.streams[int(of.publisher)/len(j.rooms)].take(of.number, counts)
	if how == duplicate {
		if counts {
			rec.Duplicated++
		}
		return
	}
	p := &j.publishers[of.publisher]
	at := p.flight.arrive(of.number, now)
	last := at.rank > 0 && at.rank == at.expected
	if last && j.plan.InFlight > 0 {
		p.wake()
	}
	if !counts {
		return
	}
	if how == late {
		rec.Reordered++
	}
	latency := now - of.due
	rec.Received++
	rec.Bytes += uint64(size)
	record(rec.latency, latency)
	s.received++
	s.spread.add(latency)
	s.slowest = max(s.slowest, latency)
	fan := rec.fanned()
	if at.rank == 1 {
		record(fan.first, latency)
	}
	if at.rank > 0 && at.rank == (at.expected+1)/2 {
		record(fan.median, latency)
	}
	if last {
		fan.complete++
		record(fan.last, latency)
		record(fan.skew, now-at.first)
	}
}

// OnClose implements engine.Handler.
func (h subHandler) OnClose(c *engine.Conn, info engine.CloseInfo) {
	s, ok := c.User().(*subscriber)
	if !ok || ours(info) {
		return
	}
	j, rec := h.job, s.lane.rec
	rec.end(j.target, h.number, info)
	if s.awaits >= 0 {
		j.gone.Add(1)
	} else {
		j.rooms[s.room].ready.Add(-1)
	}
	s.reckon(j)
	s.ended = true
	gaps, tail := s.unexplained()
	rec.fanned().gaps += gaps
	rec.fanned().cutOff += tail
	rec.Lost += gaps + tail
}

// reckon finds what is missing by now.
func (s *subscriber) reckon(j *fanJob) {
	if s.awaits >= 0 {
		return // it was never ready
	}
	for i := range s.streams {
		number := s.room + i*len(j.rooms)
		if number >= len(j.publishers) {
			break
		}
		end := j.publishers[number].sent.Load()
		holes, tail := s.streams[i].missing(min(j.publishers[number].base.Load(), end), end)
		s.holes += uint64(holes)
		s.tail += uint64(tail)
	}
}

// unexplained is what is missing although the server has not said so. A tail may be
// explained too: by what another publisher of the room has published later.
func (s *subscriber) unexplained() (gaps, tail uint64) {
	said := min(s.holes, s.conflated)
	return s.holes - said, s.tail - min(s.tail, s.conflated-said)
}
