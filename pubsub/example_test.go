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

// lines is a protocol of lines: a message, or what stands between messages.
type lines struct{}

func (lines) Op() engine.Op { return engine.Text }

func (lines) AppendUpdate(dst []byte, u *pubsub.Update) []byte {
	return fmt.Appendf(dst, "%s %d: %s", u.Topic, u.Seq, u.Payload)
}

func (lines) AppendMark(dst []byte, m *pubsub.Mark) []byte {
	switch m.Kind {
	case pubsub.SnapshotBegin:
		return fmt.Appendf(dst, "%s at %d, values: %d", m.Topic, m.Seq, m.Count)
	case pubsub.Recovered:
		return fmt.Appendf(dst, "%s at %d, missed: %d", m.Topic, m.Seq, m.Count)
	case pubsub.Live:
		return append(dst, "live"...)
	default:
		return dst // the end of a snapshot shows by the number of values
	}
}

// A protocol of one's own: it says what is a snapshot and what was missed. A subscriber
// that comes back gives its position, and gets what has been published since.
func ExampleHub_recovery() {
	hub, err := pubsub.New(pubsub.Config{Encoder: lines{}})
	if err != nil {
		log.Fatal(err)
	}
	asked := make(chan pubsub.Options, 1) // what a client would say when it connects
	srv, err := engine.New(engine.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		log.Fatal(err)
	}
	srv.Handle("/goals", engine.Endpoint{Handler: engine.HandlerFuncs{Open: func(c *engine.Conn) {
		if err := hub.Subscribe(c, "goals", <-asked); err != nil {
			_ = c.Close(engine.ClosePolicyViolation, err.Error())
		}
	}}})
	defer run(srv)()
	url := "ws://" + srv.Addr().String() + "/goals"

	at, _ := hub.Publish("goals", "score", []byte("1:0"))
	asked <- pubsub.Options{}
	for got, n := listen(url), 0; n < 3; n++ {
		fmt.Println(<-got)
	}

	// Away for two goals, and back.
	_, _ = hub.Publish("goals", "score", []byte("1:1"))
	_, _ = hub.Publish("goals", "score", []byte("2:1"))
	asked <- pubsub.Options{Since: map[string]pubsub.Position{"goals": at}}
	for got, n := listen(url), 0; n < 4; n++ {
		fmt.Println(<-got)
	}
	// Output:
	// goals at 1, values: 1
	// goals 1: 1:0
	// live
	// goals at 3, missed: 2
	// goals 2: 1:1
	// goals 3: 2:1
	// live
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
