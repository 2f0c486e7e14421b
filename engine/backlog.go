package engine

import (
	"math"
	"time"

	"github.com/valyala/bytebufferpool"
)

// backlog holds whole messages behind the bytes of an outbox, as frames that
// nothing has been done to yet: they may still be dropped, and are compressed when
// they leave. Messages come here only while the socket takes no more, or enough
// stands before them for one write, and only where a policy or a deadline may drop
// them.
type backlog struct {
	messages []waiting
	head     int // the oldest
	size     int // bytes of all frames
}

// maxIdleBacklog is for how many messages a backlog without any keeps room.
const maxIdleBacklog = 256

// smallFrame is what a buffer may be larger than twice its frame, in bytes.
const smallFrame = 64

// waitingCost is what a message in the backlog takes besides its frame, in bytes,
// roughly. It counts against MaxQueue, or tiny messages would take fifty times that.
const waitingCost = 64

// waiting is one message.
type waiting struct {
	frame *bytebufferpool.ByteBuffer // the message owns it
	due   time.Duration              // by the loop's clock, when it is not worth sending any more; 0: never
}

// dueIn gives waiting.due for a message that is worth nothing after d. Safe from any
// goroutine.
func (c *Conn) dueIn(d time.Duration) time.Duration {
	now := c.loop.wire.Now()
	if d > math.MaxInt64-now { // the clock never gets there
		return 0
	}
	return max(1, now+d)
}

func (b *backlog) len() int { return len(b.messages) - b.head }

// add takes a message. A buffer with a past may be far too large for it.
func (b *backlog) add(mem *memory, m waiting) {
	if n := len(m.frame.B); cap(m.frame.B) > 2*n+smallFrame {
		fit := &bytebufferpool.ByteBuffer{B: append(make([]byte, 0, n), m.frame.B...)}
		mem.putFrame(m.frame)
		m.frame = fit
	}
	if b.head > 64 && b.head > len(b.messages)/2 { // a backlog that never empties must not grow the slice
		kept := copy(b.messages, b.messages[b.head:])
		clear(b.messages[kept:])
		b.messages, b.head = b.messages[:kept], 0
	}
	b.messages = append(b.messages, m)
	b.size += len(m.frame.B)
}

func (b *backlog) takeOldest() waiting {
	m := b.messages[b.head]
	b.messages[b.head] = waiting{}
	b.head++
	b.size -= len(m.frame.B)
	if b.head == len(b.messages) {
		b.messages, b.head = b.messages[:0], 0
	}
	return m
}

func (b *backlog) takeNewest() waiting {
	last := len(b.messages) - 1
	m := b.messages[last]
	b.messages[last] = waiting{}
	b.messages = b.messages[:last]
	b.size -= len(m.frame.B)
	if b.head == last {
		b.messages, b.head = b.messages[:0], 0
	}
	return m
}

// ahead is how many bytes may stand before the backlog: enough for one write, and
// not most of a short queue, because they cannot be dropped.
func (e *endpoint) ahead() int { return min(segmentSize, max(e.MaxQueue/4, 1)) }

// holdsBack says whether a message has to wait in the backlog: because others do,
// or because it would have to wait anyway and may be dropped.
func (c *Conn) holdsBack(due time.Duration) bool {
	if c.out == nil {
		return false
	}
	mayDrop := due != 0 || c.id.WhenFull.keepsMessages()
	waits := c.flags&flagWatching != 0 || c.out.size >= c.id.ahead()
	return c.out.backlog.len() > 0 || mayDrop && waits
}

// commitWaiting moves messages from the backlog to the outbox, as long as less
// than so many bytes stand there. It drops those that come too late.
func (c *Conn) commitWaiting(most int) {
	if c.out == nil || c.out.backlog.len() == 0 {
		return
	}
	now := c.loop.wire.Now()
	for b := &c.out.backlog; b.len() > 0 && c.out.size < most; {
		if m := b.takeOldest(); m.due != 0 && now > m.due {
			c.drop(m, &c.loop.server.drops.late)
		} else {
			c.commitFrame(m.frame)
		}
	}
}

// commitNext is commitWaiting for what may leave with the next write.
func (c *Conn) commitNext() {
	if c.out.backlog.len() > 0 {
		c.commitWaiting(c.id.ahead())
	}
}

// commitAll leaves nothing that may be dropped, but for what comes too late.
func (c *Conn) commitAll() { c.commitWaiting(1 << 62) }
