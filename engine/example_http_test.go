package engine_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/headrace/headrace/engine"
)

// The engine has the port. What is no WebSocket request for one of its endpoints goes
// to net/http.
func ExampleServer_HandleHTTP() {
	srv, err := engine.New(engine.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux() // or any router
	mux.HandleFunc("GET /{$}", page)

	srv.Handle("/echo", engine.Endpoint{Handler: echo})
	srv.HandleHTTP(mux) // everything that is no WebSocket, on the same port

	defer run(srv)()
	fmt.Println(get("http://" + srv.Addr().String() + "/"))
	fmt.Println(ask("ws://"+srv.Addr().String()+"/echo", "hello"))
	// Output:
	// a page
	// hello
}

// An existing net/http server keeps its listener and its router; the WebSocket
// connections of one route move onto the loops.
func ExampleServer_Upgrade() {
	srv, err := engine.New(engine.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		log.Fatal(err)
	}
	srv.Handle("/room", engine.Endpoint{Handler: engine.HandlerFuncs{
		Message: func(c *engine.Conn, _ engine.Op, p []byte) {
			_ = c.Reply(engine.Text, fmt.Appendf(nil, "%s to everyone in %v", p, c.User()))
		},
	}})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page)
	mux.HandleFunc("GET /rooms/{room}", func(w http.ResponseWriter, r *http.Request) {
		if err := srv.Upgrade(w, r, "/room", r.PathValue("room")); err != nil { // it has answered
			log.Print(err)
		}
	})

	defer run(srv)()
	web := httptest.NewServer(mux) // or http.ListenAndServe
	defer web.Close()
	fmt.Println(get(web.URL + "/"))
	fmt.Println(ask(strings.Replace(web.URL, "http", "ws", 1)+"/rooms/blue", "hello"))
	// Output:
	// a page
	// hello to everyone in blue
}

var echo = engine.HandlerFuncs{
	Message: func(c *engine.Conn, op engine.Op, p []byte) { _ = c.Reply(op, p) },
}

func page(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a page") }

// run serves until stop.
func run(srv *engine.Server) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	<-srv.Ready()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			fmt.Println(err)
		}
	}
}

// get gives the page at an address.
func get(url string) string {
	res, err := http.Get(url)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// ask sends a message and gives the answer.
func ask(url, question string) string {
	client, err := engine.NewClient(engine.ClientConfig{Loops: 1})
	if err != nil {
		return err.Error()
	}
	defer client.Close() //nolint:errcheck // nothing is left to lose
	answer := make(chan string, 2)
	dialer, err := client.Dialer(url, engine.DialOptions{Endpoint: engine.Endpoint{Handler: engine.HandlerFuncs{
		Open:    func(c *engine.Conn) { _ = c.Reply(engine.Text, []byte(question)) },
		Message: func(_ *engine.Conn, _ engine.Op, p []byte) { answer <- string(p) },
		Close:   func(_ *engine.Conn, info engine.CloseInfo) { answer <- fmt.Sprint("closed: ", info) },
	}}})
	if err != nil {
		return err.Error()
	}
	if _, err := dialer.Dial(context.Background()); err != nil {
		return err.Error()
	}
	return <-answer
}
