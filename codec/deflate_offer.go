package codec

import "strconv"

// FullTakeover as DeflateOptions.SendHistory keeps a whole compressor for each connection: a DeflateStream.
const FullTakeover = -1

const (
	minWindowBits = 8
	maxWindowBits = 15
	maxWindow     = 1 << maxWindowBits // bytes: the furthest that deflate can point back, RFC 1951 §3.2.5
)

const deflateName = "permessage-deflate"

// DeflateOptions is what an endpoint is willing to do in permessage-deflate, RFC 7692 §7, be it server or client. The
// zero value compresses every message for itself and wants the same of its peer: no memory between messages.
type DeflateOptions struct {
	// SendHistory says what the messages that we send may refer to: 0 to nothing outside of themselves; up to 32,768
	// to that many bytes of the messages before, which each connection keeps (1,024 serve well); FullTakeover to the
	// whole window, with a compressor for each connection.
	SendHistory int
	// ReceiveBits is the base-2 logarithm of the window in bytes that a connection keeps of what it has received, for
	// the peer to refer to: 8 to 15. 0 keeps none: the peer has to begin every message afresh.
	ReceiveBits int
}

// Valid reports whether the fields are within their limits. The methods below trust that they are.
func (o DeflateOptions) Valid() bool {
	return o.SendHistory >= FullTakeover && o.SendHistory <= maxWindow &&
		(o.ReceiveBits == 0 || o.ReceiveBits >= minWindowBits && o.ReceiveBits <= maxWindowBits)
}

// DeflateParams is what both ends of a connection have agreed on, from the view of this one.
//
// Size budget: 8 bytes.
type DeflateParams struct {
	SendHistory int32 // bytes of what was sent to keep in a Window; 0 for none; FullTakeover for a DeflateStream
	SendBits    uint8 // no distance in what we send exceeds 1<<SendBits bytes; 8 to 15
	ReceiveBits uint8 // keep a Window of 1<<ReceiveBits bytes of what was received; 0 for none
}

// ReceiveHistory is the size in bytes for the Window of received text.
func (p DeflateParams) ReceiveHistory() int {
	if p.ReceiveBits == 0 {
		return 0
	}
	return 1 << p.ReceiveBits
}

// deflateTerms are the parameters of one offer or answer, RFC 7692 §7.1.
type deflateTerms struct {
	serverNoTakeover bool
	clientNoTakeover bool
	clientLimit      bool  // client_max_window_bits is there
	clientBits       uint8 // its value, 0 for none
	serverBits       uint8 // 0 when server_max_window_bits is not there
}

// AppendAnswer is the server's part. offers are the values of the Sec-WebSocket-Extensions headers, in their order; it
// takes the first offer in them that can be accepted, appends the value of the header to answer with, and does not
// retain dst. ok false, with dst as it was, says that there is none: the handshake goes on without compression.
//
// It never fails a handshake. An offer with an unknown or repeated parameter or a bad value is declined, as §7.1
// demands, and the next one looked at; headers that break the grammar of RFC 6455 §9.1 offer nothing at all.
//
// Every lawful offer can be accepted. A client that asks us not to take over, or for a small window, gets that. One
// that cannot limit its own window (it did not send client_max_window_bits) would cost more memory than ReceiveBits
// allows, and so must not take over; neither need one keep a window for which the client has no use.
func (o DeflateOptions) AppendAnswer(dst []byte, offers [][]byte) (answer []byte, p DeflateParams, ok bool) {
	var terms deflateTerms
	for _, value := range offers {
		e := extensions{rest: value}
		for name, more := e.next(); more; name, more = e.next() {
			if ok || string(name) != deflateName {
				continue
			}
			terms, ok = readDeflateTerms(&e)
		}
		if e.malformed {
			return dst, DeflateParams{}, false
		}
	}
	if !ok {
		return dst, DeflateParams{}, false
	}
	terms = o.accept(terms)
	return appendDeflateTerms(dst, terms), o.params(terms.serverTerms()), true
}

// accept turns the terms of an offer into those of the answer.
func (o DeflateOptions) accept(t deflateTerms) deflateTerms {
	// §7.1.1.1: a server agrees to server_no_context_takeover by repeating it, and may say it unasked
	t.serverNoTakeover = t.serverNoTakeover || o.SendHistory == 0
	// §7.1.1.2: in an offer client_no_context_takeover is a hint, in an answer it binds
	t.clientNoTakeover = t.clientNoTakeover || o.ReceiveBits == 0 || o.ReceiveBits < maxWindowBits && !t.clientLimit
	// §7.1.2.2: client_max_window_bits may be answered only where it was offered, and not with more
	limit := uint8(o.ReceiveBits)
	if t.clientBits != 0 {
		limit = min(limit, t.clientBits)
	}
	t.clientLimit = t.clientLimit && !t.clientNoTakeover && limit < maxWindowBits
	t.clientBits = 0
	if t.clientLimit {
		t.clientBits = limit
	}
	// §7.1.2.1: server_max_window_bits is agreed to by repeating it, which serverBits already does
	return t
}

// AppendOffer is the client's part: it appends the value of the Sec-WebSocket-Extensions header to send and does not
// retain dst. The offer always holds client_max_window_bits, because we can keep to any window.
func (o DeflateOptions) AppendOffer(dst []byte) []byte {
	t := deflateTerms{clientLimit: true, clientNoTakeover: o.SendHistory == 0, serverNoTakeover: o.ReceiveBits == 0}
	if o.ReceiveBits > 0 && o.ReceiveBits < maxWindowBits {
		t.serverBits = uint8(o.ReceiveBits)
	}
	return appendDeflateTerms(dst, t)
}

// CheckAnswer is the client's other part: answers are the values of the Sec-WebSocket-Extensions headers of a server
// that was sent AppendOffer of the same options. ok false without an error says that there will be no compression. The
// error is a *ProtocolError; the client has to fail the connection, RFC 7692 §7.1 and RFC 6455 §4.1.
func (o DeflateOptions) CheckAnswer(answers [][]byte) (p DeflateParams, ok bool, err error) {
	for _, value := range answers {
		e := extensions{rest: value}
		for name, more := e.next(); more; name, more = e.next() {
			if ok || string(name) != deflateName {
				return DeflateParams{}, false, errNotOffered
			}
			var t deflateTerms
			t, ok = readDeflateTerms(&e)
			if !ok && !e.malformed || ok && !o.keeps(t) {
				return DeflateParams{}, false, errDeflateAnswer
			}
			p = o.params(t.clientTerms())
		}
		if e.malformed {
			return DeflateParams{}, false, errExtensionSyntax
		}
	}
	return p, ok, nil
}

// keeps reports whether an answer keeps to the offer of AppendOffer.
func (o DeflateOptions) keeps(t deflateTerms) bool {
	switch {
	// §7.1.1.1: who does not repeat server_no_context_takeover has not agreed to it
	case o.ReceiveBits == 0 && !t.serverNoTakeover:
		return false
	// §7.1.2.1: the same or a smaller value
	case o.ReceiveBits > 0 && o.ReceiveBits < maxWindowBits && (t.serverBits == 0 || int(t.serverBits) > o.ReceiveBits):
		return false
	// §7.1.2.2: only in an offer can client_max_window_bits stand without a value
	case t.clientLimit && t.clientBits == 0:
		return false
	}
	return true
}

// sideTerms are deflateTerms as one side sees them.
type sideTerms struct {
	sendFresh, receiveFresh bool
	sendBits, receiveBits   uint8 // 0 when nothing was said
}

func (t deflateTerms) serverTerms() sideTerms {
	return sideTerms{t.serverNoTakeover, t.clientNoTakeover, t.serverBits, t.clientBits}
}

func (t deflateTerms) clientTerms() sideTerms {
	return sideTerms{t.clientNoTakeover, t.serverNoTakeover, t.clientBits, t.serverBits}
}

// params says what the terms of an answer mean for this side.
func (o DeflateOptions) params(t sideTerms) DeflateParams {
	p := DeflateParams{SendBits: maxWindowBits, ReceiveBits: maxWindowBits}
	if t.sendBits != 0 {
		p.SendBits = t.sendBits
	}
	if !t.sendFresh {
		p.SendHistory = int32(min(o.SendHistory, 1<<p.SendBits))
	}
	switch {
	case t.receiveFresh:
		p.ReceiveBits = 0
	case t.receiveBits != 0:
		p.ReceiveBits = t.receiveBits
	}
	return p
}

// readDeflateTerms reads the parameters of the extension that e stands on. ok false: one that §7.1 does not know, or
// twice the same, or a value that does not belong.
func readDeflateTerms(e *extensions) (t deflateTerms, ok bool) {
	ok = true
	for name, value, more := e.param(); more; name, value, more = e.param() {
		bits := windowBits(value)
		switch string(name) {
		case "server_no_context_takeover":
			ok = ok && !t.serverNoTakeover && len(value) == 0
			t.serverNoTakeover = true
		case "client_no_context_takeover":
			ok = ok && !t.clientNoTakeover && len(value) == 0
			t.clientNoTakeover = true
		case "server_max_window_bits":
			ok = ok && t.serverBits == 0 && bits != 0
			t.serverBits = bits
		case "client_max_window_bits":
			ok = ok && !t.clientLimit && (bits != 0 || len(value) == 0)
			t.clientLimit, t.clientBits = true, bits
		default:
			ok = false
		}
	}
	return t, ok && !e.malformed
}

// windowBits reads "a decimal integer value without leading zeroes between 8 to 15, inclusive", §7.1.2. 0 is no such
// value.
func windowBits(v []byte) uint8 {
	switch {
	case len(v) == 1 && v[0] >= '8' && v[0] <= '9':
		return v[0] - '0'
	case len(v) == 2 && v[0] == '1' && v[1] >= '0' && v[1] <= '5':
		return 10 + v[1] - '0'
	}
	return 0
}

func appendDeflateTerms(dst []byte, t deflateTerms) []byte {
	dst = append(dst, deflateName...)
	if t.serverNoTakeover {
		dst = append(dst, "; server_no_context_takeover"...)
	}
	if t.clientNoTakeover {
		dst = append(dst, "; client_no_context_takeover"...)
	}
	if t.serverBits != 0 {
		dst = append(dst, "; server_max_window_bits="...)
		dst = strconv.AppendUint(dst, uint64(t.serverBits), 10)
	}
	if t.clientLimit {
		dst = append(dst, "; client_max_window_bits"...)
	}
	if t.clientBits != 0 {
		dst = append(dst, '=')
		dst = strconv.AppendUint(dst, uint64(t.clientBits), 10)
	}
	return dst
}
