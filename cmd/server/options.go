package main

import (
	"io/fs"
	"log/slog"
	"time"

	"github.com/headrace/headrace/engine"
)

// options are what the settings say. What goes to the engine as it is stands in
// config and endpoint.
type options struct {
	addrs        []string
	internalAddr string
	unixMode     fs.FileMode
	proxyProto   bool
	proxies      []string
	drainDelay   time.Duration
	config       engine.Config
	endpoint     engine.Endpoint
	compression  string
	whenFull     string
	tlsCert      string
	tlsKey       string
	logLevel     slog.Level
	logFormat    string

	tlsSelfSigned bool

	feed feedOptions

	from map[string]string // where each setting that was given comes from
}

// defaults are the engine's, spelled out, but for those that suit a program better:
// an end takes 8 s at most, of which the peers get half to answer our Close frames.
func defaults() options {
	return options{
		addrs:       []string{"localhost:8080"},
		compression: "off",
		whenFull:    "close",
		logLevel:    slog.LevelInfo,
		logFormat:   "text",
		config: engine.Config{
			MaxTLSHandshakes:  1024,
			ForwardedHeader:   "X-Forwarded-For",
			MaxHandshakeBytes: 16 << 10,
			HandshakeTimeout:  10 * time.Second,
			StallTimeout:      30 * time.Second,
			CloseTimeout:      4 * time.Second,
			ShutdownTimeout:   8 * time.Second,
			DrainCode:         engine.CloseGoingAway,
		},
		endpoint: engine.Endpoint{
			PingInterval:   30 * time.Second,
			PongTimeout:    10 * time.Second,
			MaxMessage:     1 << 20,
			MaxFrames:      16384,
			MaxControlRate: 100,
		},
		feed: feedOptions{
			heartbeat:        10 * time.Second,
			history:          256,
			maxTopics:        100_000,
			maxSubscriptions: 100,
		},
		from: make(map[string]string),
	}
}

// maxQueue is max-queue, or room for a few messages of the greatest size.
func (o *options) maxQueue() int {
	if o.endpoint.MaxQueue > 0 {
		return o.endpoint.MaxQueue
	}
	return int(min(maxBytes, max(1<<20, queuedMessages*o.endpoint.MaxMessage)))
}

// queuedMessages is how many messages of the greatest size may wait for a peer
// that reads slowly.
const queuedMessages = 4
