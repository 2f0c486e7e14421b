package main

import "github.com/headrace/headrace/engine"

// echo sends back what it gets, text as text and binary as binary. A peer that
// sends without reading is closed with 1013 by the engine.
type echo struct{}

// OnOpen implements engine.Handler.
func (echo) OnOpen(*engine.Conn) {}

// OnMessage implements engine.Handler.
func (echo) OnMessage(c *engine.Conn, op engine.Op, p []byte) {
	_ = c.Reply(op, p) // an error means that the connection is at its end
}

// OnClose implements engine.Handler.
func (echo) OnClose(*engine.Conn, engine.CloseInfo) {}
