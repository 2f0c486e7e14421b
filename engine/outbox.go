package engine

import (
	"github.com/valyala/bytebufferpool"

	"github.com/headrace/headrace/codec"
)

// outbox is what a connection has accepted for sending and the kernel has not
// taken: a queue of segments. A connection has one only while something waits.
type outbox struct {
	segments []segment
	head     int // the first segment with bytes to send
	sent     int // bytes of it that are sent
	size     int // bytes that wait, in all segments
	answer   int // of those, the handshake's answer, which doesn't count against the limit
	counted  int // what the loop's statistics know of it
	backlog  backlog
}

// segment is a run of bytes, in one of three places: a buffer of the loop, one that a
// sender on another goroutine has filled, or a piece of a burst that other connections send too.
type segment struct {
	p     []byte
	from  *bytebufferpool.ByteBuffer
	piece *piece
}

// isOwn says whether the bytes stand in a buffer of the loop that has no other use.
func (s *segment) isOwn() bool { return s.from == nil && s.piece == nil }

const (
	segmentSize = 64 << 10 // the most that one of our own segments holds
	firstSize   = 4 << 10  // what a queue begins with
	linkSize    = 2 << 10  // from here on a sender's buffer is linked, not copied
)

// total is how many bytes wait, those included that may still be dropped.
func (o *outbox) total() int { return o.size + o.backlog.size }

// addPlain is addFrame for a frame that is neither masked nor compressed.
func (o *outbox) addPlain(mem *memory, op codec.Opcode, payload []byte) {
	if last := len(o.segments) - 1; last >= o.head {
		s := &o.segments[last]
		if had := len(s.p); s.isOwn() && cap(s.p)-had >= codec.MaxHeaderSize+len(payload) {
			s.p = codec.AppendFrame(s.p, op, payload)
			o.size += len(s.p) - had
			return
		}
	}
	o.addFrame(mem, codec.Header{Fin: true, Op: op}, payload)
}

// addFrame queues a frame; it fills in the header's length, and masks where that
// says so. It does not retain payload.
func (o *outbox) addFrame(mem *memory, h codec.Header, payload []byte) {
	h.Length = int64(len(payload))
	n := codec.HeaderSize(h.Length, h.Masked)
	tail := o.tail(mem, n+len(payload), n)
	tail.p = codec.AppendHeader(tail.p, h)
	o.size += n + len(payload)
	for at := 0; at < len(payload); {
		copied := o.copyIn(mem, payload[at:])
		if h.Masked {
			codec.Mask(copied, h.Mask, at&3)
		}
		at += len(copied)
	}
}

// add queues bytes. It does not retain p.
func (o *outbox) add(mem *memory, p []byte) {
	o.size += len(p)
	for len(p) > 0 {
		p = p[len(o.copyIn(mem, p)):]
	}
}

// copyIn copies what fits of p into the last segment, and gives the copy.
func (o *outbox) copyIn(mem *memory, p []byte) []byte {
	tail := o.tail(mem, len(p), 1)
	had := len(tail.p)
	tail.p = append(tail.p, p[:min(len(p), cap(tail.p)-had)]...)
	return tail.p[had:]
}

// link queues a sender's buffer. It takes ownership of b.
func (o *outbox) link(mem *memory, b *bytebufferpool.ByteBuffer) {
	if len(b.B) < linkSize || cap(b.B) > 2*len(b.B) { // a buffer with a past may be far too large
		o.add(mem, b.B)
		mem.putFrame(b)
		return
	}
	o.size += len(b.B)
	o.segments = append(o.segments, segment{p: b.B, from: b})
}

// tail gives the last segment if it is ours and has at least need bytes of
// room, or a new one that suits want bytes.
func (o *outbox) tail(mem *memory, want, need int) *segment {
	if last := len(o.segments) - 1; last >= o.head {
		s := &o.segments[last]
		if s.isOwn() && cap(s.p)-len(s.p) >= need {
			return s
		}
	}
	size := firstSize
	if len(o.segments) > o.head || want > firstSize {
		size = segmentSize
	}
	o.segments = append(o.segments, segment{p: mem.Get(size)})
	return &o.segments[len(o.segments)-1]
}

// pending appends the slices to send to bufs, at most limit of them.
func (o *outbox) pending(bufs [][]byte, limit int) [][]byte {
	sent := o.sent
	for i := o.head; i < len(o.segments) && len(bufs) < limit; i++ {
		bufs = append(bufs, o.segments[i].p[sent:])
		sent = 0
	}
	return bufs
}

// advance drops n bytes that the kernel has taken.
func (o *outbox) advance(mem *memory, n int) {
	o.size -= n
	for n > 0 {
		s := &o.segments[o.head]
		rest := len(s.p) - o.sent
		if n < rest {
			o.sent += n
			return
		}
		n -= rest
		s.release(mem)
		o.head++
		o.sent = 0
	}
	if o.head == len(o.segments) {
		o.segments, o.head = o.segments[:0], 0
	} else if o.head > 64 && o.head > len(o.segments)/2 {
		kept := copy(o.segments, o.segments[o.head:])
		clear(o.segments[kept:])
		o.segments, o.head = o.segments[:kept], 0
	}
}

// drop gives everything back and makes o a zero value, but for its capacity.
func (o *outbox) drop(mem *memory) {
	for i := o.head; i < len(o.segments); i++ {
		o.segments[i].release(mem)
	}
	for o.backlog.len() > 0 {
		mem.putFrame(o.backlog.takeOldest().frame)
	}
	*o = outbox{segments: o.segments[:0], backlog: backlog{messages: o.backlog.messages[:0]}}
	if cap(o.backlog.messages) > maxIdleBacklog {
		o.backlog = backlog{}
	}
}

func (s *segment) release(mem *memory) {
	switch {
	case s.from != nil:
		mem.putFrame(s.from)
	case s.piece != nil:
		s.piece.release()
	default:
		mem.Put(s.p)
	}
	*s = segment{}
}
