package codec

import (
	"bufio"
	"io"

	"github.com/klauspost/compress/flate"
)

// receiveTail is put behind every payload: the four bytes of RFC 7692 §7.2.2, and an empty final block. With that the
// end of a message is an end of the deflate stream, which a message cut short does not reach.
var receiveTail = []byte(sendTail + "\x01\x00\x00\xff\xff")

// maxFinalBlocks is how many blocks in one message may have BFINAL set and others behind them. RFC 7692 §7.2.1 allows
// it; each one costs a new beginning, 2 µs, for as little as two bytes.
const maxFinalBlocks = 1024

// Inflater decompresses messages. Nothing stays in it from message to message, so one serves all connections of a loop;
// the window that a peer refers to is kept by the caller. The zero value is ready; with its first message it takes
// 46 KB. It is not safe for two goroutines at once.
type Inflater struct {
	reader inflateReader
	bytes  *bufio.Reader // reads in; what reader is fastest with, by a fifth
	in     compressed
	out    inflated
	recall []byte // scratch of 32 KB, for the first message with a final block in its middle
	begun  int    // how many deflate streams the last message had
}

// Cost is what the last message took to inflate, good or bad, in bytes: those that came out, and a window for each
// final block in its middle. It is for callers that share their time out.
func (f *Inflater) Cost() int64 { return f.out.size + int64(max(0, f.begun-1))*maxWindow }

// inflateReader is what a flate reader can do besides Read.
type inflateReader interface {
	io.WriterTo
	flate.Resetter
}

// Inflate decompresses the payload p of a message and does not retain it. history is what the peer may refer to, nil
// without takeover. The result is a buffer from mem, nil for an empty message: the caller owns it and has to Put it
// back. With an error there is none.
//
// The error is a *ProtocolError: 1009 as soon as the result is longer than limit bytes, 1007 as soon as text (op is
// OpText) cannot be UTF-8 any more, and 1007 for what is no deflate data, or not whole. No RFC gives a code for the
// last; §7.4.1 of RFC 6455 has 1007 for data "not consistent with the type of the message", and ws of Node.js answers so.
//
// A payload of no bytes is an empty message. By §7.2.3.6 it would have one byte, but zlib writes none for the second
// empty message in a row, and not every peer makes up for it.
//
// Buffers from mem follow what has been inflated, never what was claimed, and while the end has not come they are not
// more than limit bytes together; the result is then exactly as long as it is. A message up to 32 KB is one buffer,
// filled once; a longer one is put together at its end from the pieces, so that for a moment it is there twice.
func (f *Inflater) Inflate(mem Memory, op Opcode, p, history []byte, limit int64) (out []byte, err error) {
	if len(p) == 0 {
		f.out.size, f.begun = 0, 0
		return nil, nil
	}
	f.begin(p)
	f.out.begin(mem, op, limit)
	if err = f.run(history); err == nil {
		err = f.out.end()
	}
	if err != nil {
		f.out.discard()
	} else {
		out = f.out.join()
	}
	f.in, f.out.mem = compressed{}, nil
	return out, err
}

func (f *Inflater) begin(p []byte) {
	f.in, f.begun = compressed{p: p}, 0
	if f.reader == nil {
		f.bytes = bufio.NewReader(&f.in)
		f.reader = flate.NewReader(f.bytes).(inflateReader)
	}
	f.bytes.Reset(&f.in)
}

// run inflates to the end of the payload.
func (f *Inflater) run(history []byte) error {
	before := history
	for range maxFinalBlocks {
		f.begun++
		f.reader.Reset(f.bytes, before)
		_, err := f.reader.WriteTo(&f.out)
		switch {
		case f.out.err != nil:
			return f.out.err
		case err != nil:
			return errInflate
		case f.atEnd():
			return nil
		}
		// A block with BFINAL set has ended, and its padding with it. §7.2.1: "The next DEFLATE block follows the padded
		// data if any", and may refer to what came before.
		if f.recall == nil {
			f.recall = make([]byte, maxWindow)
		}
		before = f.out.last(f.recall, history)
	}
	return errTooManyFinals
}

// atEnd reports whether the final block that has just ended was the last one: that of the tail, or one at the very end
// of the payload, from a sender who left out the empty block of §7.2.3.4.
func (f *Inflater) atEnd() bool {
	left := f.bytes.Buffered() + f.in.left()
	return left == 0 || left == len(receiveTail)
}

// compressed gives out the payload and then receiveTail.
type compressed struct {
	p      []byte // what has not been read
	inTail bool
}

func (c *compressed) Read(b []byte) (int, error) {
	if len(c.p) == 0 {
		if c.inTail {
			return 0, io.EOF
		}
		c.p, c.inTail = receiveTail, true
	}
	n := copy(b, c.p)
	c.p = c.p[n:]
	return n, nil
}

// left counts the bytes that have not been read, with the tail.
func (c *compressed) left() int {
	if c.inTail {
		return len(c.p)
	}
	return len(c.p) + len(receiveTail)
}

// inflated is where the reader writes: pieces from Memory, each as large as all before it together.
type inflated struct {
	mem    Memory
	limit  int64
	size   int64
	pieces [][]byte
	isText bool
	text   UTF8
	err    error // why the last Write was refused
}

func (o *inflated) begin(mem Memory, op Opcode, limit int64) {
	*o = inflated{mem: mem, limit: limit, pieces: o.pieces, isText: op == OpText}
}

// Write takes what the reader's window has, 32 KB at most.
func (o *inflated) Write(p []byte) (int, error) {
	switch {
	case int64(len(p)) > o.limit-o.size:
		o.err = errTooBig
	case o.isText && !o.text.Write(p):
		o.err = errTextNotUTF8
	default:
		o.store(p)
	}
	return len(p), o.err
}

func (o *inflated) store(p []byte) {
	if n := len(o.pieces); n > 0 {
		last := &o.pieces[n-1]
		k := min(len(p), cap(*last)-len(*last))
		*last = append(*last, p[:k]...)
		o.size += int64(k)
		p = p[k:]
	}
	if len(p) == 0 {
		return
	}
	n := max(int64(len(p)), min(o.size, o.limit-o.size))
	o.pieces = append(o.pieces, append(o.mem.Get(int(n)), p...))
	o.size += int64(len(p))
}

// end holds the rule for the last byte of a text.
func (o *inflated) end() error {
	if o.isText && !o.text.Done() {
		return errTextNotUTF8
	}
	return nil
}

// join makes one buffer of the pieces and gives it away.
func (o *inflated) join() (out []byte) {
	switch len(o.pieces) {
	case 0:
		return nil
	case 1:
		out = o.pieces[0]
		o.forget()
		return out
	}
	out = o.mem.Get(int(o.size))
	for _, p := range o.pieces {
		out = append(out, p...)
	}
	o.discard()
	return out
}

// discard gives the pieces back.
func (o *inflated) discard() {
	for _, p := range o.pieces {
		o.mem.Put(p)
	}
	o.forget()
}

func (o *inflated) forget() {
	clear(o.pieces)
	o.pieces = o.pieces[:0]
}

// last fills buf, from its end on, with the last of what has been inflated and of the history before it.
func (o *inflated) last(buf, history []byte) []byte {
	at := len(buf)
	for i := len(o.pieces) - 1; i >= 0; i-- {
		at = prepend(buf, at, o.pieces[i])
	}
	return buf[prepend(buf, at, history):]
}

// prepend copies the end of p to where buf[at:] begins, and says where that is afterwards.
func prepend(buf []byte, at int, p []byte) int {
	n := min(at, len(p))
	copy(buf[at-n:at], p[len(p)-n:])
	return at - n
}
