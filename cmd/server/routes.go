package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/headrace/headrace/engine"
)

// route is one WebSocket path. Set gives an endpoint its handler, and whatever else is
// this path's own.
type route struct {
	path, does string
	set        func(e *engine.Endpoint, t *topics)
}

// routes are the WebSocket paths, in the order in which the start shows them.
func routes() []route {
	return []route{
		{"/echo", "sends back what it gets", func(e *engine.Endpoint, _ *topics) {
			e.Handler = echo{}
		}},
		{"/feed", "carries topics (" + feedProtocol + ")", func(e *engine.Endpoint, t *topics) {
			e.Handler, e.Subprotocols, e.MaxUnsent = t.feed, []string{feedProtocol}, feedUnsent
		}},
		{"/ws/chat", "relays to everyone in the room (?room=)", func(e *engine.Endpoint, t *topics) {
			e.Handler, e.Admit = t.chat, t.chat.admit
		}},
		{"/hello", "answers My name is …", func(e *engine.Endpoint, _ *topics) {
			e.Handler = hello{stay: 5 * time.Second}
		}},
	}
}

// endpoint is the route with what the settings say.
func (r route) endpoint(opts *options, t *topics, logger *slog.Logger) engine.Endpoint {
	e := opts.endpoint
	r.set(&e, t)
	e.MaxQueue = opts.maxQueue()
	e.WhenFull = fullPolicies[opts.whenFull]
	e.Compression = compressions[opts.compression]
	if logger.Enabled(context.Background(), slog.LevelDebug) {
		e.Handler = logged{e.Handler, logger}
	}
	return e
}

// logged tells of every connection.
type logged struct {
	engine.Handler
	logger *slog.Logger
}

// OnOpen implements engine.Handler.
func (l logged) OnOpen(c *engine.Conn) {
	l.logger.Debug("open", "path", c.Path(), "remote", c.Remote())
	l.Handler.OnOpen(c)
}

// OnClose implements engine.Handler.
func (l logged) OnClose(c *engine.Conn, info engine.CloseInfo) {
	l.Handler.OnClose(c, info)
	l.logger.Debug("close", "path", c.Path(), "remote", c.Remote(),
		"code", info.Code, "reason", info.Reason, "by", info.Initiator, "clean", info.Clean, "err", info.Err)
}
