// Package pubsub carries topics to the connections of an engine: one publish, any
// number of subscribers, and a reader that is slow makes nobody wait and no queue grow.
//
//	hub, err := pubsub.New(pubsub.Config{})
//	// in OnOpen or OnMessage:
//	err = hub.Subscribe(conn, "ticks.*", pubsub.Options{Mode: pubsub.Latest})
//	// anywhere:
//	_, err = hub.Publish("ticks.acme", "", []byte(`{"bid":100.25}`))
//
// Every method of Hub is safe from any goroutine. Subscriptions end with their
// connection.
//
// # Topics and patterns
//
// A topic is a name of tokens between dots, and comes into being with its first
// message. A pattern matches topics: * stands for one token, > at the end for one or
// more. What a publish costs depends on the tokens of its name and on who gets it, not
// on the number of topics or patterns.
//
// # What a publish costs
//
// A message is encoded once (Encoder), and compressed once for each set of parameters
// that connections have agreed on. Each loop gets one call for all that was published
// since the last; it joins the messages for each pattern in one piece, which its
// connections share, so that a subscriber gets a batch in one write, and so does one
// with many subscriptions. Nothing is copied or allocated for a delivery. After 256
// connections a loop looks at others before it goes on.
//
// # Slow readers
//
// Options.Mode says what becomes of messages while a subscriber's socket takes no more:
// Queue has them wait in the connection's queue, whose limit and policy are those of
// its Endpoint; Latest keeps the newest of each topic and key, and says how many it
// stands for; Deadline drops those that are too old. The kernel holds some before a
// socket is full: Endpoint.MaxUnsent makes that little, so that what a Latest
// subscriber gets next is new.
//
// # Snapshots and recovery
//
// A new subscriber first gets the newest message of each key of the topics that it
// matches, between two marks, then every message that is published after, without a gap
// or a repetition between. A snapshot goes as fast as the socket takes it, topic by
// topic, and is of the moment at which it goes.
//
// Messages of a topic are numbered (Position). A subscriber that comes back says where
// it was, and gets what it has missed from a bounded history, or a snapshot that says
// that this is no longer known. What a subscriber misses shows as a gap in the numbers.
//
// # Limits
//
// Topics, keys, payloads, subscriptions and everything that waits have limits with
// defaults (Config). A loop that is too far behind makes Publish return ErrBusy, with
// nothing published, rather than a queue grow.
//
// # Other servers
//
// A Broker stands behind Publish, and carries topics to other processes. The one within
// the process is the default.
package pubsub
