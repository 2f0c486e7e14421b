package bench

import (
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/engine"
)

// actorLane is what one loop of the client does in a scenario. What is neither behind the
// mutex nor atomic is loop-only.
type actorLane struct {
	*lane
	play *play

	rng    *rand.Rand // for sizes
	actors []*actor   // those that messages are sent on
	turn   int        // the one that is next
	care   []*actor   // those to look at now and then: slow readers, and who is about to leave
	looked time.Duration
	now    []dueMessage // to be sent, from done on
	done   int
	buf    []byte

	cares atomic.Bool  // there is somebody in care
	onWay atomic.Int64 // messages that are to be sent, or answered

	mu   sync.Mutex
	due  []dueMessage // as now, for the next turn
	asks []func()     // what the loop has to do besides
}

// dueMessage is a message that a loop has to send.
type dueMessage struct {
	at   time.Duration
	kind uint8
}

func (d *actorLane) of() *lane { return d.lane }

// maxDue is how many messages may wait for a loop that is behind.
const maxDue = 1 << 20

// give gives the lane messages to send, and returns those for which there is no room. It
// does not retain all. Safe from any goroutine.
func (d *actorLane) give(all []dueMessage) (rest []dueMessage) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(maxDue-len(d.due), len(all))
	d.onWay.Add(int64(n))
	d.due = append(d.due, all[:n]...)
	return all[n:]
}

// ask has the loop do something soon. Safe from any goroutine.
func (d *actorLane) ask(do func()) {
	d.mu.Lock()
	d.asks = append(d.asks, do)
	d.mu.Unlock()
	d.work.Ask()
}

// run is a turn of the loop.
func (d *actorLane) run() (more bool) {
	d.mu.Lock()
	asks := d.asks
	d.asks = nil
	if d.done == len(d.now) {
		d.now, d.due, d.done = d.due, d.now[:0], 0
	}
	d.mu.Unlock()
	for _, do := range asks {
		do()
	}
	d.look()
	for range min(len(d.now)-d.done, sendsPerTurn) {
		d.send(d.now[d.done])
		d.done++
	}
	return d.done < len(d.now) // what has come back is looked at first
}

// look cares for those who need it, every few milliseconds.
func (d *actorLane) look() {
	now := d.play.now()
	if now-d.looked < lookEvery {
		return
	}
	d.looked = now
	for _, a := range slices.Clone(d.care) {
		if a.slow != nil {
			a.slow.earn(now, a.conn)
		}
		if a.waiting && time.Now().After(a.leaves) {
			a.close()
		}
	}
	d.care = slices.DeleteFunc(d.care, func(a *actor) bool { return a.slow == nil && !a.waiting })
	d.cares.Store(len(d.care) > 0)
}

// careFor has look see to one.
func (d *actorLane) careFor(a *actor) {
	d.care = append(d.care, a)
	d.cares.Store(true)
}

const lookEvery = 5 * time.Millisecond

// send sends a message on the connection whose turn it is.
func (d *actorLane) send(m dueMessage) {
	if len(d.actors) == 0 {
		d.notSent(m, d.play.crowd.isOurDoing())
		return
	}
	d.turn++
	a := d.actors[d.turn%len(d.actors)]
	kind := &d.play.plan.Messages[m.kind]
	stamped, silent := kind.isStamped(), kind.Expect.kind == expectNothing
	conn, seq, ok := uint32(a.number)|noAnswer, uint32(a.sent), true
	if !silent {
		conn = uint32(a.number)
		seq, ok = a.expect(m.at, m.kind, stamped)
	}
	if ok {
		d.buf = d.play.appendMessage(d.buf[:0], m.kind, conn, seq, a)
		if kind.Expect.kind == expectEcho {
			a.at(seq).hash = maphash.Bytes(hashSeed, d.buf)
		}
		ok = a.conn.Buffered() < maxWaiting && a.conn.Reply(kind.op(), d.buf) == nil
		if !ok && !silent {
			a.unexpect(stamped)
		}
	}
	if !ok {
		d.notSent(m, a.isHurt())
		return
	}
	a.sent++
	d.tally(m.at, m.kind).count(oneMessageSent)
	record(d.rec.lag, d.play.now()-m.at)
	if silent {
		d.onWay.Add(-1)
	}
}

const (
	// noAnswer marks the stamp of a message that is not to be answered.
	noAnswer = 1 << 31
	// maxWaiting is how many bytes may wait for a server that does not read; beyond that
	// nothing more is sent to it.
	maxWaiting = 4 << 20
)

// notSent counts a message that could not be sent.
func (d *actorLane) notSent(m dueMessage, disturbed bool) {
	d.onWay.Add(-1)
	d.tally(m.at, m.kind).lost(disturbed, oneUnsent)
}

// remove takes a connection out of those that messages are sent on.
func (d *actorLane) remove(a *actor) {
	if i := slices.Index(d.actors, a); i >= 0 {
		d.actors = slices.Delete(d.actors, i, i+1)
		d.open.Store(int32(len(d.actors)))
	}
}

// actorHandler makes an actor of one dial.
type actorHandler struct {
	play   *play
	number int
}

// OnOpen implements engine.Handler.
func (h actorHandler) OnOpen(c *engine.Conn) {
	d := h.play.lanes.on(c.Loop())
	a := &actor{lane: d, conn: c, number: h.number}
	c.SetUser(a)
	d.actors = append(d.actors, a)
	d.open.Store(int32(len(d.actors)))
	h.play.crowd.opened(a)
}

// OnMessage implements engine.Handler.
func (h actorHandler) OnMessage(c *engine.Conn, op engine.Op, p []byte) {
	c.User().(*actor).receive(op, p)
}

// OnClose implements engine.Handler.
func (h actorHandler) OnClose(c *engine.Conn, info engine.CloseInfo) {
	a, ok := c.User().(*actor)
	if !ok {
		return
	}
	a.gone(info)
	h.play.crowd.ended(a, a.ours)
}
