package main

import (
	"sync"

	"github.com/headrace/headrace/engine"
)

// chat relays each text message to everyone connected, the sender included, so
// that all see the same messages in the same order. Binary is refused with 1003.
// A member that reads too slowly is closed with 1013 when its own queue is full;
// nobody waits for it.
type chat struct {
	mu      sync.Mutex // held while a message goes out: that makes the order one for all
	members map[*engine.Conn]struct{}
}

func newChat() *chat { return &chat{members: make(map[*engine.Conn]struct{})} }

// OnOpen implements engine.Handler.
func (h *chat) OnOpen(c *engine.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.members[c] = struct{}{}
}

// OnMessage implements engine.Handler.
func (h *chat) OnMessage(c *engine.Conn, op engine.Op, p []byte) {
	if op != engine.Text {
		_ = c.Close(engine.CloseUnsupportedData, "the chat relays text only")
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for member := range h.members {
		_ = member.Send(engine.Text, p) // queues and returns; after an error OnClose follows
	}
}

// OnClose implements engine.Handler.
func (h *chat) OnClose(c *engine.Conn, _ engine.CloseInfo) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.members, c)
}
