package engine_test

import (
	"context"
	"log"
	"os"
	"os/signal"

	"github.com/headrace/headrace/engine"
)

// An echo server. Ctrl-C closes everyone in order and ends it.
func Example() {
	srv, err := engine.New(engine.Config{Addr: "localhost:8080"})
	if err != nil {
		log.Fatal(err)
	}
	srv.Handle("/echo", engine.Endpoint{Handler: engine.HandlerFuncs{
		Message: func(c *engine.Conn, op engine.Op, p []byte) {
			_ = c.Reply(op, p) // leaves with the turn's other replies, in one write
		},
	}})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := srv.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
