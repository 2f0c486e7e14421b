package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/codec"
)

// inbox is where other goroutines leave work for a loop: many producers, one
// consumer. One wakeup serves a batch. The frames that it holds for a connection
// count against that connection's limit; an item takes 40 bytes beside.
type inbox struct {
	count atomic.Int32 // len(items), to look without the lock

	mu    sync.Mutex
	items []item
	spare []item // the slice that take returned last, for reuse
}

// item is one piece of work, in one of three shapes: a frame to send, a close,
// or a function.
type item struct {
	conn    *Conn
	waiting            // a frame for conn
	close   *CloseInfo // end conn like this
	run     func(*loop)
}

// push adds an item and wakes the loop if it would not look otherwise. It is
// safe from any goroutine.
func (l *loop) push(it item) {
	b := &l.inbox
	b.mu.Lock()
	b.items = append(b.items, it)
	b.count.Store(int32(len(b.items)))
	b.mu.Unlock()
	if !l.awake.Load() && l.wakePending.CompareAndSwap(false, true) {
		l.wire.Wake()
	}
}

// take gives all items. The slice is valid until the next take.
func (b *inbox) take() []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	items := b.items
	b.items, b.spare = b.spare[:0], items
	if cap(items) > maxSpareItems {
		b.spare = nil // don't keep the memory of a burst
	}
	b.count.Store(0)
	return items
}

const maxSpareItems = 16 << 10

// drainInbox moves everything that other goroutines have left to where it
// belongs. It sends nothing yet and calls no handler, so it is cheap and may
// happen in the middle of a callback.
func (l *loop) drainInbox() {
	if l.inbox.count.Load() > 0 {
		l.deliverAll()
	}
}

func (l *loop) deliverAll() {
	items := l.inbox.take()
	for i := range items {
		l.deliver(&items[i])
	}
	clear(items)
}

func (l *loop) deliver(it *item) {
	switch {
	case it.run != nil:
		it.run(l)
	case it.frame != nil:
		it.conn.deliverFrame(it.waiting)
	case it.close != nil && it.conn.phase == phaseOpen:
		it.conn.startClose(*it.close)
	}
}

// deliverFrame queues a frame that Send has accepted.
func (c *Conn) deliverFrame(m waiting) {
	switch {
	case c.phase != phaseOpen: // it ended between Send and here; OnClose says why
		c.release(len(m.frame.B))
		c.loop.mem.putFrame(m.frame)
		return
	case m.due != 0 && c.loop.wire.Now() > m.due:
		c.drop(m, &c.loop.server.drops.late)
	case isData(m.frame.B) && c.holdsBack(m.due):
		c.out.backlog.add(&c.loop.mem, m)
	default:
		c.commitFrame(m.frame)
	}
	c.markDirty()
}

// isData says whether a frame of ours is a message.
func isData(frame []byte) bool { return codec.Opcode(frame[0] & 0x0F).IsData() }

// sendFrom is the way of a frame from any goroutine to the connection's queue.
func (c *Conn) sendFrom(op codec.Opcode, p []byte, due time.Duration) error {
	if err := c.reserve(c.frameSize(len(p))); err != nil {
		return err
	}
	b := c.loop.mem.getFrame()
	b.B = c.appendFrame(b.B, op, p)
	c.loop.push(item{conn: c, waiting: waiting{frame: b, due: due}})
	return nil
}
