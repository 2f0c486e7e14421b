package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/bench/peers/process"
	"github.com/headrace/headrace/engine"
)

// counting is the handler of connections that send one message and wait for it.
type counting struct {
	size        int
	back, ended atomic.Int64
}

// OnOpen implements engine.Handler.
func (*counting) OnOpen(*engine.Conn) {}

// OnMessage implements engine.Handler.
func (h *counting) OnMessage(_ *engine.Conn, _ engine.Op, p []byte) {
	if len(p) == h.size {
		h.back.Add(1)
	}
}

// OnClose implements engine.Handler.
func (h *counting) OnClose(_ *engine.Conn, info engine.CloseInfo) {
	if !errors.Is(info.Err, engine.ErrShutdown) {
		h.ended.Add(1)
	}
}

// memoryTurn opens connections, and looks at the server's memory before they have said
// anything, and when each has had one echo.
func memoryTurn(s *process.Server, j *job) (fig figuresOf, err error) {
	empty, err := resident(s)
	if err != nil {
		return fig, err
	}
	client, err := engine.NewClient(engine.ClientConfig{Loops: 1, MaxConns: j.Conns, Logger: slog.New(slog.DiscardHandler), ShutdownTimeout: time.Second})
	if err != nil {
		return fig, err
	}
	defer client.Close()
	h := &counting{size: j.Bytes}
	conns, err := openMany(client, url(j, s), j.Conns, j.deflates(), h)
	if err != nil {
		return fig, err
	}
	idle, err := resident(s)
	if err != nil {
		return fig, err
	}
	message := bytes.Repeat([]byte(`{"price": 1.5, `), j.Bytes/15+1)[:j.Bytes]
	for _, c := range conns {
		if err := c.Send(engine.Text, message); err != nil {
			return fig, err
		}
	}
	for end := time.Now().Add(process.Patience); h.back.Load() < int64(j.Conns); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return fig, fmt.Errorf("%d of %d echoes have come, %d connections have ended", h.back.Load(), j.Conns, h.ended.Load())
		}
	}
	after, err := resident(s)
	n := float64(j.Conns)
	return figuresOf{Idle: (idle - empty) / n, After: (after - empty) / n}, err
}
