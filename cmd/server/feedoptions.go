package main

import (
	"errors"
	"time"

	"github.com/headrace/headrace/pubsub"
)

// feedOptions are what the settings say of topics.
type feedOptions struct {
	heartbeat        time.Duration
	history          int // as pubsub.Config.History
	maxTopics        int
	maxSubscriptions int
	publish          []string
}

// topicPattern is a pattern of topics.
func topicPattern(s string) (string, error) {
	if pubsub.ValidPattern(s) != nil {
		return "", errors.New("it must be a topic or a pattern, such as room.blue, room.* or room.>")
	}
	return s, nil
}
