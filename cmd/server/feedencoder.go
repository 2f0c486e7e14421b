package main

import (
	"strconv"
	"unicode/utf8"

	"github.com/headrace/headrace/engine"
	"github.com/headrace/headrace/pubsub"
)

// feedEncoder makes the messages that follow on a subscription. It allocates nothing
// but what dst needs to grow. Members stand in the order of docs/feed-protocol.md.
type feedEncoder struct{}

// Op implements pubsub.Encoder.
func (feedEncoder) Op() engine.Op { return engine.Text }

// AppendUpdate implements pubsub.Encoder. The payload is JSON: who publishes sees to
// that.
func (feedEncoder) AppendUpdate(dst []byte, u *pubsub.Update) []byte {
	dst = appendString(append(dst, `{"type":"update","topic":`...), u.Topic)
	if u.Key != "" {
		dst = appendString(append(dst, `,"key":`...), u.Key)
	}
	if u.Seq == 1 || u.Skipped > 0 { // who has skipped the first learns it later
		dst = strconv.AppendUint(append(dst, `,"epoch":`...), u.Epoch, 10)
	}
	dst = strconv.AppendUint(append(dst, `,"seq":`...), u.Seq, 10)
	if u.Skipped > 0 {
		dst = strconv.AppendInt(append(dst, `,"skipped":`...), int64(u.Skipped), 10)
	}
	if u.Deleted {
		return append(dst, `,"deleted":true}`...)
	}
	return append(append(append(dst, `,"data":`...), u.Payload...), '}')
}

// AppendMark implements pubsub.Encoder.
func (feedEncoder) AppendMark(dst []byte, m *pubsub.Mark) []byte {
	switch m.Kind {
	case pubsub.SnapshotBegin:
		dst = appendPlace(append(dst, `{"type":"snapshot",`...), m.Topic, m.Position)
		dst = strconv.AppendInt(append(dst, `,"count":`...), int64(m.Count), 10)
		if m.Lost {
			dst = append(dst, `,"lost":true`...)
		}
	case pubsub.SnapshotEnd:
		dst = appendPlace(append(dst, `{"type":"snapshot-end",`...), m.Topic, m.Position)
	case pubsub.Recovered:
		dst = appendPlace(append(dst, `{"type":"recovered",`...), m.Topic, m.Position)
		dst = strconv.AppendInt(append(dst, `,"count":`...), int64(m.Count), 10)
	case pubsub.Live:
		dst = appendString(append(dst, `{"type":"live","topic":`...), m.Pattern)
	default:
		return dst // a kind that this protocol does not have
	}
	return append(dst, '}')
}

// appendPlace appends the members topic, epoch and seq.
func appendPlace(dst []byte, topic string, at pubsub.Position) []byte {
	dst = appendString(append(dst, `"topic":`...), topic)
	dst = strconv.AppendUint(append(dst, `,"epoch":`...), at.Epoch, 10)
	return strconv.AppendUint(append(dst, `,"seq":`...), at.Seq, 10)
}

// appendString appends a string of JSON. A byte that is no UTF-8 becomes U+FFFD, as
// in encoding/json, so that the message is text whatever s is.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0 // s[from:i] goes as it is
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c < ' ' || c == '"' || c == '\\' {
				dst = appendEscape(append(dst, s[from:i]...), c)
				from = i + 1
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(append(dst, s[from:i]...), `\ufffd`...)
			from = i + 1
		}
		i += n
	}
	return append(append(dst, s[from:]...), '"')
}

// appendEscape appends a character that must not stand in a string of JSON as it is
// (RFC 8259 §7).
func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	default:
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
}
