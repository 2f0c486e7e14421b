package main

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/headrace/headrace/engine"
	"github.com/headrace/headrace/pubsub"
)

// chat relays each text message to everyone in the room, the sender included, so
// that all see the same messages in the same order. A room is a topic of a hub that
// keeps nothing. Binary is refused with 1003. A member that reads too slowly is
// closed with 1013 when its own queue is full; nobody waits for it.
type chat struct{ hub *pubsub.Hub }

const (
	roomPrefix  = "chat."
	defaultRoom = "lobby"
)

func newChatHub(opts *options, logger *slog.Logger) (*pubsub.Hub, error) {
	return pubsub.New(pubsub.Config{
		Encoder:      pubsub.Payloads{Kind: engine.Text},
		History:      pubsub.NoHistory,
		NoLastValues: true,
		MaxTopics:    opts.feed.maxTopics,
		Retain:       time.Minute, // nobody misses an empty room
		MaxPayload:   int(opts.endpoint.MaxMessage),
		Logger:       logger,
	})
}

// admit finds the room in the query, ?room=blue. The user state is its topic. Who asks for
// what cannot be read is in no room, not in the lobby.
func (h *chat) admit(r *engine.Request) error {
	q, err := url.ParseQuery(r.RawQuery())
	if err != nil || len(q["room"]) > 1 {
		return &engine.Refusal{Status: http.StatusBadRequest, Body: "The query does not name one room: a % or ; in a name is %25 or %3B."}
	}
	room := defaultRoom
	if q.Has("room") {
		room = q.Get("room")
	}
	if strings.Contains(room, ".") || pubsub.ValidTopic(roomPrefix+room) != nil {
		return &engine.Refusal{
			Status: http.StatusBadRequest,
			Body:   "The name of a room is not empty and has no space, dot, control character, * or >, and at most 250 bytes.",
		}
	}
	r.SetUser(roomPrefix + room)
	return nil
}

// OnOpen implements engine.Handler.
func (h *chat) OnOpen(c *engine.Conn) {
	if err := h.hub.Subscribe(c, room(c), pubsub.Options{}); err != nil {
		_ = c.Close(engine.CloseTryAgainLater, "the chat is closed")
	}
}

// OnMessage implements engine.Handler.
func (h *chat) OnMessage(c *engine.Conn, op engine.Op, p []byte) {
	if op != engine.Text {
		_ = c.Close(engine.CloseUnsupportedData, "the chat relays text only")
		return
	}
	switch _, err := h.hub.Publish(room(c), "", p); {
	case errors.Is(err, pubsub.ErrTooManyTopics):
		_ = c.Close(engine.CloseTryAgainLater, "there are too many rooms")
	case err != nil: // there is no other way to say that the message is lost
		_ = c.Close(engine.CloseTryAgainLater, "the chat is behind")
	}
}

// OnClose implements engine.Handler. The hub hears of the end by itself.
func (h *chat) OnClose(*engine.Conn, engine.CloseInfo) {}

func room(c *engine.Conn) string { return c.User().(string) }
