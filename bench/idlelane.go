package bench

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/headrace/headrace/engine"
)

// idleJob holds connections.
type idleJob struct {
	target *Target
	began  time.Time
	every  time.Duration // from one ping on a connection to the next; 0: none
	until  atomic.Int64  // no pings are sent from here on

	lanes *lanes[*idleLane]
}

func newIdleJob(target *Target, began time.Time, every time.Duration) *idleJob {
	j := &idleJob{target: target, began: began, every: every}
	j.lanes = newLanes(func(l *engine.Loop, _ int) *idleLane {
		d := &idleLane{job: j, ends: make(endings), gaps: newGaps()}
		d.lane = newLane(l, d.run)
		return d
	})
	return j
}

func (j *idleJob) now() time.Duration { return time.Since(j.began) }

// newGaps is for times between pings, which may be minutes.
func newGaps() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(time.Millisecond), int64(20*time.Minute), digits)
}

// idleLane is the connections of one loop. What is not atomic is loop-only; the lane may
// be read when the client is closed.
type idleLane struct {
	*lane
	job *idleJob

	conns []*idleConn
	turn  int // the connection that is asked next

	ends     endings
	messages uint64
	pings    uint64                  // of the server
	gaps     *hdrhistogram.Histogram // between two of them on one connection
	left     spreading               // of those that were there to the end
}

func (d *idleLane) of() *lane { return d.lane }

// spreading makes a Spread.
type spreading struct{ n, sum, least, most uint64 }

func (s *spreading) add(x uint64) {
	if s.n == 0 || x < s.least {
		s.least = x
	}
	s.n, s.sum, s.most = s.n+1, s.sum+x, max(s.most, x)
}

func (s *spreading) merge(more spreading) {
	switch {
	case more.n == 0:
	case s.n == 0:
		*s = more
	default:
		s.n, s.sum = s.n+more.n, s.sum+more.sum
		s.least, s.most = min(s.least, more.least), max(s.most, more.most)
	}
}

func (s *spreading) spread() Spread {
	return Spread{Min: s.least, Mean: float64(s.sum) / float64(max(1, s.n)), Max: s.most}
}

// idleConn is one connection. Loop-only.
type idleConn struct {
	lane     *idleLane
	conn     *engine.Conn
	place    int // in lane.conns
	opened   time.Duration
	pings    uint64        // of the server
	lastPing time.Duration // of the server
	asked    time.Duration // when our ping was due that is not answered; 0: there is none
	number   uint32        // of our last ping
}

// idleHandler is the handler of one connection.
type idleHandler struct {
	job    *idleJob
	number int
}

// OnOpen implements engine.Handler.
func (h idleHandler) OnOpen(c *engine.Conn) {
	d := h.job.lanes.on(c.Loop())
	e := &idleConn{lane: d, conn: c, place: len(d.conns), opened: h.job.now()}
	c.SetUser(e)
	d.conns = append(d.conns, e)
	d.open.Add(1)
}

// OnMessage implements engine.Handler.
func (h idleHandler) OnMessage(c *engine.Conn, _ engine.Op, _ []byte) {
	c.User().(*idleConn).lane.messages++
}

// OnPing implements engine.PingHandler; the engine has answered.
func (h idleHandler) OnPing(c *engine.Conn, _ []byte) {
	e, now := c.User().(*idleConn), h.job.now()
	if e.pings > 0 {
		_ = e.lane.gaps.RecordValue(min(max(int64(now-e.lastPing), int64(time.Millisecond)), int64(20*time.Minute)))
	}
	e.pings++
	e.lane.pings++
	e.lastPing = now
}

// OnPong implements engine.PongHandler. One that we have not asked for is allowed (RFC
// 6455 §5.5.3), and says nothing.
func (h idleHandler) OnPong(c *engine.Conn, p []byte) {
	e := c.User().(*idleConn)
	if e.asked == 0 || len(p) != 4 || binary.BigEndian.Uint32(p) != e.number {
		return
	}
	e.lane.rec.Received++
	record(e.lane.rec.latency, h.job.now()-e.asked)
	e.asked = 0
}

// OnClose implements engine.Handler.
func (h idleHandler) OnClose(c *engine.Conn, info engine.CloseInfo) {
	e, ok := c.User().(*idleConn)
	if !ok {
		return
	}
	d, now := e.lane, h.job.now()
	if errors.Is(info.Err, engine.ErrShutdown) { // our own end
		d.left.add(e.pings)
	} else {
		d.rec.Dropped++
		d.ends.add(h.job.target.ending(h.number, info), now, now-e.opened)
	}
	if e.asked != 0 {
		d.rec.Lost++
	}
	last := len(d.conns) - 1
	d.conns[e.place] = d.conns[last]
	d.conns[e.place].place = e.place
	d.conns = slices.Delete(d.conns, last, last+1)
	d.open.Add(-1)
}

// run sends the pings that are due.
func (d *idleLane) run() (more bool) {
	if p := d.pulse.Load(); p != nil {
		p.each(d.job.now(), time.Duration(d.job.until.Load()), sendsPerTurn, d.askNext)
	}
	return false // the metronome comes again for what is left
}

// askNext asks the connection whose turn it is.
func (d *idleLane) askNext(due time.Duration) {
	if len(d.conns) > 0 { // who has ended is asked nothing
		d.turn++
		d.conns[d.turn%len(d.conns)].ask(due)
	}
}

// behind gives the time of the ping after the one at t: every connection has its turn in
// the interval.
func (d *idleLane) behind(t time.Duration) time.Duration {
	return t + max(1, d.job.every/time.Duration(max(1, d.open.Load())))
}

// ask sends a ping that was due at a time. While one is not answered there is no other.
func (e *idleConn) ask(due time.Duration) {
	rec := e.lane.rec
	if e.asked != 0 {
		rec.NotSent++
		return
	}
	e.number++
	if e.conn.Ping(binary.BigEndian.AppendUint32(nil, e.number)) != nil {
		rec.NotSent++
		return
	}
	e.asked = max(1, due)
	rec.Sent++
	record(rec.lag, e.lane.job.now()-due)
}

// pace has pings be due from a time on, if there are to be any.
func (j *idleJob) pace(from time.Duration) (pulses []*pulse) {
	if j.every == 0 {
		return nil
	}
	for _, d := range j.lanes.all() {
		p := newPulse(d.work.Ask, d.behind, from)
		d.pulse.Store(p)
		pulses = append(pulses, p)
	}
	return pulses
}
