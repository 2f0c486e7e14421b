package pubsub

import "errors"

// Errors of a hub, compared with errors.Is. ErrBadTopic and ErrBadPattern stand with
// the rules for names.
var (
	// ErrTooManySubscriptions says that a connection has Config.MaxSubscriptions.
	ErrTooManySubscriptions = errors.New("pubsub: the connection has too many subscriptions")
	// ErrNotSubscribed says that there is no such subscription to end.
	ErrNotSubscribed = errors.New("pubsub: the connection has no such subscription")
	// ErrTooManyTopics says that there are Config.MaxTopics.
	ErrTooManyTopics = errors.New("pubsub: there are too many topics")
	// ErrTooManyKeys says that a topic has Config.MaxKeys.
	ErrTooManyKeys = errors.New("pubsub: the topic has too many keys")
	// ErrTooLong says that a payload is longer than Config.MaxPayload, or a key than 1024
	// bytes.
	ErrTooLong = errors.New("pubsub: the payload is too long")
	// ErrBadPayload says that the message for subscribers is a text message and not
	// UTF-8: every one of them would have to end its connection (RFC 6455 §8.1).
	ErrBadPayload = errors.New("pubsub: the text message would not be UTF-8")
	// ErrEncoder says that Config.Encoder has panicked over the message. Config.Logger is
	// told where.
	ErrEncoder = errors.New("pubsub: the encoder has panicked")
	// ErrBadKey says that a key is not UTF-8.
	ErrBadKey = errors.New("pubsub: the key is not UTF-8")
	// ErrBusy says that a loop is Config.MaxBacklog behind. Nothing was published.
	ErrBusy = errors.New("pubsub: a loop is too far behind, try again later")
	// ErrBadOptions says that the options of a subscription contradict each other.
	ErrBadOptions = errors.New("pubsub: bad options of a subscription")
	// ErrHubClosed says that the hub has ended.
	ErrHubClosed = errors.New("pubsub: hub is closed")
	// ErrUnsure is for brokers: whether the message has got its place is not known.
	ErrUnsure = errors.New("pubsub: the broker was lost while it published; the message may still come")
)
