package engine

import "github.com/headrace/headrace/codec"

// Burst is a run of messages for many connections of one loop, in one piece for each
// encoding: plain, and for each set of parameters of permessage-deflate. Connections
// share the piece; nothing is copied or allocated for one of them, unless it is a
// client (which masks), keeps a compressor of its own (FullHistory), or its socket
// takes no more.
//
// Its methods are loop-only.
type Burst struct {
	loop     *loop
	messages []*Message
	plain    *piece
	zipped   []zipped
}

// piece is frames that stand one behind the other. The frame of a single message is
// that message's; others are copied into the loop's memory once. The burst has a
// reference, and each queue that the piece stands in. Loop-only.
type piece struct {
	p       []byte
	loop    *loop
	refs    int32
	lent    bool     // p is from the loop's memory
	message *Message // whose frame p is
}

// zipped is the piece for the connections that have agreed on the same.
type zipped struct {
	*piece
	level, threshold int
	bits             uint8
}

// maxFreeBursts is how many bursts a loop keeps for the next ones.
const maxFreeBursts = 64

// NewBurst gives a burst for connections of this loop. It retains
// the messages, not the slice, until Release. Loop-only.
func (l *Loop) NewBurst(messages ...*Message) *Burst {
	b := l.loop().newBurst()
	for _, m := range messages {
		b.messages = append(b.messages, m.Retain())
	}
	return b
}

func (l *loop) newBurst() *Burst {
	if n := len(l.bursts); n > 0 {
		b := l.bursts[n-1]
		l.bursts = l.bursts[:n-1]
		return b
	}
	return &Burst{loop: l}
}

// Len is how many messages there are. Loop-only.
func (b *Burst) Len() int { return len(b.messages) }

// Messages are those of NewBurst, valid until Release. Loop-only.
func (b *Burst) Messages() []*Message { return b.messages }

// Release lets go of the burst, which must not be used any more. What is on its way over
// a connection is not affected. Loop-only.
func (b *Burst) Release() {
	l := b.loop
	if b.plain != nil {
		b.plain.release()
	}
	for i := range b.zipped {
		b.zipped[i].release()
	}
	for _, m := range b.messages {
		m.Release()
	}
	clear(b.messages)
	clear(b.zipped)
	*b = Burst{loop: l, messages: b.messages[:0], zipped: b.zipped[:0]}
	if len(l.bursts) < maxFreeBursts {
		l.bursts = append(l.bursts, b)
	}
}

// release takes a reference away.
func (p *piece) release() {
	if p.refs--; p.refs > 0 {
		return
	}
	l := p.loop
	if p.lent {
		l.mem.Put(p.p)
	}
	if p.message != nil {
		p.message.Release()
	}
	*p = piece{loop: l}
	if len(l.pieces) < maxFreeBursts {
		l.pieces = append(l.pieces, p)
	}
}

// newPiece gives a piece with one reference.
func (l *loop) newPiece() *piece {
	if n := len(l.pieces); n > 0 {
		p := l.pieces[n-1]
		l.pieces = l.pieces[:n-1]
		p.refs = 1
		return p
	}
	return &piece{loop: l, refs: 1}
}

// SendBurst queues the messages of a burst like Reply, to leave with everything else
// of this turn in one write. It says how many were accepted; with an error it is that
// of the first that was not, as Reply gives it. The burst may be released at once.
// Loop-only, also with Endpoint.Workers: see Work.
func (c *Conn) SendBurst(b *Burst) (accepted int, err error) {
	if c.loop != b.loop {
		return 0, ErrOtherLoop
	}
	c.loop.drainInbox() // what Send has accepted before goes before
	if !c.accepts() {
		return 0, ErrClosed
	}
	p, ok := b.pieceFor(c)
	if !ok || c.holdsBack(0) || c.isTight(len(p.p)) {
		return c.replyEach(b)
	}
	if c.out != nil && c.out.size >= maxCorked {
		c.flush()
	}
	if err := c.reserve(len(p.p)); err != nil {
		return 0, err
	}
	c.loop.stats.sent.Messages += uint64(len(b.messages))
	c.touch()
	c.rememberBurst(b)
	switch o := c.outbox(); {
	case c.flags&flagWatching != 0 && len(p.p) < linkSize: // it may wait for long
		o.add(&c.loop.mem, p.p)
	default:
		o.share(p)
	}
	c.markDirty()
	return len(b.messages), nil
}

// isTight says whether n more bytes might not fit, so that messages must be looked at
// one by one.
func (c *Conn) isTight(n int) bool {
	return c.out != nil && c.out.total()+n > c.id.MaxQueue
}

func (c *Conn) replyEach(b *Burst) (accepted int, err error) {
	for _, m := range b.messages {
		if e := c.reply(m.op, m.Payload()); e == nil {
			accepted++
		} else if err == nil {
			err = e
		}
	}
	return accepted, err
}

// pieceFor gives the burst as it goes over c, or says that it must be encoded for this
// connection alone.
func (b *Burst) pieceFor(c *Conn) (p *piece, ok bool) {
	d := c.deflation()
	switch {
	case c.masks():
		return nil, false
	case d == nil:
		if b.plain == nil {
			b.plain = b.join(func(m *Message) []byte { return m.frame })
		}
		return b.plain, true
	case d.params.SendHistory == codec.FullTakeover:
		return nil, false
	}
	return b.zippedFor(c.id.Compression, d.params.SendBits), true
}

// zippedFor gives the piece in which messages are compressed, each for itself.
func (b *Burst) zippedFor(z *Compression, bits uint8) *piece {
	level := z.sharedLevel()
	for i := range b.zipped {
		if x := &b.zipped[i]; x.bits == bits && x.level == level && x.threshold == z.Threshold {
			return x.piece
		}
	}
	flate := &b.loop.flate
	joined := b.join(func(m *Message) []byte {
		if len(m.Payload()) < z.Threshold {
			return m.frame
		}
		return m.compressed(flate, level, bits)
	})
	b.zipped = append(b.zipped, zipped{piece: joined, level: level, threshold: z.Threshold, bits: bits})
	return joined
}

// sharedLevel is the level for messages that are compressed once for many.
func (z *Compression) sharedLevel() int {
	if z.History == NoHistory && z.Level != 0 {
		return z.Level
	}
	return noHistoryLevel
}

// join puts the frames of the messages into one piece.
func (b *Burst) join(frame func(m *Message) []byte) *piece {
	joined := b.loop.newPiece()
	if len(b.messages) == 1 {
		m := b.messages[0]
		if joined.p = frame(m); &joined.p[0] == &m.frame[0] { // else it is its own, compressed
			joined.message = m.Retain()
		}
		return joined
	}
	size := 0
	for _, m := range b.messages {
		size += len(frame(m))
	}
	joined.p, joined.lent = b.loop.mem.Get(size), true
	for _, m := range b.messages {
		joined.p = append(joined.p, frame(m)...)
	}
	return joined
}

// rememberBurst keeps the history that later messages of this connection may refer to
// in step with what the peer will have seen.
func (c *Conn) rememberBurst(b *Burst) {
	d := c.deflation()
	if d == nil || d.params.SendHistory <= 0 {
		return
	}
	z := c.id.Compression
	for _, m := range b.messages {
		if p := m.Payload(); len(p) >= z.Threshold {
			if f := m.compressed(&c.loop.flate, z.sharedLevel(), d.params.SendBits); f[0]>>4&codec.RSV1 != 0 {
				d.sent.Add(&c.loop.mem, p, int(d.params.SendHistory))
			}
		}
	}
}

// share queues a piece without a copy.
func (o *outbox) share(p *piece) {
	p.refs++
	o.size += len(p.p)
	o.segments = append(o.segments, segment{p: p.p, piece: p})
}
