package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/headrace/headrace/pubsub"
)

// topics is all that the server does with topics: the feed, and what runs beside
// its connections.
type topics struct {
	feed *feed

	stop  context.CancelFunc
	ended sync.WaitGroup
}

// newTopics makes it. Nothing runs before start.
func newTopics(opts *options, logger *slog.Logger) (*topics, error) {
	feedHub, err := pubsub.New(pubsub.Config{
		Encoder:          feedEncoder{},
		History:          opts.feed.history,
		MaxTopics:        opts.feed.maxTopics,
		MaxSubscriptions: opts.feed.maxSubscriptions,
		MaxPayload:       int(opts.endpoint.MaxMessage),
		AllowPublish:     allowPublish(opts.feed.publish),
		Logger:           logger,
	})
	if err != nil {
		return nil, fmt.Errorf("the feed: %w", err)
	}
	return &topics{
		feed: &feed{hub: feedHub, beats: newBeats(opts.feed.heartbeat)},
		stop: func() {},
	}, nil
}

// start begins the heartbeats, if there are any: one goroutine.
func (t *topics) start() {
	var ctx context.Context
	ctx, t.stop = context.WithCancel(context.Background())
	if t.feed.beats.every > 0 {
		t.ended.Go(func() { t.feed.beats.run(ctx) })
	}
}

// close ends what start has begun, and the hub. It comes after the server's end.
func (t *topics) close() {
	t.stop()
	t.ended.Wait()
	_ = t.feed.hub.Close()
}
