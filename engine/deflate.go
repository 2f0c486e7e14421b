package engine

import (
	"errors"

	"github.com/headrace/headrace/codec"
)

// Compression has an endpoint negotiate permessage-deflate (RFC 7692). The zero
// value serves well: what we send may refer to the last 1 KB of what we sent before,
// which compresses ticks and chats to a quarter and costs 1 KB per connection; what
// the peer sends stands for itself, message by message, so that nothing is kept for
// it. A peer that wants less gets that; one that doesn't speak it is served without.
//
// A secret and what an attacker may choose must not be compressed together over a
// connection that he can watch: the length tells him of the secret (BREACH). TLS
// doesn't hide lengths.
type Compression struct {
	// History is how many bytes of what was sent before a message may refer to, at
	// most 32768. Each connection that has sent something keeps them. Zero means
	// 1024. NoHistory compresses each message for itself, and keeps nothing.
	// FullHistory keeps a compressor for each connection, of 0.8 to 1.4 MB: it is
	// for few connections.
	History int

	// PeerBits, if it is 8 to 15, lets the peer refer to what it has sent before, up
	// to 1<<PeerBits bytes back, which each connection that has received something
	// keeps. A client that cannot keep to so little, as it says in its offer,
	// compresses each message for itself; a server that cannot leaves compression
	// out. Zero has every peer compress each message for itself.
	PeerBits int

	// Threshold is the length in bytes from which on messages are compressed. Zero
	// means 128.
	Threshold int

	// Level is 1 (fast) to 9 (small). Zero means what suits History: a compressor
	// with small tables for one of up to 8 KB, 3 for a longer one and for none, 7 for
	// a full one.
	Level int
}

// Values of Compression.History besides a number of bytes.
const (
	NoHistory   = -1
	FullHistory = -2
)

const (
	defaultHistory   = 1024
	defaultThreshold = 128
	noHistoryLevel   = 3 // what codec.NewDeflater recommends without a history
	// maxStatelessHistory is how much of one the compressor with small tables uses.
	maxStatelessHistory = 8 << 10
	maxDeflateLevel     = 9
	maxDeflateKept      = 1 << 20 // a loop's buffer for compressed messages; a larger one is let go
)

func (z *Compression) withDefaults() (*Compression, error) {
	if z == nil {
		return nil, nil
	}
	c := *z
	setDefault(&c.History, defaultHistory)
	setDefault(&c.Threshold, defaultThreshold)
	if c.History == NoHistory || c.History > maxStatelessHistory {
		setDefault(&c.Level, noHistoryLevel)
	}
	if c.History < FullHistory || !c.options().Valid() || c.Threshold < 0 || c.Level < 0 || c.Level > maxDeflateLevel {
		return nil, errors.New("Compression: History is at most 32768, NoHistory or FullHistory; PeerBits is 0 or 8 to 15; Threshold is not negative; Level is 0 to 9")
	}
	return &c, nil
}

// options are the settings in the words of codec.
func (z *Compression) options() codec.DeflateOptions {
	o := codec.DeflateOptions{SendHistory: z.History, ReceiveBits: z.PeerBits}
	switch z.History {
	case NoHistory:
		o.SendHistory = 0
	case FullHistory:
		o.SendHistory = codec.FullTakeover
	}
	return o
}

// deflation is what a connection keeps for compression.
type deflation struct {
	params   codec.DeflateParams
	sent     codec.Window
	received codec.Window
	stream   *codec.DeflateStream // with FullHistory, from the first message on
}

// deflaters is what the connections of a loop share for compression.
type deflaters struct {
	byLevel  [maxDeflateLevel + 1]*codec.Deflater // by level
	inflater codec.Inflater
	out      []byte // the message being compressed
	spent    int64  // what inflating has cost since the last wakeup, in bytes
	later    []*Conn
}

// negotiate answers the client's offers of extensions.
func (c *Conn) negotiate(ep *endpoint, r *Request) (answer []byte) {
	if ep.Compression == nil {
		return nil
	}
	var offers [][]byte
	for _, f := range r.head.fields {
		if equalFold(f.name, "sec-websocket-extensions") {
			offers = append(offers, f.value)
		}
	}
	answer, params, ok := ep.Compression.options().AppendAnswer(nil, offers)
	if ok {
		c.extra().deflate = &deflation{params: params}
	}
	return answer
}

// deflation gives what the connection keeps for compression, nil without it.
func (c *Conn) deflation() *deflation {
	if x := c.more.Load(); x != nil {
		return x.deflate
	}
	return nil
}

// compresses says whether a message is worth compressing.
func (c *Conn) compresses(p []byte) bool {
	return c.deflation() != nil && len(p) >= c.id.Compression.Threshold
}

// deflate compresses a message that will be sent. It gives nil when the message
// goes as it is. The result is valid until the next call.
func (c *Conn) deflate(p []byte) []byte {
	if !c.compresses(p) {
		return nil
	}
	d, f := c.deflation(), &c.loop.flate
	if cap(f.out) > maxDeflateKept {
		f.out = nil
	}
	if d.params.SendHistory == codec.FullTakeover {
		if d.stream == nil {
			d.stream = codec.NewDeflateStream(c.id.Compression.Level, d.params.SendBits)
		}
		f.out = d.stream.Append(f.out[:0], p)
		return f.out
	}
	f.out = f.deflater(c.id.Compression.Level).Append(f.out[:0], p, d.params.SendBits, d.sent.Bytes())
	if len(f.out) >= len(p) {
		return nil
	}
	if n := int(d.params.SendHistory); n > 0 {
		d.sent.Add(&c.loop.mem, p, n)
	}
	return f.out
}

func (f *deflaters) deflater(level int) *codec.Deflater {
	if f.byLevel[level] == nil {
		f.byLevel[level] = codec.NewDeflater(level)
	}
	return f.byLevel[level]
}

// inflate decompresses a message. The result, if not nil, is to be given back to
// the loop's memory.
func (c *Conn) inflate(ev codec.Event) ([]byte, error) {
	l, d := c.loop, c.deflation()
	p, err := l.flate.inflater.Inflate(&l.mem, ev.Op, ev.Payload, d.received.Bytes(), c.id.MaxMessage)
	l.flate.spent += l.flate.inflater.Cost()
	if err == nil && d.params.ReceiveBits != 0 {
		d.received.Add(&l.mem, p, d.params.ReceiveHistory())
	}
	return p, err
}

// dropDeflation gives back what the connection kept.
func (c *Conn) dropDeflation() {
	if d := c.deflation(); d != nil {
		d.sent.Release(&c.loop.mem)
		d.received.Release(&c.loop.mem)
		d.stream = nil
	}
}
