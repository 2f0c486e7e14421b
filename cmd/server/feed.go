package main

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/headrace/headrace/engine"
	"github.com/headrace/headrace/pubsub"
)

// feedProtocol is the subprotocol of /feed: docs/feed-protocol.md.
const feedProtocol = "headrace.feed.v1"

// feedUnsent is what the kernel may hold for a client of the feed that it has not sent:
// little, so that what a slow client gets next is new.
const feedUnsent = 128 << 10

// feed lets clients subscribe to topics, and publish where that is allowed. What
// follows on a subscription comes from the hub, by way of feedEncoder.
type feed struct {
	hub   *pubsub.Hub
	beats *beats
}

// OnOpen implements engine.Handler.
func (f *feed) OnOpen(c *engine.Conn) { f.beats.join(c) }

// OnClose implements engine.Handler. The hub hears of the end by itself.
func (f *feed) OnClose(c *engine.Conn, _ engine.CloseInfo) { f.beats.leave(c) }

// OnMessage implements engine.Handler. What is wrong with a message is said, and the
// connection lives.
func (f *feed) OnMessage(c *engine.Conn, op engine.Op, p []byte) {
	var r request
	err := error(errBinary)
	if op == engine.Text {
		r, err = parseRequest(p)
	}
	var answer []byte
	if err == nil {
		answer, err = f.serve(c, &r)
	}
	if err != nil {
		answer = appendError(nil, &r, refusalOf(err))
	}
	_ = c.Reply(engine.Text, answer) // an error means that the connection is at its end
}

// serve does what is asked for, and gives the answer.
func (f *feed) serve(c *engine.Conn, r *request) ([]byte, error) {
	switch r.kind {
	case askSubscribe:
		err := f.hub.Subscribe(c, r.topic, r.options)
		return appendSubscribed(nil, r.id, r.topic, r.options.Mode), err
	case askUnsubscribe:
		err := pubsub.ValidPattern(r.topic)
		if err == nil {
			err = f.hub.Unsubscribe(c, r.topic)
		}
		return appendUnsubscribed(nil, r.id, r.topic), err
	case askPublish:
		at, err := f.hub.PublishFrom(c, r.topic, r.key, r.data)
		return appendPublished(nil, r.id, r.topic, at), err
	default:
		return appendPong(nil, r.id), nil
	}
}

// allowPublish lets clients publish to the topics that one of the patterns matches.
func allowPublish(patterns []string) func(*engine.Conn, string) error {
	return func(_ *engine.Conn, topic string) error {
		if err := pubsub.ValidTopic(topic); err != nil {
			return err
		}
		if !slices.ContainsFunc(patterns, func(p string) bool { return pubsub.Match(p, topic) }) {
			return errForbidden
		}
		return nil
	}
}

// feedError is what a client is told of a message that was wrong or refused.
type feedError struct{ code, reason string }

// Error implements error.
func (e *feedError) Error() string { return e.code + ": " + e.reason }

var (
	errBinary    = &feedError{"bad-message", "a message is JSON in a text message"}
	errForbidden = &feedError{"forbidden", "clients may not publish to this topic"}
	errFailed    = &feedError{"busy", "the server cannot do it now; try again later"}
)

// refusals are the hub's errors as clients see them.
var refusals = []struct {
	err error
	feedError
}{
	{pubsub.ErrBadPattern, feedError{"bad-topic", "the pattern breaks the rules for names"}},
	{pubsub.ErrBadTopic, feedError{"bad-topic", "the topic breaks the rules for names"}},
	{pubsub.ErrBadKey, feedError{"bad-message", "the key is no UTF-8"}},
	{pubsub.ErrBadPayload, feedError{"bad-message", "the data is no UTF-8"}},
	{pubsub.ErrBadOptions, feedError{"bad-message", "the options contradict each other"}},
	{pubsub.ErrTooManySubscriptions, feedError{"too-many", "the connection has as many subscriptions as it may"}},
	{pubsub.ErrTooManyTopics, feedError{"too-many", "there are as many topics as there may be"}},
	{pubsub.ErrTooManyKeys, feedError{"too-many", "the topic has as many keys as it may"}},
	{pubsub.ErrTooLong, feedError{"too-long", "the data is too long"}},
	{pubsub.ErrNotSubscribed, feedError{"not-subscribed", "there is no such subscription"}},
	{pubsub.ErrBusy, feedError{"busy", "the server is behind; try again later"}},
	{pubsub.ErrHubClosed, feedError{"busy", "the server is shutting down"}},
}

// refusalOf gives what to tell of an error: of the hub, of our own, or of whatever
// stands behind the hub, which is no client's business.
func refusalOf(err error) *feedError {
	var own *feedError
	if errors.As(err, &own) {
		return own
	}
	for i := range refusals {
		r := &refusals[i]
		if !errors.Is(err, r.err) {
			continue
		}
		if r.code == "bad-topic" { // the hub says what is wrong with it, behind the kind of error
			if _, why, ok := strings.Cut(err.Error(), r.err.Error()+": "); ok {
				return &feedError{r.code, why}
			}
		}
		return &r.feedError
	}
	return errFailed
}

// The answers. id is as the client has sent it, nil for none.

func appendAnswer(dst []byte, kind string, id json.RawMessage) []byte {
	dst = append(append(append(dst, `{"type":"`...), kind...), '"')
	if id != nil {
		dst = append(append(dst, `,"id":`...), id...)
	}
	return dst
}

func appendSubscribed(dst []byte, id json.RawMessage, pattern string, mode pubsub.Mode) []byte {
	dst = appendString(append(appendAnswer(dst, "subscribed", id), `,"topic":`...), pattern)
	return append(append(append(dst, `,"mode":"`...), mode.String()...), `"}`...)
}

func appendUnsubscribed(dst []byte, id json.RawMessage, pattern string) []byte {
	dst = appendString(append(appendAnswer(dst, "unsubscribed", id), `,"topic":`...), pattern)
	return append(dst, '}')
}

func appendPublished(dst []byte, id json.RawMessage, topic string, at pubsub.Position) []byte {
	return append(appendPlace(append(appendAnswer(dst, "published", id), ','), topic, at), '}')
}

func appendPong(dst []byte, id json.RawMessage) []byte {
	return append(appendAnswer(dst, "pong", id), '}')
}

// maxTopic is the longest name of a topic that there is, in bytes.
const maxTopic = 255

// appendError names the topic, if one was named that there may be: a client without ids
// knows by it what was refused.
func appendError(dst []byte, r *request, e *feedError) []byte {
	dst = appendAnswer(dst, "error", r.id)
	if r.topic != "" && len(r.topic) <= maxTopic {
		dst = appendString(append(dst, `,"topic":`...), r.topic)
	}
	dst = append(append(append(dst, `,"code":"`...), e.code...), `","reason":`...)
	return append(appendString(dst, e.reason), '}')
}
