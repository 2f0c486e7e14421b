package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/headrace/headrace/pubsub"
)

// topics is all that the server does with topics: the feed, the chat, and what runs
// beside their connections.
type topics struct {
	feed    *feed
	chat    *chat
	token   string // of POST /publish; "": there is no such path
	maxData int64
	demo    demo

	stop  context.CancelFunc
	ended sync.WaitGroup
}

// newTopics makes it. Nothing runs before start.
func newTopics(opts *options, logger *slog.Logger) (*topics, error) {
	token, err := publishToken(opts)
	if err != nil {
		return nil, err
	}
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
	chatHub, err := newChatHub(opts, logger)
	if err != nil {
		_ = feedHub.Close()
		return nil, fmt.Errorf("the chat: %w", err)
	}
	return &topics{
		feed:    &feed{hub: feedHub, beats: newBeats(opts.feed.heartbeat)},
		chat:    &chat{hub: chatHub},
		token:   token,
		maxData: opts.endpoint.MaxMessage,
		demo:    opts.feed.demo,
		stop:    func() {},
	}, nil
}

// start begins the heartbeats and the demonstration, if there are any: one goroutine
// each.
func (t *topics) start() {
	var ctx context.Context
	ctx, t.stop = context.WithCancel(context.Background())
	if t.feed.beats.every > 0 {
		t.ended.Go(func() { t.feed.beats.run(ctx) })
	}
	if t.demo.on() {
		t.ended.Go(func() { newTicker(t.demo, randomSeed(), t.feed.hub.Publish).run(ctx) })
	}
}

// boardTopics are what the tick board shows.
const boardTopics = "ticks.*"

// hasTicks says whether there is something for the tick board: the demonstration, or what
// somebody has published.
func (t *topics) hasTicks() bool { return t.demo.on() || t.feed.hub.HasTopic(boardTopics) }

// close ends what start has begun, and the hubs. It comes after the server's end.
func (t *topics) close() {
	t.stop()
	t.ended.Wait()
	_ = t.feed.hub.Close()
	_ = t.chat.hub.Close()
}
