// Command chi serves HTTP by the chi router, and the WebSocket connections of one of
// its routes on Headrace's loops.
//
//	go run . -addr localhost:8080
//	curl http://localhost:8080/
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/headrace/headrace/engine"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "where to listen")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := serve(ctx, *addr, func(addr string) { fmt.Printf("http://%s/\n", addr) }); err != nil {
		log.Fatal(err)
	}
}

// serve runs both servers until ctx ends. ready is told where chi's listens.
func serve(ctx context.Context, addr string, ready func(addr string)) error {
	loops, err := engine.New(engine.Config{Addr: "127.0.0.1:0"}) // an address that only the loops use
	if err != nil {
		return err
	}
	loops.Handle("/room", engine.Endpoint{Handler: engine.HandlerFuncs{
		Open:    func(c *engine.Conn) { _ = c.Reply(engine.Text, fmt.Appendf(nil, "welcome to %v", c.User())) },
		Message: func(c *engine.Conn, op engine.Op, p []byte) { _ = c.Reply(op, p) },
	}})
	ended := make(chan error, 1)
	go func() { ended <- loops.Run(ctx) }()
	<-loops.Ready()

	web := &http.Server{Handler: router(loops), ReadHeaderTimeout: 10 * time.Second}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	ready(ln.Addr().String())
	context.AfterFunc(ctx, func() { _ = web.Close() })
	if err := web.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended // the connections on the loops are closed with 1001 first
}

// router is what an existing service may have.
func router(loops *engine.Server) http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.RequestID, middleware.Recoverer)
	r.Get("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "open a WebSocket to /rooms/{name}")
	})
	r.Get("/rooms/{name}", func(w http.ResponseWriter, r *http.Request) {
		if err := loops.Upgrade(w, r, "/room", chi.URLParam(r, "name")); err != nil {
			log.Print(err)
		}
	})
	return r
}
