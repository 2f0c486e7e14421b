package codec

import (
	"io"

	"github.com/klauspost/compress/flate"
)

// sendTail is the end of every flushed deflate stream: the empty stored block, less its first byte. RFC 7692 §7.2.1
// has the sender cut it off and §7.2.2 the receiver put it back.
const sendTail = "\x00\x00\xff\xff"

// smallMessage is the size in bytes below which a flate.Writer of levels 1 to 6 looks for no matches at all, and
// forgets its history.
const smallMessage = 128

// Levels of compression.
const (
	stateless          = 0
	minLevel           = 1
	lastFastLevel      = 6
	defaultStreamLevel = 7
	maxLevel           = 9
)

// Deflater compresses messages that refer to nothing, or to a Window which the caller keeps. Nothing stays in it from
// message to message, so one serves all connections of a loop. It is not safe for two goroutines at once.
//
// It makes its compressors when they are needed and keeps them: for a level from 1 on one of 0.8 to 1.4 MB, and at every
// level one of 1.1 MB for each window below 32 KB that some client asks for, 7 at most. Level 0 else has 0.3 MB for each
// processor, in pools of the library.
type Deflater struct {
	level   int
	writers [maxWindowBits - minWindowBits + 1]*flate.Writer
	out     appender
}

// NewDeflater makes a Deflater of a level from 0 to 9. 0 serves best with a history: its tables are so small that they
// are not missed in the processor's cache, so among other work it is faster than 1, and it compresses about as well as 2.
// It uses 8 KB of a history at most. 3 serves best without one: 0, 1 and 2 find next to nothing in a message of some
// hundred bytes. The level hardly counts where a peer has asked for a window below 32 KB: one algorithm keeps to it.
func NewDeflater(level int) *Deflater {
	return &Deflater{level: min(max(level, stateless), maxLevel)}
}

// Append appends the payload of a compressed message, RFC 7692 §7.2.1, and does not retain dst or p. It keeps a
// reference to history until the next call, without reading it. No distance in the result exceeds 1<<bits bytes, which
// is the promise of server_max_window_bits or client_max_window_bits.
//
// The result is never empty, and for what cannot be compressed it is longer than p: by 1 byte, and 5 for each block of
// 24 KB at most. A caller may throw it away and send p as it is; the message must be added to the window only if it went
// compressed.
//
// Beside what dst needs, level 0 allocates where there is a history: once, as much as history and message are together
// or 32 KB. The other levels do so for messages below 128 bytes only.
func (d *Deflater) Append(dst, p []byte, bits uint8, history []byte) []byte {
	window := 1 << bits
	d.out.b = dst
	if d.isStateless(len(p), len(history), bits) {
		// The library's distances reach over both slices, so both together have to fit the window.
		if len(p) < window {
			history = history[max(0, len(history)+len(p)-window):]
		}
		flate.StatelessDeflate(&d.out, p, false, history)
		return d.out.finish()
	}
	w := d.writer(bits)
	w.ResetDict(&d.out, history[max(0, len(history)-window):])
	return deflate(w, &d.out, p)
}

// isStateless chooses the function that needs no compressor. Its blocks, dictionary and all, end below 32 KB, which is
// no promise for a smaller window; and it stands in where a flate.Writer would find nothing.
func (d *Deflater) isStateless(size, history int, bits uint8) bool {
	small := size < smallMessage && (d.level <= lastFastLevel || bits < maxWindowBits)
	return small || d.level == stateless && (bits == maxWindowBits || size+history <= 1<<bits)
}

// writer gives the compressor for a window.
func (d *Deflater) writer(bits uint8) *flate.Writer {
	w := &d.writers[bits-minWindowBits]
	if *w == nil {
		*w = newWriter(&d.out, d.level, bits)
	}
	return *w
}

// DeflateStream is the compressor of one connection: each message may refer to the 32 KB before it, or to what bits
// allow. It holds 0.8 to 1.4 MB, for which a small message takes half the time that a Deflater needs with a Window of
// 1 KB. It is not safe for two goroutines at once.
//
// Every message that it compresses has to be sent: the next one refers to it.
type DeflateStream struct {
	w   *flate.Writer
	out appender
}

// NewDeflateStream makes a DeflateStream of a level from 1 to 9 that promises distances of at most 1<<bits bytes. Level
// 0 is 7. Levels 1 to 6, and all windows under 32 KB, have a weakness that 7 to 9 do not have: a message below 128
// bytes is not compressed, and the message behind it can refer to nothing.
func NewDeflateStream(level int, bits uint8) *DeflateStream {
	if level == 0 {
		level = defaultStreamLevel
	}
	s := new(DeflateStream)
	s.w = newWriter(&s.out, min(max(level, minLevel), maxLevel), bits)
	return s
}

// Append appends the payload of the next message and does not retain dst or p. The result is never empty, and at worst
// as much longer than p as that of Deflater.Append.
func (s *DeflateStream) Append(dst, p []byte) []byte {
	s.out.b = dst
	return deflate(s.w, &s.out, p)
}

// newWriter makes a compressor. Levels are in range and out never fails, so there is no error to come.
func newWriter(out io.Writer, level int, bits uint8) *flate.Writer {
	var w *flate.Writer
	if bits < maxWindowBits {
		w, _ = flate.NewWriterWindow(out, 1<<bits)
	} else {
		w, _ = flate.NewWriter(out, level)
	}
	return w
}

// deflate writes one message to w, which writes to out.
func deflate(w *flate.Writer, out *appender, p []byte) []byte {
	w.Write(p)
	w.Flush()
	return out.finish()
}

// appender is where compressors write. It never fails.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

// finish gives what has been written, less the tail that a flush ends with, and lets go of it. An empty message is the
// single byte that remains of the flush, RFC 7692 §7.2.3.6.
func (a *appender) finish() []byte {
	b := a.b[:len(a.b)-len(sendTail)]
	a.b = nil
	return b
}
