package pubsub

// Publication is a message on its way to a topic.
type Publication struct {
	Topic, Key string
	Payload    []byte
	Deleted    bool // the key loses its value; there is no payload
	Position        // zero until it has one
}

// Broker is what stands behind a hub's Publish: it gives messages their places, and
// brings what others publish. The one in this process (Config.Broker nil) gives
// places at once and has nobody else. One that stands on a message system carries a
// topic to many servers.
//
// What a hub promises rests on what its broker keeps to:
//
//   - Messages of a topic are delivered to the sink in the order of their positions,
//     each once or more often; a repeated one is passed over. Topics may overtake
//     each other.
//   - A position that leaves a gap is delivered as it is: subscribers see the gap. When
//     a broker knows that it has missed something it calls Sink.Lost, and subscribers
//     get a snapshot that says so.
//   - While it is away, Publish gives an error and nothing was published: a broker that
//     cannot know whether a message got its place says ErrUnsure, and the message may
//     still come. Subscriptions stay; they get what the hub has, and Lost when the
//     broker is back.
//
// In terms of NATS: Publish is a publish with an acknowledgement of JetStream, whose
// sequence number per subject is Position.Seq; Watch is a subscription of core NATS
// for the live messages, and Restore brings the last message per subject and the
// messages since from the stream; a reconnect calls Lost.
type Broker interface {
	// Start begins. The broker delivers to sink from then on, from any goroutine.
	Start(sink Sink) error
	// Publish gives a message its place, and sees to it that it is delivered to the
	// sinks of all hubs that watch its topic, this one included. It does not retain
	// p.Payload. It is called from any goroutine.
	Publish(p Publication) (Position, error)
	// Watch says that this hub has its first subscription with a pattern. It must not
	// block. The broker
	// brings what matching topics hold (Sink.Restore), calls ready, once, from any
	// goroutine, and delivers what is published from then on; subscribers wait for
	// ready, for 10 s at most. An error says that the broker is away; it calls Lost
	// when it is back.
	Watch(pattern string, ready func(error))
	// Unwatch says that the last subscription with a pattern has ended. It must not
	// block.
	Unwatch(pattern string)
	// Close ends the broker. Nothing is delivered after it has returned.
	Close() error
}

// Sink is a hub as its broker sees it. Its methods are safe from any goroutine and do
// not retain payloads.
type Sink interface {
	// Next gives a message the next place of its topic in this hub, and delivers it.
	Next(p Publication) (Position, error)
	// Deliver takes a message in its place. A new epoch takes the place of all that
	// was known of the topic, and its subscribers get a snapshot. An error says that the
	// message was not taken: ErrBusy, after which it may be delivered again, or what
	// Publish would refuse it with. Else the next one of its topic shows the gap.
	Deliver(p Publication) error
	// Restore says what a topic held at a position: the newest message of each key, and
	// the last messages without a gap, oldest first; either may be nil. It is passed
	// over when the hub knows the topic further. Messages that Publish would refuse are
	// left out, and the error says so.
	Restore(topic string, at Position, values, history []Publication) error
	// Lost says that messages of the topics that match pattern may be missing. Their
	// subscribers get a snapshot that says so, of what the hub knows then.
	Lost(pattern string)
}

// local is the broker within this process.
type local struct{ sink Sink }

func (b *local) Start(sink Sink) error                   { b.sink = sink; return nil }
func (b *local) Publish(p Publication) (Position, error) { return b.sink.Next(p) }
func (b *local) Watch(_ string, ready func(error))       { ready(nil) }
func (b *local) Unwatch(string)                          {}
func (b *local) Close() error                            { return nil }
