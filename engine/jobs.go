package engine

import (
	"sync"
	"sync/atomic"

	"github.com/valyala/bytebufferpool"
)

// jobs are the callbacks of a connection that its endpoint's workers have not run,
// in order. The loop adds to them, one worker at a time takes from them. While
// too many wait, the connection is not read from (pause.go). While more than
// HighWater waits for the peer, or PauseRead holds, none are taken, so that what
// is heard on a worker obeys the same limits as what is heard on the loop.
//
// Size budget: 64 bytes, because each connection of such an endpoint has one.
type jobs struct {
	// immutable
	conn *Conn

	// guarded by workers.mu
	next *jobs // behind these in the pool's list

	// any goroutine
	rtt atomic.Uint32 // Conn.rtt, which is loop-only

	mu          sync.Mutex // held for a few instructions, and no other lock with it
	listed      bool       // they stand in the pool's list, or a worker is at them
	behind      bool       // reading was paused for them
	drained     bool       // OnDrain is due; it overtakes messages that PauseRead holds
	held        bool       // PauseRead
	deaf        bool       // Close: messages are no longer delivered
	count       int32      // how many they are
	bytes       int        // in the buffers of their payloads
	first, last *job
}

// job is one callback.
type job struct {
	kind    jobKind
	op      Op                         // of a message
	payload *bytebufferpool.ByteBuffer // a copy; nil: there is none
	next    *job
}

// size is what the payload takes: a buffer from the pool has a past, and may be far
// larger than what is in it.
func (q *job) size() int {
	if q.payload == nil {
		return 0
	}
	return cap(q.payload.B)
}

// jobKind says which callback.
type jobKind uint8

const (
	jobNone jobKind = iota
	jobMessage
	jobPing
	jobPong
	jobDrain
	jobClose
)

// String gives the callback's name.
func (k jobKind) String() string {
	return [...]string{"", "OnMessage", "OnPing", "OnPong", "OnDrain", "OnClose"}[k]
}

const (
	maxJobs     = 256       // a connection with more of them is paused until a quarter is left
	maxJobBytes = 256 << 10 // the same for the payloads' buffers; one message, of whatever length, is always taken
	jobsPerTurn = 16        // after so many a worker turns to another connection
)

var jobPool = sync.Pool{New: func() any { return new(job) }}

// jobs gives what the connection has for its endpoint's workers: nil without
// Endpoint.Workers, and until OnOpen has returned. Safe from any goroutine.
func (c *Conn) jobs() *jobs {
	if x := c.more.Load(); x != nil {
		return x.jobs.Load()
	}
	return nil
}

// startJobs has all callbacks but OnFull run on workers from now on.
func (c *Conn) startJobs() {
	if w := c.id.workers; w != nil {
		w.opened()
		c.extra().jobs.Store(&jobs{conn: c})
	}
}

// hand leaves a callback to the workers, if they run this connection's, and says
// so. It does not retain p. Loop-only.
func (c *Conn) hand(kind jobKind, op Op, p []byte) bool {
	j := c.jobs()
	switch {
	case j == nil:
		return false
	case kind == jobDrain:
		j.queueDrain()
	default:
		j.queue(kind, op, p)
	}
	return true
}

// queue adds a callback. It does not retain p. Loop-only.
func (j *jobs) queue(kind jobKind, op Op, p []byte) {
	q := jobPool.Get().(*job)
	q.kind, q.op = kind, op
	if p != nil {
		q.payload = j.conn.loop.mem.getFrame()
		q.payload.B = append(q.payload.B, p...)
	}
	size := q.size()
	j.mu.Lock()
	if j.first == nil {
		j.first = q
	} else {
		j.last.next = q
	}
	j.last = q
	j.count++
	j.bytes += size
	pause := j.count > maxJobs || j.bytes > maxJobBytes
	j.behind = j.behind || pause
	j.mu.Unlock()
	j.rouse()
	if pause {
		j.conn.pauseFor(flagWorkPause)
	}
}

// queueDrain adds OnDrain, once, however often it is due by the time a worker comes
// to it. Loop-only.
func (j *jobs) queueDrain() {
	j.mu.Lock()
	j.drained = true
	j.mu.Unlock()
	j.rouse()
}

// rouse tells the pool of jobs that it does not know of and that can be run. It is
// called whenever that may have changed. Safe from any goroutine.
func (j *jobs) rouse() {
	j.mu.Lock()
	add := !j.listed && j.ready()
	j.listed = j.listed || add
	j.mu.Unlock()
	if add {
		j.conn.id.workers.add(j)
	}
}

// ready says whether there is something that a worker may do now. What came
// before the end is delivered whatever waits. The caller holds mu.
func (j *jobs) ready() bool {
	in := &j.conn.intake
	waits := in.open() && (j.held || in.bytes() > j.conn.id.HighWater)
	return j.drained || j.first != nil && !waits
}

// run runs some jobs, and says whether more may be left. Their worker calls it.
func (j *jobs) run() (more bool) {
	for range jobsPerTurn {
		q, caughtUp := j.take()
		if caughtUp {
			j.conn.loop.push(item{run: func(*loop) { j.conn.resumeFor(flagWorkPause) }})
		}
		if q == nil {
			return false
		}
		j.conn.do(q)
	}
	return true
}

// take gives the next job, or none and leaves the connection to rouse. caughtUp
// says that reading was paused and may go on.
func (j *jobs) take() (q *job, caughtUp bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case !j.ready():
		j.listed = false
		return nil, false
	case j.drained:
		j.drained = false
		q = jobPool.Get().(*job)
		q.kind = jobDrain
		return q, false
	}
	q = j.first
	j.first = q.next
	j.count--
	j.bytes -= q.size()
	if j.deaf && q.kind != jobClose {
		q.kind = jobNone
	}
	caughtUp = j.behind && j.count <= maxJobs/4 && j.bytes <= maxJobBytes/4
	j.behind = j.behind && !caughtUp
	return q, caughtUp
}

// do runs one callback, on a worker. A panic in it ends the connection.
func (c *Conn) do(q *job) {
	defer c.done(q)
	var p []byte
	if q.payload != nil {
		p = q.payload.B
	}
	switch ep := c.id.endpoint; q.kind {
	case jobMessage:
		ep.Handler.OnMessage(c, q.op, p)
	case jobPing:
		ep.onPing.OnPing(c, p)
	case jobPong:
		ep.onPong.OnPong(c, p)
	case jobDrain:
		if c.intake.open() {
			ep.onDrain.OnDrain(c)
		}
	case jobClose:
		ep.Handler.OnClose(c, *c.end())
	case jobNone:
	}
}

// done is deferred around every callback on a worker.
func (c *Conn) done(q *job) {
	if p := recover(); p != nil {
		c.logPanic(q.kind.String(), p)
		c.deafen()
		c.intake.close()
		err := &PanicError{Value: p}
		c.loop.push(item{run: func(*loop) { c.fail(err) }})
	}
	if q.kind == jobClose {
		c.id.workers.closed()
	}
	if q.payload != nil {
		c.loop.mem.putFrame(q.payload)
	}
	*q = job{}
	jobPool.Put(q)
}

// rouse is called when some of what waited for the peer has gone, or the end has
// begun: that may be what its messages waited for.
func (c *Conn) rouse() {
	if j := c.jobs(); j != nil {
		j.rouse()
	}
}

// hold says whether PauseRead keeps messages from being delivered that were read
// already. Safe from any goroutine.
func (c *Conn) hold(on bool) {
	if j := c.jobs(); j != nil {
		j.mu.Lock()
		j.held = on
		j.mu.Unlock()
		j.rouse()
	}
}

// deafen drops the messages that were read and not delivered. Safe from any
// goroutine.
func (c *Conn) deafen() {
	if j := c.jobs(); j != nil {
		j.mu.Lock()
		j.deaf = true
		j.mu.Unlock()
	}
}

// noteRTT makes the round-trip time readable on a worker.
func (c *Conn) noteRTT() {
	if j := c.jobs(); j != nil {
		j.rtt.Store(uint32(c.rtt))
	}
}
