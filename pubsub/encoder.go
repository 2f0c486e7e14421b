package pubsub

import "github.com/headrace/headrace/engine"

// Position is a place in the messages of a topic. The messages of an epoch are
// numbered from 1 on, without a gap. A topic begins a new epoch when it is made
// anew: after a restart, or when it had been forgotten.
type Position struct {
	Epoch uint64 // at most 2^53-1, so that JavaScript can hold it; 0: the topic has no messages
	Seq   uint64
}

// Update is a message as it is encoded for subscribers.
type Update struct {
	Topic, Key string
	Position
	Payload []byte // valid until the callback returns; nil with Deleted
	Deleted bool   // the key has no value any more
	Skipped int    // older messages of the same key that this subscriber has missed since its last one
}

// MarkKind says what a Mark tells.
type MarkKind uint8

const (
	// SnapshotBegin comes before the newest message of each key of a topic, which
	// take the place of all that the subscriber knows of the topic.
	SnapshotBegin MarkKind = iota + 1
	// SnapshotEnd comes behind them.
	SnapshotEnd
	// Recovered says that the messages from the subscriber's position on follow, up
	// to Position, and that nothing is missing. With a Count of 0 it also says to one
	// that gave no position, and begins without a snapshot, where that is.
	Recovered
	// Live says that everything that the topics of Pattern held has been sent: from
	// here on messages come as they are published.
	Live
)

// Mark is something between the messages that a subscriber gets.
type Mark struct {
	Kind     MarkKind
	Pattern  string // of the subscription
	Topic    string // "" with Live
	Position        // where the topic is: later messages have a higher Seq
	Count    int    // messages that follow
	Lost     bool   // with SnapshotBegin: the subscriber gave a position that could not be recovered
}

// Encoder makes the messages of a hub's protocol. Its methods are called from any
// goroutine, several at once, and must not call the hub. An update is encoded once,
// whatever the number of its subscribers, unless it says that something was skipped.
//
// Text that is not UTF-8 is not sent: publishing such an update gives ErrBadPayload, and
// what is for one subscriber ends its connection. It is the same with a panic, for which
// publishing gives ErrEncoder.
type Encoder interface {
	// Op is the kind of the messages, engine.Text or engine.Binary.
	Op() engine.Op
	// AppendUpdate appends one message. It does not retain dst or what u holds.
	AppendUpdate(dst []byte, u *Update) []byte
	// AppendMark appends one message, or nothing: then none is sent.
	AppendMark(dst []byte, m *Mark) []byte
}

// Payloads is the Encoder that sends payloads as they are, and no marks. A deleted
// key is an empty message. With engine.Text payloads are UTF-8: Publish gives
// ErrBadPayload for others.
type Payloads struct{ Kind engine.Op }

// Op implements Encoder.
func (p Payloads) Op() engine.Op { return p.Kind }

// AppendUpdate implements Encoder.
func (p Payloads) AppendUpdate(dst []byte, u *Update) []byte { return append(dst, u.Payload...) }

// AppendMark implements Encoder.
func (p Payloads) AppendMark(dst []byte, _ *Mark) []byte { return dst }
