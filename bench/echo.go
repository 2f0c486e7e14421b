package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/engine"
)

// loopDriver is what one loop of the client does: it sends what is due on the loop's
// connections, one after the other, and measures what comes back. Everything but due
// and hand is loop-only.
type loopDriver struct {
	job  *echoJob
	work *engine.Work
	rng  *rand.Rand

	conns []*echoConn
	turn  int           // the connection that is next
	pacer Pacer         // nil: a message goes when its predecessor has come back
	next  time.Duration // when the next message is due, since the job began
	rec   *recorder
	buf   []byte

	open    atomic.Int32            // len(conns)
	through atomic.Bool             // open loop: everything that was due before the end is sent
	due     atomic.Int64            // send everything that is due until then, in nanoseconds since the job began
	hand    chan (chan<- *recorder) // who wants the recorder
}

// echoConn is one connection. Loop-only.
type echoConn struct {
	driver *loopDriver
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

	mu      sync.Mutex
	drivers map[*engine.Loop]*loopDriver
	order   []*loopDriver
}

func (j *echoJob) now() time.Duration { return time.Since(j.began) }

// driverOf gives the driver of a loop, made with its first connection.
func (j *echoJob) driverOf(l *engine.Loop) *loopDriver {
	j.mu.Lock()
	defer j.mu.Unlock()
	d := j.drivers[l]
	if d == nil {
		d = &loopDriver{job: j, rec: newRecorder(), rng: rand.New(rand.NewPCG(uint64(len(j.order)), 1)), hand: make(chan chan<- *recorder, 4)}
		d.work = l.NewWork(d.run)
		j.drivers[l] = d
		j.order = append(j.order, d)
	}
	return d
}

// connHandler makes an echoConn the handler of one dial.
type connHandler struct {
	job    *echoJob
	number uint32
}

// OnOpen implements engine.Handler.
func (h connHandler) OnOpen(c *engine.Conn) {
	d := h.job.driverOf(c.Loop())
	e := &echoConn{driver: d, conn: c, number: h.number}
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
	d := e.driver
	if !errors.Is(info.Err, engine.ErrShutdown) { // that is our own end
		d.rec.Dropped++
		d.rec.reasons[ending(info)]++
	}
	d.rec.Lost += uint64(e.out.missing())
	e.out = outstanding{}
	d.open.Add(-1)
	d.conns = slices.DeleteFunc(d.conns, func(x *echoConn) bool { return x == e })
}

// ending says in a few words how a connection ended.
func ending(info engine.CloseInfo) string {
	if info.Code == engine.CloseAbnormal && info.Err != nil {
		return info.Err.Error()
	}
	return fmt.Sprintf("closed with %d %s", info.Code, info.Reason)
}

// run sends what is due, and hands the recorder over to who wants it.
func (d *loopDriver) run() (more bool) {
	for {
		select {
		case to := <-d.hand:
			to <- d.rec
			d.rec = newRecorder()
			continue
		default:
		}
		break
	}
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
func (d *loopDriver) fill() {
	for _, e := range d.conns {
		for e.out.waiting() < d.job.depth && e.driver.sends() {
			if !e.send(d.job.now()) {
				break
			}
		}
	}
}

// sends says whether messages are still sent.
func (d *loopDriver) sends() bool { return d.job.now() < time.Duration(d.job.until.Load()) }

// send sends one message that was due at a time.
func (e *echoConn) send(due time.Duration) bool {
	d := e.driver
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
	d, now := e.driver, e.driver.job.now()
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

// takeRecorders collects what all loops have measured since the last call.
func (j *echoJob) takeRecorders() *recorder {
	j.mu.Lock()
	drivers := slices.Clone(j.order)
	j.mu.Unlock()
	answers := make(chan *recorder, len(drivers))
	asked := 0
	for _, d := range drivers {
		select {
		case d.hand <- answers:
			asked++
			d.work.Ask()
		default: // the loop is far behind; its figures come with the next
		}
	}
	sum := newRecorder()
	timeout := time.After(loopPatience)
	for range asked {
		select {
		case r := <-answers:
			sum.add(r)
		case <-timeout:
			return sum
		}
	}
	return sum
}

const loopPatience = 5 * time.Second

// drive keeps the loops sending until stop is closed: with open it wakes them whenever
// messages may be due, else once.
func (j *echoJob) drive(open bool, stop <-chan struct{}) {
	t := time.NewTicker(wakeEvery)
	defer t.Stop()
	for {
		now := j.now()
		for _, d := range j.order {
			d.due.Store(int64(now))
			d.work.Ask()
		}
		if !open {
			<-stop
			return
		}
		select {
		case <-t.C:
		case <-stop:
			return
		}
	}
}

// wakeEvery is the grain of sending: what it costs in lateness is part of the lag that
// is measured and told.
const wakeEvery = 250 * time.Microsecond
