package servers

import (
	"context"
	"log/slog"
	"os"

	"github.com/headrace/headrace/engine"
	"github.com/headrace/headrace/pubsub"
)

// headrace is a hub on an engine with one loop. It keeps nothing of what is published,
// and asks nobody with pings, as the others do.
type headrace struct{ hub *pubsub.Hub }

const topic = "fanout"

func (s *headrace) Listen(on Events) (addr string, err error) {
	s.hub, err = pubsub.New(pubsub.Config{
		Encoder:      pubsub.Payloads{Kind: engine.Binary},
		NoLastValues: true,
		History:      pubsub.NoHistory,
	})
	if err != nil {
		return "", err
	}
	warnings := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	srv, err := engine.New(engine.Config{Network: "tcp4", Addr: loopback, Loops: 1, Logger: warnings})
	if err != nil {
		return "", err
	}
	srv.Handle("/", engine.Endpoint{PingInterval: -1, Handler: engine.HandlerFuncs{
		Open: func(c *engine.Conn) {
			if err := s.hub.Subscribe(c, topic, pubsub.Options{NoSnapshot: true}); err != nil {
				panic(err) // the connection ends, and the log says why
			}
			on.Joined()
		},
		Message: func(_ *engine.Conn, _ engine.Op, p []byte) { on.Said(p) },
	}})
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(context.Background()) }()
	select {
	case <-srv.Ready():
		return srv.Addr().String(), nil
	case err := <-ended:
		return "", err
	}
}

func (s *headrace) Publish(messages [][]byte) error {
	burst := make([]pubsub.Publication, len(messages))
	for i, m := range messages {
		burst[i] = pubsub.Publication{Topic: topic, Payload: m}
	}
	_, err := s.hub.PublishAll(burst)
	return err
}
