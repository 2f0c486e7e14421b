package engine

import (
	"sync"
	"sync/atomic"

	"github.com/headrace/headrace/codec"
)

// Message is a message that is encoded once and sent over any number of
// connections (Burst). It never changes. Its memory is counted: who makes it has one
// reference, Retain gives another, and when Release has taken the last one away the
// memory serves the next message, so nothing of it may be used any more.
//
// All its methods are safe from any goroutine.
type Message struct {
	refs   atomic.Int32
	op     Op
	header uint8  // bytes of the frame's header
	frame  []byte // not masked, not compressed

	forms atomic.Pointer[form]
}

// form is a message compressed for itself, for all connections that have agreed on
// the same. An empty frame says that compressing doesn't help.
type form struct {
	level int8
	bits  uint8
	frame []byte
	next  *form
}

var messagePool = sync.Pool{New: func() any { return new(Message) }}

// maxPooledMessage is the greatest buffer that waits for another message, in bytes.
const maxPooledMessage = 64 << 10

// NewMessage gives a message with one reference. op is Text or Binary; Text should be
// valid UTF-8. It does not retain p.
func NewMessage(op Op, p []byte) *Message {
	m := messagePool.Get().(*Message)
	n := codec.HeaderSize(int64(len(p)), false) + len(p)
	if cap(m.frame) < n || cap(m.frame) > 2*n+smallFrame { // many may be kept for long
		m.frame = make([]byte, 0, n)
	}
	m.op = op
	m.frame = codec.AppendFrame(m.frame[:0], op, p)
	m.header = uint8(n - len(p))
	m.refs.Store(1)
	return m
}

// Op is Text or Binary.
func (m *Message) Op() Op { return m.op }

// Payload is what was given to NewMessage. It must not be changed, and is valid as
// long as the caller has a reference.
func (m *Message) Payload() []byte { return m.frame[m.header:] }

// Size is how many bytes the message takes on the wire, uncompressed.
func (m *Message) Size() int { return len(m.frame) }

// Retain adds a reference, and gives m.
func (m *Message) Retain() *Message {
	m.refs.Add(1)
	return m
}

// Release takes a reference away. It panics when there was none.
func (m *Message) Release() {
	switch left := m.refs.Add(-1); {
	case left > 0:
		return
	case left < 0:
		panic("engine: Message.Release was called more often than Retain and NewMessage")
	}
	m.forms.Store(nil)
	if poisonMessages {
		frame := m.frame[:cap(m.frame)]
		for i := range frame {
			frame[i] = poisonByte
		}
		return
	}
	if cap(m.frame) > maxPooledMessage {
		m.frame = nil
	}
	messagePool.Put(m)
}

// poisonMessages has the memory of a message spoiled when its last reference goes.
// Tests set it before they begin.
var poisonMessages bool

// compressed gives the frame of the message compressed for itself, made when it is
// first asked for, or the plain one when that is no longer.
func (m *Message) compressed(f *deflaters, level int, bits uint8) []byte {
	for {
		first := m.forms.Load()
		for x := first; x != nil; x = x.next {
			if int(x.level) == level && x.bits == bits {
				return m.orPlain(x.frame)
			}
		}
		made := &form{level: int8(level), bits: bits, frame: m.compress(f, level, bits), next: first}
		if m.forms.CompareAndSwap(first, made) {
			return m.orPlain(made.frame)
		}
	}
}

func (m *Message) orPlain(frame []byte) []byte {
	if len(frame) == 0 {
		return m.frame
	}
	return frame
}

func (m *Message) compress(f *deflaters, level int, bits uint8) []byte {
	f.out = f.deflater(level).Append(f.out[:0], m.Payload(), bits, nil)
	h := codec.Header{Fin: true, RSV: codec.RSV1, Op: m.op, Length: int64(len(f.out))}
	if n := codec.HeaderSize(h.Length, false) + len(f.out); n < len(m.frame) {
		return append(codec.AppendHeader(make([]byte, 0, n), h), f.out...)
	}
	return nil
}
