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

	conns []*echoConn
	turn  int           // the connection that is next
	pacer Pacer         // nil: a message goes when its predecessor has come back
	next  time.Duration // when the next message is due, since the job began
	buf   []byte

	open    atomic.Int32 // len(conns)
	through atomic.Bool  // open loop: everything that was due before the end is sent
	due     atomic.Int64 // send everything that is due until then, in nanoseconds since the job began
}

func (d *echoLane) of() *lane { return d.lane }

// echoConn is one connection. Loop-only.
type echoConn struct {
	lane   *echoLane
	conn   *engine.Conn
	number uint32
	out    outstanding
}

// echoJob sends messages over connections and expects them back.
type echoJob struct {
	content *content
	sizes   Sizes
	began   time.Time
	from    atomic.Int64 // what is due from here on counts; before it is warm-up
	until   atomic.Int64 // nothing more is sent from here on
	depth   int          // closed loop: messages on their way on each connection

	lanes *lanes[*echoLane]
}

func newEchoJob(content *content, sizes Sizes, depth int) *echoJob {
	j := &echoJob{content: content, sizes: sizes, began: time.Now(), depth: depth}
	j.lanes = newLanes(func(l *engine.Loop, number int) *echoLane {
		d := &echoLane{job: j, rng: rand.New(rand.NewPCG(uint64(number), 1))}
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
	d.rec.end(info)
	d.rec.Lost += uint64(e.out.missing())
	e.out = outstanding{}
	d.open.Add(-1)
	d.conns = slices.DeleteFunc(d.conns, func(x *echoConn) bool { return x == e })
}

// run sends what is due.
func (d *echoLane) run() (more bool) {
	if d.pacer == nil {
		d.fill()
		return false
	}
	now := time.Duration(d.due.Load())
	for n := 0; d.next <= now && len(d.conns) > 0; n++ {
		if n == sendsPerTurn {
			return true // what has come back is looked at first
		}
		d.turn++
		e := d.conns[d.turn%len(d.conns)]
		if d.next < time.Duration(d.job.until.Load()) {
			e.send(d.next)
		}
		d.next = d.pacer.Next(d.next)
	}
	if d.next >= time.Duration(d.job.until.Load()) || len(d.conns) == 0 {
		d.through.Store(true)
	}
	return false
}

// sendsPerTurn is how many messages a loop sends before it looks at its sockets.
const sendsPerTurn = 256

// fill begins a closed loop: depth messages on every connection.
func (d *echoLane) fill() {
	for _, e := range d.conns {
		for e.out.waiting() < d.job.depth && e.lane.sends() {
			if !e.send(d.job.now()) {
				break
			}
		}
	}
}

// sends says whether messages are still sent.
func (d *echoLane) sends() bool { return d.job.now() < time.Duration(d.job.until.Load()) }

// send sends one message that was due at a time.
func (e *echoConn) send(due time.Duration) bool {
	d := e.lane
	counts := due >= time.Duration(d.job.from.Load())
	seq, ok := e.out.add(due)
	if ok {
		n := d.job.sizes.of(d.rng)
		d.buf = d.job.content.appendTo(d.buf[:0], e.number, seq, n)
		if ok = e.conn.Reply(d.job.content.op, d.buf) == nil; !ok {
			e.out.next-- // it is not on its way
		}
	}
	if counts {
		if ok {
			d.rec.Sent++
			record(d.rec.lag, d.job.now()-due)
		} else {
			d.rec.NotSent++
		}
	}
	return ok
}

// receive measures a message that has come back.
func (e *echoConn) receive(op engine.Op, p []byte) {
	d, now := e.lane, e.lane.job.now()
	seq, err := d.job.content.know(op, e.number, p)
	if err != nil {
		d.rec.Corrupt++
		return
	}
	at, how := e.out.take(seq)
	switch how {
	case unknown:
		d.rec.Corrupt++
		return
	case duplicate:
		d.rec.Duplicated++
		return
	case late:
		d.rec.Reordered++
	case inOrder:
	}
	if at >= time.Duration(d.job.from.Load()) {
		d.rec.Received++
		d.rec.Bytes += uint64(len(p))
		record(d.rec.latency, now-at)
	}
	if d.pacer == nil && d.sends() {
		e.send(now)
	}
}

// drive keeps the loops sending until it is stopped: with open it wakes them whenever
// messages may be due, else once.
func (j *echoJob) drive(open bool) *driving {
	d := &driving{end: make(chan struct{})}
	d.run.Go(func() {
		t := newTicks(wakeEvery)
		defer t.stop()
		for {
			now := j.now()
			for _, l := range j.lanes.all() {
				l.due.Store(int64(now))
				l.work.Ask()
			}
			if !open {
				return
			}
			select {
			case <-t.C:
			case <-d.end:
				return
			}
		}
	})
	return d
}

// wakeEvery is the grain of sending: what it costs in lateness is part of the lag that
// is measured and told.
const wakeEvery = 250 * time.Microsecond

// driving is a goroutine that goes on until it is stopped.
type driving struct {
	end chan struct{}
	run sync.WaitGroup
}

func (d *driving) stop() {
	close(d.end)
	d.run.Wait()
}
