// Command echo is a server on gorilla/websocket that sends everything back, for load
// testers to be tried on: echo [CERTIFICATE KEY]. It says where it listens.
package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/gorilla/websocket"
)

func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

func serve(args []string) error {
	if len(args) != 0 && len(args) != 2 {
		return errors.New("usage: echo [CERTIFICATE KEY]")
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if len(args) == 2 {
		fmt.Printf("https://%s/\n", l.Addr())
		return http.ServeTLS(l, http.HandlerFunc(echo), args[0], args[1])
	}
	fmt.Printf("http://%s/\n", l.Addr())
	return http.Serve(l, http.HandlerFunc(echo))
}

var upgrader = websocket.Upgrader{EnableCompression: true}

func echo(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it has answered
	}
	defer c.Close()
	for {
		kind, p, err := c.ReadMessage()
		if err != nil {
			return
		}
		if err := c.WriteMessage(kind, p); err != nil {
			return
		}
	}
}
