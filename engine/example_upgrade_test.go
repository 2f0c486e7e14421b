package engine_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/headrace/headrace/engine"
)

// An existing net/http server keeps its listener and its router; the WebSocket
// connections of one route move onto the loops.
func ExampleServer_Upgrade() {
	srv, err := engine.New(engine.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		log.Fatal(err)
	}
	srv.Handle("/room", engine.Endpoint{Handler: engine.HandlerFuncs{
		Open: func(c *engine.Conn) { _ = c.Reply(engine.Text, fmt.Appendf(nil, "welcome to %v", c.User())) },
	}})
	go func() { _ = srv.Run(context.Background()) }()

	mux := http.NewServeMux()
	mux.HandleFunc("GET /rooms/{room}", func(w http.ResponseWriter, r *http.Request) {
		if err := srv.Upgrade(w, r, "/room", r.PathValue("room")); err != nil {
			log.Print(err)
		}
	})
	log.Fatal(http.ListenAndServe("localhost:8080", mux))
}
