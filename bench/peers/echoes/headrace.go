package echoes

import (
	"context"
	"log/slog"
	"os"

	"github.com/headrace/headrace/engine"
)

// listenHeadrace is the engine with one loop. It asks nobody with pings, as the others
// don't.
func listenHeadrace(o Options) (addr string, err error) {
	warnings := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	srv, err := engine.New(engine.Config{Network: "tcp4", Addr: loopback, Loops: 1, TLS: o.TLS, Logger: warnings})
	if err != nil {
		return "", err
	}
	ep := engine.Endpoint{PingInterval: -1, MaxMessage: largest, Handler: engine.HandlerFuncs{
		Message: func(c *engine.Conn, op engine.Op, p []byte) { _ = c.Reply(op, p) },
	}}
	switch o.Deflate {
	case Single:
		ep.Compression = &engine.Compression{Level: Level, History: engine.NoHistory}
	case Takeover:
		ep.Compression = &engine.Compression{Level: Level, PeerBits: 15} // a history of 1 KB for each connection
	case Plain:
	}
	srv.Handle("/", ep)
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(context.Background()) }()
	select {
	case <-srv.Ready():
		return srv.Addr().String(), nil
	case err := <-ended:
		return "", err
	}
}
