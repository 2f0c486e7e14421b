package codec

// Side says which end of the connection is receiving.
type Side byte

const (
	Server Side = iota // receives masked frames from a client
	Client             // receives unmasked frames from a server
)

// Rules is what a connection demands of the frames that it receives. It is read only, so all connections of an
// endpoint share one.
type Rules struct {
	Side       Side
	Deflate    bool  // permessage-deflate was negotiated: RSV1 is allowed where RFC 7692 allows it
	MaxMessage int64 // payload bytes of one message over all its frames, as they are on the wire; must be > 0; see maxWire
	MaxFrames  int   // frames of one message; must be > 0
}

// maxWire is the most that a message may take on the wire. Compressed data that could not be compressed is a little
// longer than what it stands for; a message within the limit must not be refused for that. Inflater has the limit itself.
func (r *Rules) maxWire(compressed bool) int64 {
	if compressed {
		return r.MaxMessage + r.MaxMessage/1024 + 64
	}
	return r.MaxMessage
}

// check holds the rules that need the connection, for a header that ParseHeader accepted. open is the message that the
// frame would continue. Lengths are judged as declared, before anything is stored.
func (r *Rules) check(h *Header, open *message) error {
	switch {
	// §5.1: "The server MUST close the connection upon receiving a frame that is not masked."
	case r.Side == Server && !h.Masked:
		return errNotMasked
	// §5.1: "A client MUST close a connection if it detects a masked frame."
	case r.Side == Client && h.Masked:
		return errMasked
	// §5.2: "If a nonzero value is received and none of the negotiated extensions defines the meaning of such a
	// nonzero value, the receiving endpoint MUST _Fail the WebSocket Connection_."
	case h.RSV != 0 && !(h.RSV == RSV1 && r.Deflate):
		return errReservedBits
	// RFC 7692 §6: the bit stands on the first frame of a data message only
	case h.RSV != 0 && !h.Op.IsData():
		return errCompressedBit
	// §5.4: control frames may stand between the frames of a message and leave it alone
	case h.Op.IsControl():
		return nil
	// §5.4: a continuation needs a message that a text or binary frame has begun
	case h.Op == OpContinuation && !open.isOpen():
		return errNoMessage
	// §5.4: "The fragments of one message MUST NOT be interleaved between the fragments of another message"
	case h.Op != OpContinuation && open.isOpen():
		return errMessageOpen
	// §10.4: limits on frames and on messages put together from frames
	case h.Length > r.maxWire(open.compressed || h.RSV == RSV1)-open.size:
		return errTooBig
	case open.frames >= r.MaxFrames:
		return errTooManyFrames
	}
	return nil
}
