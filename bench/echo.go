package bench

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/engine"
)

// echoLane is what one loop of the client does: it sends what is due on the loop's
// connections, one after the other, and measures what comes back. What is not atomic is
// loop-only.
type echoLane struct {
	*lane
	job *echoJob
	rng *rand.Rand

	conns  []*echoConn
	turn   int // open loop: the connection that is next
	filled int // closed loop: so many of conns have begun
	buf    []byte

	clock  time.Duration   // the time of this turn; 0: not looked up
	dues   []time.Duration // of the messages of this turn that count, open loop
	settle func()          // endTurn, made once

	// What the loop is to do in its next turn.
	tidy   atomic.Bool // closed loop: look for what was waited for too long
	hangUp atomic.Bool // close all connections, and forget what is on its way
}

// closeAll hangs up. Loop-only.
func (d *echoLane) closeAll() {
	for _, e := range slices.Clone(d.conns) {
		e.ours = true
		_ = e.conn.Close(engine.CloseNormal, "")
	}
}

func (d *echoLane) of() *lane { return d.lane }

// echoConn is one connection. Loop-only.
type echoConn struct {
	lane   *echoLane
	conn   *engine.Conn
	number uint32
	out    outstanding
	ours   bool                // its end is our own will
	late   map[uint32]struct{} // closed loop: what was given up, and may still come; maxOutstanding at most
}

// echoJob sends messages over connections and expects them back.
type echoJob struct {
	target  *Target
	content *content
	sizes   Sizes
	began   time.Time
	from    atomic.Int64  // what is due from here on counts; before it is warm-up
	until   atomic.Int64  // nothing more is sent from here on
	depth   int           // closed loop: messages on their way on each connection
	most    time.Duration // closed loop: how long one is waited for

	lanes *lanes[*echoLane]

	mu   sync.Mutex
	lost []uint32 // connections that have ended, by number
}

func newEchoJob(target *Target, content *content, sizes Sizes, depth int, patience time.Duration) *echoJob {
	j := &echoJob{target: target, content: content, sizes: sizes, began: time.Now(), depth: depth, most: patience}
	j.lanes = newLanes(func(l *engine.Loop, number int) *echoLane {
		d := &echoLane{job: j, rng: rand.New(rand.NewPCG(uint64(number), 1))}
		d.settle = d.endTurn
		d.lane = newLane(l, d.run)
		return d
	})
	return j
}

func (j *echoJob) now() time.Duration { return time.Since(j.began) }

// connHandler makes an echoConn the handler of one dial.
type connHandler struct {
	job    *echoJob
	number uint32
}

// OnOpen implements engine.Handler.
func (h connHandler) OnOpen(c *engine.Conn) {
	d := h.job.lanes.on(c.Loop())
	e := &echoConn{lane: d, conn: c, number: h.number}
	c.SetUser(e)
	d.conns = append(d.conns, e)
	d.open.Add(1)
}

// OnMessage implements engine.Handler.
func (h connHandler) OnMessage(c *engine.Conn, op engine.Op, p []byte) {
	c.User().(*echoConn).receive(op, p)
}

// OnClose implements engine.Handler.
func (h connHandler) OnClose(c *engine.Conn, info engine.CloseInfo) {
	e, ok := c.User().(*echoConn)
	if !ok {
		return
	}
	d := e.lane
	d.rec.gone += uint64(e.out.missing())
	if !e.ours {
		d.rec.end(d.job.target, int(e.number), info)
		d.rec.Lost += uint64(e.out.missingSince(time.Duration(d.job.from.Load())))
	}
	e.out = outstanding{}
	d.job.mu.Lock()
	d.job.lost = append(d.job.lost, e.number)
	d.job.mu.Unlock()
	d.open.Add(-1)
	if i := slices.Index(d.conns, e); i >= 0 {
		d.conns = slices.Delete(d.conns, i, i+1)
		if i < d.filled {
			d.filled--
		}
	}
}

// run begins a closed loop, or sends what is due.
func (d *echoLane) run() (more bool) {
	if d.hangUp.Swap(false) {
		d.closeAll()
	}
	if d.pulse.Load() == nil {
		if d.tidy.Swap(false) {
			d.giveUp()
		}
		return d.fill()
	}
	d.sendDue(sendsPerTurn)
	return false // the metronome comes again for what is left
}

// sendDue sends what is due, so many messages at most.
func (d *echoLane) sendDue(most int) {
	d.pulse.Load().each(d.now(), time.Duration(d.job.until.Load()), most, d.sendNext)
}

// sendNext sends on the connection whose turn it is. What is due while there is none is
// not sent, and counts as that.
func (d *echoLane) sendNext(due time.Duration) {
	switch {
	case len(d.conns) > 0:
		d.turn++
		d.conns[d.turn%len(d.conns)].send(due)
	case d.counts(due):
		d.rec.NotSent++
	}
}

// How many messages a loop sends before it looks at its sockets, and beside a message
// that has come back. The engine writes to as many connections in such a turn.
const (
	sendsPerTurn    = 256
	sendsPerMessage = 8
)

// now is the time of this turn, in which what one read has brought is looked at.
// What came with the same read has the same time, and so has what is sent in answer:
// from then on its latency counts, although it is written a little later.
func (d *echoLane) now() time.Duration {
	if d.clock == 0 {
		d.clock = d.job.now()
		d.loop.AfterWrites(d.settle)
	}
	return d.clock
}

// endTurn is called when what this turn has sent is written: now it is known how late.
func (d *echoLane) endTurn() {
	d.clock = 0
	if len(d.dues) == 0 {
		return
	}
	written := d.job.now()
	for _, due := range d.dues {
		record(d.rec.lag, written-due)
	}
	d.dues = d.dues[:0]
}

// fill begins a closed loop: depth messages on every connection. It does a piece of
// that, because what a turn sends stands in memory until its end.
func (d *echoLane) fill() (more bool) {
	for n := 0; d.filled < len(d.conns); d.filled++ {
		if n >= sendsPerTurn {
			return true
		}
		for e := d.conns[d.filled]; e.out.waiting() < d.job.depth && d.sends(); n++ {
			if !e.send(d.now()) {
				break
			}
		}
	}
	return false
}

// giveUp counts as lost what was waited for too long, and has the loop fill up again. A
// connection whose message is lost would say nothing more.
func (d *echoLane) giveUp() {
	if !d.sends() {
		return // there is the grace
	}
	since := d.now() - d.job.most
	for _, e := range d.conns {
		for seq, at, ok := e.out.oldest(); ok && at < since; seq, at, ok = e.out.oldest() {
			_, _ = e.out.take(seq)
			if e.late == nil || len(e.late) >= maxOutstanding {
				e.late = make(map[uint32]struct{})
			}
			e.late[seq] = struct{}{}
			d.rec.gone++
			if d.counts(at) {
				d.rec.Lost++
				d.rec.gaveUp++
			}
		}
	}
	d.filled = 0
}

// isGivenUp says whether what has come was given up before. It stays lost.
func (e *echoConn) isGivenUp(seq uint32) bool {
	_, is := e.late[seq]
	delete(e.late, seq)
	return is
}

// sends says whether messages are still sent.
func (d *echoLane) sends() bool { return d.now() < time.Duration(d.job.until.Load()) }

// counts says whether what was due at a time does, or else is of the warm-up.
func (d *echoLane) counts(due time.Duration) bool {
	return due >= time.Duration(d.job.from.Load())
}

// send sends one message that was due at a time.
func (e *echoConn) send(due time.Duration) bool {
	d := e.lane
	counts := d.counts(due)
	seq, ok := e.out.add(due)
	if ok {
		n := d.job.sizes.of(d.rng)
		d.buf = d.job.content.appendTo(d.buf[:0], e.number, seq, n)
		if ok = e.conn.Reply(d.job.content.op, d.buf) == nil; !ok {
			e.out.next-- // it is not on its way
		}
	}
	if ok {
		d.rec.begun++
	}
	if counts {
		if ok {
			d.rec.Sent++
			if d.pulse.Load() != nil {
				d.dues = append(d.dues, due)
			}
		} else {
			d.rec.NotSent++
		}
	}
	return ok
}

// receive measures a message that has come back.
func (e *echoConn) receive(op engine.Op, p []byte) {
	d, now := e.lane, e.lane.now()
	at, how := now, unknown // of what is not known the time of receipt counts
	if seq, err := d.job.content.know(op, e.number, p); err == nil {
		if e.isGivenUp(seq) {
			return
		}
		if at, how = e.out.take(seq); how == duplicate || how == unknown {
			at = now
		}
	}
	counts := d.counts(at)
	if counts {
		d.rec.arrived(how)
	}
	if how == unknown || how == duplicate {
		return
	}
	d.rec.back++
	if counts {
		d.rec.Received++
		d.rec.Bytes += uint64(len(p))
		record(d.rec.latency, now-at)
	}
	switch p := d.pulse.Load(); {
	case p == nil && d.sends():
		e.send(now)
	case p != nil && p.next <= now:
		d.sendDue(sendsPerMessage) // as we are awake
	}
}

// start has the loops begin to send. stop ends what wakes them.
func (j *echoJob) start(pulses []*pulse) (stop func()) {
	j.lanes.wake()
	if len(pulses) > 0 {
		return beat(j.began, pulses)
	}
	return repeat(max(j.most/10, time.Millisecond), func() {
		for _, d := range j.lanes.all() {
			d.tidy.Store(true)
			d.work.Ask()
		}
	})
}
