package codec

import "encoding/binary"

// Memory lends buffers for messages that a read has cut. Whole frames never ask for one.
type Memory interface {
	// Get returns a buffer of length 0 and a capacity of at least n bytes, n > 0.
	Get(n int) []byte
	// Put takes ownership of p, a buffer that Get returned, in any length.
	Put(p []byte)
}

// minBuffer is the first capacity in bytes that a message of unknown size asks for. It keeps a message that arrives
// byte by byte from walking through the smallest sizes.
const minBuffer = 128

// Event is one complete message or control frame.
type Event struct {
	Op         Opcode // text, binary, close, ping or pong; OpContinuation, the zero value, says that nothing is complete
	Compressed bool   // RFC 7692: Payload is deflate data, and text in it is not validated yet
	Payload    []byte // unmasked and validated; valid until the next call of Next, Release or Reset; may be nil
}

// Decoder turns the bytes of one connection into events. The zero value is ready. It remembers something only while a
// frame or a message is cut; a Decoder that is Idle may serve another connection, so connections between messages
// need none.
//
// Size budget: 256 bytes.
type Decoder struct {
	msg     message
	head    Header // the frame in progress, while inFrame
	left    int64  // payload bytes of it that have not come
	inFrame bool
	nraw    uint8                   // bytes in raw
	raw     [MaxHeaderSize]byte     // a header that a read has cut
	ctl     [MaxControlPayload]byte // a control payload that a read has cut, already unmasked
}

// message is the data message in progress.
type message struct {
	buf        []byte // what has arrived of it, unmasked, or after the end what the last event points to
	size       int64  // payload bytes that its frames have declared
	frames     int
	op         Opcode // OpContinuation while none is open
	compressed bool
	lent       bool // buf stands behind the last event
	text       UTF8
}

func (m *message) isOpen() bool { return m.op != OpContinuation }

// Next takes bytes from the beginning of b and returns the next event and how many bytes it took. A zero Event means
// that b is used up inside a frame or a message; otherwise call again with b[n:] while bytes are left. It unmasks in
// place: it writes into b, and does not retain b. What it needs later goes to a buffer from mem.
//
// An error is always a *ProtocolError; n has no meaning then. The connection must fail with it, and only Reset may
// follow. Text is refused as soon as it cannot be valid, in the middle of a frame too. That no frame may follow a
// Close is for the caller to watch over.
func (d *Decoder) Next(r *Rules, mem Memory, b []byte) (ev Event, n int, err error) {
	d.Release(mem)
	if ev, n, ok := d.short(r, b); ok {
		if ev.Op == OpText && !ValidUTF8(ev.Payload) {
			return Event{}, 0, errTextNotUTF8
		}
		return ev, n, nil
	}
	for n < len(b) {
		if !d.inFrame {
			k, err := d.readHeader(r, b[n:])
			n += k
			if err != nil || !d.inFrame {
				return Event{}, n, err
			}
		}
		p := b[n:]
		if int64(len(p)) > d.left {
			p = p[:d.left]
		}
		n += len(p)
		ev, err = d.readPayload(r, mem, p)
		if err != nil || ev.Op != OpContinuation {
			return ev, n, err
		}
	}
	return Event{}, n, nil
}

// short takes the commonest frame, a message of less than 126 bytes that is not compressed and stands whole at the
// beginning of b, in one look. All else, and all that is wrong, it leaves to the long way.
func (d *Decoder) short(r *Rules, b []byte) (ev Event, n int, ok bool) {
	if d.inFrame || d.nraw > 0 || d.msg.isOpen() || len(b) < 2 {
		return Event{}, 0, false
	}
	op, length := Opcode(b[0]&0x7F), int(b[1]&0x7F)
	masked := r.Side == Server
	switch {
	case b[0]&0x80 == 0 || !op.IsData() || length >= length16 || b[1]&0x80 != 0 != masked || int64(length) > r.MaxMessage:
		return Event{}, 0, false
	case !masked && len(b) >= 2+length:
		return Event{Op: op, Payload: b[2 : 2+length]}, 2 + length, true
	case !masked || len(b) < 6+length:
		return Event{}, 0, false
	}
	n = 6 + length
	p := b[6:n]
	if key := binary.LittleEndian.Uint32(b[2:]); length >= 8 {
		maskWords(p, key)
	} else {
		maskBytes(p, key)
	}
	return Event{Op: op, Payload: p}, n, true
}

// Missing is how many payload bytes of a data frame in progress have not come; 0 where there is none.
func (d *Decoder) Missing() int64 {
	if !d.inFrame || d.head.Op.IsControl() {
		return 0
	}
	return d.left
}

// Room is where the next n bytes of the stream belong, 0 < n <= Missing: what is read there needs no copy. Only as many
// may be asked for as have arrived, as far as the caller can tell. It is valid until the next call of another method,
// and Filled says what has become of it.
func (d *Decoder) Room(r *Rules, mem Memory, n int) []byte {
	d.msg.grow(mem, n, d.limit(r))
	had := len(d.msg.buf)
	return d.msg.buf[had : had+n]
}

// Filled is Next for the first n bytes of Room. It takes all of them.
func (d *Decoder) Filled(n int) (Event, error) {
	m := &d.msg
	p := m.buf[len(m.buf) : len(m.buf)+n]
	d.take(p)
	if err := d.checkText(p); err != nil {
		return Event{}, err
	}
	m.buf = m.buf[:len(m.buf)+n]
	return d.complete(), nil
}

// Idle reports whether d remembers nothing: no cut header, frame or message, and no buffer, which the last event may
// still hold until Release. The payload of a control frame that was cut lies in d itself, and Idle does not see it:
// handle the event before d serves another connection.
func (d *Decoder) Idle() bool {
	return !d.inFrame && d.nraw == 0 && !d.msg.isOpen() && d.msg.buf == nil
}

// Release gives the buffer behind the last event back, if there is one, and ends the life of that event's payload. A
// message in progress stays. Next begins with it; call it when the last event of a read has been handled.
func (d *Decoder) Release(mem Memory) {
	if d.msg.lent {
		mem.Put(d.msg.buf)
		d.msg.buf, d.msg.lent = nil, false
	}
}

// Reset gives everything back and makes d a zero value.
func (d *Decoder) Reset(mem Memory) {
	if d.msg.buf != nil {
		mem.Put(d.msg.buf)
	}
	*d = Decoder{}
}

// Buffered is the capacity in bytes that d holds from Memory.
func (d *Decoder) Buffered() int { return cap(d.msg.buf) }

// readHeader takes header bytes from b and returns how many. Afterwards inFrame says whether the header is complete and
// its frame accepted.
func (d *Decoder) readHeader(r *Rules, b []byte) (n int, err error) {
	if d.nraw > 0 {
		n, err = d.completeHeader(b)
	} else {
		n, err = d.head.parse(b)
		if n == 0 && err == nil {
			d.nraw = uint8(copy(d.raw[:], b))
			return len(b), nil
		}
	}
	if err != nil || d.nraw > 0 {
		return n, err
	}
	if err = r.check(&d.head, &d.msg); err != nil {
		return n, err
	}
	d.begin()
	return n, nil
}

// completeHeader joins b to a header that began in an earlier read. raw is empty afterwards when that was enough.
func (d *Decoder) completeHeader(b []byte) (n int, err error) {
	had := int(d.nraw)
	have := had + copy(d.raw[had:], b)
	n, err = d.head.parse(d.raw[:have])
	if err != nil {
		return 0, err
	}
	if n == 0 {
		d.nraw = uint8(have)
		return have - had, nil
	}
	d.nraw = 0
	return n - had, nil
}

// begin enters the frame of head.
func (d *Decoder) begin() {
	d.inFrame, d.left = true, d.head.Length
	if d.head.Op.IsControl() {
		return
	}
	if d.head.Op != OpContinuation {
		d.msg.op, d.msg.compressed = d.head.Op, d.head.RSV == RSV1
	}
	d.msg.size += d.head.Length
	d.msg.frames++
}

// readPayload takes p, the next piece of the frame in progress, and returns an event when something is complete.
func (d *Decoder) readPayload(r *Rules, mem Memory, p []byte) (Event, error) {
	d.take(p)
	whole := int64(len(p)) == d.head.Length
	switch {
	case d.head.Op.IsControl():
		return d.control(p, whole)
	case whole && d.head.Fin && d.head.Op != OpContinuation:
		return d.single(p)
	default:
		return d.fragment(r, mem, p)
	}
}

// take unmasks p, the next piece of the frame in progress.
func (d *Decoder) take(p []byte) {
	if d.head.Masked {
		Mask(p, d.head.Mask, int((d.head.Length-d.left)&3))
	}
	d.left -= int64(len(p))
	d.inFrame = d.left > 0
}

// control completes a control frame, from p alone when it holds the whole payload and else by way of ctl.
func (d *Decoder) control(p []byte, whole bool) (Event, error) {
	if !whole {
		at := int(d.head.Length-d.left) - len(p)
		copy(d.ctl[at:], p)
		if d.inFrame {
			return Event{}, nil
		}
		p = d.ctl[:d.head.Length]
	}
	if d.head.Op == OpClose {
		if _, _, err := ParseClose(p); err != nil {
			return Event{}, err
		}
	}
	return Event{Op: d.head.Op, Payload: p}, nil
}

// single completes a message of one frame that a read brought whole: no copy, no memory.
func (d *Decoder) single(p []byte) (Event, error) {
	ev := Event{Op: d.msg.op, Compressed: d.msg.compressed, Payload: p}
	d.msg = message{}
	if ev.Op == OpText && !ev.Compressed && !ValidUTF8(p) {
		return Event{}, errTextNotUTF8
	}
	return ev, nil
}

// fragment stores a piece of a message and completes the message with the last one.
func (d *Decoder) fragment(r *Rules, mem Memory, p []byte) (Event, error) {
	if err := d.checkText(p); err != nil {
		return Event{}, err
	}
	d.msg.grow(mem, len(p), d.limit(r))
	d.msg.buf = append(d.msg.buf, p...)
	return d.complete(), nil
}

// checkText refuses a piece of text that cannot be valid. Compressed text is looked at by who inflates it.
func (d *Decoder) checkText(p []byte) error {
	m := &d.msg
	if m.op != OpText || m.compressed {
		return nil
	}
	if !m.text.Write(p) || d.isEnd() && !m.text.Done() {
		return errTextNotUTF8
	}
	return nil
}

// isEnd says whether the piece that was taken last is the last one of its message.
func (d *Decoder) isEnd() bool { return d.head.Fin && !d.inFrame }

// complete gives the message that has been stored, if that was the last piece of it.
func (d *Decoder) complete() Event {
	m := &d.msg
	if !d.isEnd() {
		return Event{}
	}
	ev := Event{Op: m.op, Compressed: m.compressed, Payload: m.buf}
	*m = message{buf: m.buf, lent: m.buf != nil}
	return ev
}

// limit is the most that the message in progress can come to.
func (d *Decoder) limit(r *Rules) int64 {
	if d.head.Fin {
		return d.msg.size
	}
	return r.maxWire(d.msg.compressed)
}

// grow makes room for n more bytes behind buf. Capacity follows what has arrived, never what was declared: it doubles,
// and stops at limit.
func (m *message) grow(mem Memory, n int, limit int64) {
	need := len(m.buf) + n
	if need <= cap(m.buf) {
		return
	}
	buf := mem.Get(int(min(max(2*int64(need), minBuffer), limit)))
	buf = append(buf, m.buf...)
	if m.buf != nil {
		mem.Put(m.buf)
	}
	m.buf = buf
}
