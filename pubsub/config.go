package pubsub

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/headrace/headrace/engine"
)

// Config is what a Hub is made with. The zero value serves.
type Config struct {
	// Encoder makes the messages that subscribers get. Nil sends payloads as they
	// are, as text, and no marks: see Payloads.
	Encoder Encoder

	// Broker stands behind Publish. Nil is one in this process.
	Broker Broker

	// History is how many messages of each topic are kept for subscribers that come
	// back, and HistoryBytes how many bytes of payload at most. Zero means 256 and
	// 1 MiB; NoHistory keeps none.
	History, HistoryBytes int

	// NoLastValues keeps no newest payload per key: a new subscriber gets what is
	// published from then on, and no snapshot, as with Options.NoSnapshot.
	NoLastValues bool

	// MaxTopics is how many topics there may be, and MaxKeys how many keys each may
	// have. Publishing to one more gives ErrTooManyTopics or ErrTooManyKeys. Zero
	// means 100,000 and 1024.
	MaxTopics, MaxKeys int

	// Retain is how long after its last message a topic is remembered that has no
	// subscriber, however short a time ago the last one left. Zero means 10 minutes.
	Retain time.Duration

	// MaxPayload is the longest payload. Zero means 1 MiB. A key has at most 1024 bytes.
	MaxPayload int

	// MaxSubscriptions is how many subscriptions a connection may have. Zero means
	// 100.
	MaxSubscriptions int

	// MaxBacklog is how many bytes of messages may wait for a loop that is behind.
	// Publish gives ErrBusy then, and has published nothing. Zero means 64 MiB.
	MaxBacklog int

	// MaxPending is how many messages may wait for a subscription with Deadline
	// whose socket takes no more; the oldest is dropped for one more. Zero means
	// 1024.
	MaxPending int

	// AllowSubscribe, if not nil, decides whether a connection may subscribe to a
	// pattern. What it returns is what Subscribe returns. It is called on the
	// goroutine that calls Subscribe.
	AllowSubscribe func(c *engine.Conn, pattern string) error

	// AllowPublish, if not nil, is the same for PublishFrom.
	AllowPublish func(c *engine.Conn, topic string) error

	// Logger is told of panics in the Encoder, and of marks that are not UTF-8. Nil means
	// slog.Default.
	Logger *slog.Logger
}

// NoHistory as Config.History keeps no messages for subscribers that come back.
const NoHistory = -1

// NoLimit as a limit of Config is the highest that there is.
const noLimit = 1 << 30

func (cfg Config) withDefaults() (Config, error) {
	setDefault(&cfg.History, 256)
	setDefault(&cfg.HistoryBytes, 1<<20)
	setDefault(&cfg.MaxTopics, 100_000)
	setDefault(&cfg.MaxKeys, 1024)
	setDefault(&cfg.Retain, 10*time.Minute)
	setDefault(&cfg.MaxPayload, 1<<20)
	setDefault(&cfg.MaxSubscriptions, 100)
	setDefault(&cfg.MaxBacklog, 64<<20)
	setDefault(&cfg.MaxPending, 1024)
	if cfg.History == NoHistory {
		cfg.History = 0
	}
	if cfg.Encoder == nil {
		cfg.Encoder = Payloads{Kind: engine.Text}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	for name, n := range map[string]int{
		"History": cfg.History, "HistoryBytes": cfg.HistoryBytes, "MaxTopics": cfg.MaxTopics, "MaxKeys": cfg.MaxKeys,
		"MaxPayload": cfg.MaxPayload, "MaxSubscriptions": cfg.MaxSubscriptions, "MaxBacklog": cfg.MaxBacklog,
		"MaxPending": cfg.MaxPending,
	} {
		if n < 0 || n > noLimit {
			return cfg, fmt.Errorf("pubsub: Config.%s is %d: it must be between 0 and %d", name, n, noLimit)
		}
	}
	if cfg.Retain < 0 {
		return cfg, errors.New("pubsub: Config.Retain must not be negative")
	}
	if op := cfg.Encoder.Op(); !op.IsData() {
		return cfg, fmt.Errorf("pubsub: Encoder.Op is %v: it must be engine.Text or engine.Binary", op)
	}
	return cfg, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
