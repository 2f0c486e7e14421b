package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/headrace/headrace/engine"
)

// stormJob is what the connections of a storm have in common.
type stormJob struct {
	plan    *Storm
	began   time.Time
	content *content

	places atomic.Int64 // connections that are open or in their handshake
	open   atomic.Int64
	most   atomic.Int64 // of open, ever

	lanes *lanes[*stormLane]
}

func newStormJob(plan *Storm, began time.Time) *stormJob {
	j := &stormJob{plan: plan, began: began, content: newContent(plan.op(), plan.Sizes.Max)}
	j.lanes = newLanes(func(l *engine.Loop, number int) *stormLane {
		d := &stormLane{rng: rand.New(rand.NewPCG(uint64(number), 3)), closing: newHistogram()}
		d.lane = newLane(l, nil)
		return d
	})
	return j
}

func (j *stormJob) now() time.Duration { return time.Since(j.began) }

// takePlace says whether one more connection may be begun. Safe from any goroutine.
func (j *stormJob) takePlace() bool {
	if j.places.Add(1) > int64(j.plan.MaxOpen) {
		j.places.Add(-1)
		return false
	}
	return true
}

// stormLane is the connections of one loop. Loop-only; it may be read when the client is
// closed.
type stormLane struct {
	*lane
	rng *rand.Rand
	buf []byte

	// How connections that count have ended, but for those that were dropped.
	closed, unclean, left uint64
	closing               *hdrhistogram.Histogram
}

func (d *stormLane) of() *lane { return d.lane }

// end counts an end that was not to be.
func (d *stormLane) end(why string) {
	if _, known := d.rec.reasons[why]; !known && len(d.rec.reasons) >= maxReasons {
		why = otherReasons
	}
	d.rec.reasons[why]++
}

// stormConn is one connection, and its own handler. What is not said to be else is
// loop-only.
type stormConn struct {
	job    *stormJob
	number uint32
	counts bool          // immutable: it was due in the part that counts
	done   chan struct{} // closed at its end

	lane   *stormLane
	conn   *engine.Conn
	sent   time.Duration // when its message was; 0: none is on its way
	timer  *time.Timer   // that will close it
	closes atomic.Int64  // when we have closed it, since the job began; any goroutine
}

// OnOpen implements engine.Handler.
func (e *stormConn) OnOpen(c *engine.Conn) {
	e.conn, e.lane = c, e.job.lanes.on(c.Loop())
	open := e.job.open.Add(1)
	for most := e.job.most.Load(); open > most && !e.job.most.CompareAndSwap(most, open); most = e.job.most.Load() {
	}
	if !e.job.plan.Churn {
		e.stay()
		return
	}
	d := e.lane
	d.buf = e.job.content.appendTo(d.buf[:0], e.number, 0, e.job.plan.Sizes.of(d.rng))
	if c.Reply(e.job.content.op, d.buf) != nil {
		if e.counts {
			d.rec.NotSent++
		}
		return
	}
	e.sent = max(1, e.job.now())
	if e.counts {
		d.rec.Sent++
	}
}

// OnMessage implements engine.Handler.
func (e *stormConn) OnMessage(_ *engine.Conn, op engine.Op, p []byte) {
	if e.sent == 0 { // it says more than it was asked
		return
	}
	d, took := e.lane, e.job.now()-e.sent
	e.sent = 0
	_, err := e.job.content.know(op, e.number, p)
	switch {
	case !e.counts:
	case err != nil:
		d.rec.Corrupt++
	default:
		d.rec.Received++
		d.rec.Bytes += uint64(len(p))
		record(d.rec.latency, took)
	}
	e.stay()
}

// stay keeps the connection open as long as it should be.
func (e *stormConn) stay() {
	switch p := e.job.plan; {
	case p.Hold > 0:
		e.timer = time.AfterFunc(p.Hold, e.leave)
	case p.Churn:
		e.leave()
	}
}

// leave begins the closing handshake. Safe from any goroutine.
func (e *stormConn) leave() {
	e.closes.Store(int64(e.job.now()))
	_ = e.conn.Close(engine.CloseNormal, "")
}

// OnClose implements engine.Handler.
func (e *stormConn) OnClose(_ *engine.Conn, info engine.CloseInfo) {
	e.job.open.Add(-1)
	e.job.places.Add(-1)
	if e.timer != nil {
		e.timer.Stop()
	}
	close(e.done)
	if e.counts {
		e.count(info)
	}
}

// count counts the end of a connection.
func (e *stormConn) count(info engine.CloseInfo) {
	d := e.lane
	if e.sent != 0 {
		d.rec.Lost++
	}
	ours := info.Initiator == engine.Local && info.Code == engine.CloseNormal
	switch {
	case errors.Is(info.Err, engine.ErrShutdown):
		d.left++
	case ours && info.Clean && info.Err == nil:
		d.closed++
		record(d.closing, e.job.now()-time.Duration(e.closes.Load()))
	case ours:
		d.unclean++
		d.end("closed by us with 1000, and then: " + e.job.plan.conceal(int(e.number), fmt.Sprint(info.Err)))
	default:
		d.rec.Dropped++
		d.end(e.job.plan.ending(int(e.number), info))
	}
}
