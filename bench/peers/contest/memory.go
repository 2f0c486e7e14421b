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
// anything, and when each has had one echo; of one in Go also when it has collected its
// garbage. What a server needs once, its code and what its runtime makes at first, some
// connections that end again have it fetch before.
func memoryTurn(c *contender, s *process.Server, j *job) (fig figuresOf, err error) {
	client, err := engine.NewClient(engine.ClientConfig{Loops: 1, MaxConns: j.Conns, Logger: slog.New(slog.DiscardHandler), ShutdownTimeout: time.Second})
	if err != nil {
		return fig, err
	}
	defer client.Close()
	m := &memoryOf{contender: c, server: s, job: j, client: client}
	if err := m.warmUp(); err != nil {
		return fig, err
	}
	empty, err := m.collected()
	if err != nil {
		return fig, err
	}
	conns, err := m.open(j.Conns)
	if err != nil {
		return fig, err
	}
	idle, err := resident(s)
	if err != nil {
		return fig, err
	}
	if err := m.echo(conns); err != nil {
		return fig, err
	}
	after, err := resident(s)
	if err != nil {
		return fig, err
	}
	n := float64(j.Conns)
	fig = figuresOf{Idle: (idle - empty) / n, After: (after - empty) / n}
	if c.of == familyGo {
		least, err := m.collected()
		if err != nil {
			return fig, err
		}
		fig.Collected = (least - empty) / n
	}
	return fig, nil
}

// memoryOf is one such turn.
type memoryOf struct {
	contender *contender
	server    *process.Server
	job       *job
	client    *engine.Client
	counting
}

// open opens connections.
func (m *memoryOf) open(n int) ([]*engine.Conn, error) {
	m.size = m.job.Bytes
	return openMany(m.client, url(m.job, m.server), n, m.job.deflates(), &m.counting)
}

// echo has each connection send a message, and waits for all of them.
func (m *memoryOf) echo(conns []*engine.Conn) error {
	message := bytes.Repeat([]byte(`{"price": 1.5, `), m.size/15+1)[:m.size]
	until := m.back.Load() + int64(len(conns))
	for _, conn := range conns {
		if err := conn.Send(engine.Text, message); err != nil {
			return err
		}
	}
	for end := time.Now().Add(process.Patience); m.back.Load() < until; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%d echoes are missing, %d connections have ended", until-m.back.Load(), m.ended.Load())
		}
	}
	return nil
}

// warmUp has some connections come and go.
func (m *memoryOf) warmUp() error {
	conns, err := m.open(min(200, m.job.Conns))
	if err == nil {
		err = m.echo(conns)
	}
	for _, conn := range conns {
		_ = conn.Close(engine.CloseNormal, "")
	}
	return err
}

// collected is what is resident when a server in Go has collected its garbage.
func (m *memoryOf) collected() (float64, error) {
	if m.contender.of == familyGo {
		if err := m.server.Order("collect"); err != nil {
			return 0, err
		}
		if _, err := m.server.Expect("collected"); err != nil {
			return 0, err
		}
	}
	return resident(m.server)
}
