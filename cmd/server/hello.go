package main

import (
	"strings"
	"time"

	"github.com/headrace/headrace/engine"
)

// hello is the first lesson: who says "My name is Bora" is greeted, and after a
// while the server says goodbye.
type hello struct {
	stay time.Duration // from the greeting to the goodbye
}

const (
	introduction = "My name is "
	hint         = `Say "My name is …", and I shall greet you.`
)

// OnOpen implements engine.Handler.
func (hello) OnOpen(*engine.Conn) {}

// OnMessage implements engine.Handler. The connection's user state is the timer
// of the goodbye, from the first greeting on.
func (h hello) OnMessage(c *engine.Conn, _ engine.Op, p []byte) {
	name, ok := nameIn(string(p))
	if !ok {
		_ = c.Reply(engine.Text, []byte(hint))
		return
	}
	_ = c.Reply(engine.Text, []byte("Hello from server, "+name+"!"))
	if c.User() == nil {
		c.SetUser(time.AfterFunc(h.stay, func() { _ = c.Close(engine.CloseNormal, "Bye!") }))
	}
}

// OnClose implements engine.Handler.
func (hello) OnClose(c *engine.Conn, _ engine.CloseInfo) {
	if goodbye, ok := c.User().(*time.Timer); ok {
		goodbye.Stop()
	}
}

// nameIn gives the name from an introduction. Case doesn't count in its first
// words.
func nameIn(text string) (name string, ok bool) {
	text = strings.TrimSpace(text)
	if len(text) <= len(introduction) || !strings.EqualFold(text[:len(introduction)], introduction) {
		return "", false
	}
	return strings.TrimSpace(text[len(introduction):]), true
}
