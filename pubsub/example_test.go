package pubsub_test

import (
	"context"
	"fmt"
	"log"

	"github.com/headrace/headrace/engine"
	"github.com/headrace/headrace/pubsub"
)

// A feed: whoever connects gets the values that there are, then each new one, or when
// it reads slowly the newest of each key.
func ExampleHub() {
	hub, err := pubsub.New(pubsub.Config{})
	if err != nil {
		log.Fatal(err)
	}
	srv, err := engine.New(engine.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		log.Fatal(err)
	}
	srv.Handle("/ticks", engine.Endpoint{
		MaxUnsent: 16 << 10, // so that the kernel holds little that is old
		Handler: engine.HandlerFuncs{Open: func(c *engine.Conn) {
			if err := hub.Subscribe(c, "ticks.*", pubsub.Options{Mode: pubsub.Latest}); err != nil {
				_ = c.Close(engine.ClosePolicyViolation, err.Error())
			}
		}},
	})

	_, _ = hub.Publish("ticks.acme", "", []byte(`{"bid":100.25}`)) // from any goroutine

	defer run(srv)()
	got := listen("ws://" + srv.Addr().String() + "/ticks")
	fmt.Println(<-got)
	_, _ = hub.Publish("ticks.acme", "", []byte(`{"bid":100.50}`))
	fmt.Println(<-got)
	// Output:
	// {"bid":100.25}
	// {"bid":100.50}
}

// run runs a server until what it gives is called.
func run(srv *engine.Server) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Run(ctx)
	}()
	<-srv.Ready()
	return func() { cancel(); <-done }
}

// listen gives what a server sends.
func listen(url string) <-chan string {
	got := make(chan string, 10)
	client, err := engine.NewClient(engine.ClientConfig{})
	if err != nil {
		log.Fatal(err)
	}
	dialer, err := client.Dialer(url, engine.DialOptions{Endpoint: engine.Endpoint{Handler: engine.HandlerFuncs{
		Message: func(_ *engine.Conn, _ engine.Op, p []byte) { got <- string(p) },
		Close:   func(*engine.Conn, engine.CloseInfo) { go client.Close() },
	}}})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := dialer.Dial(context.Background()); err != nil {
		log.Fatal(err)
	}
	return got
}
