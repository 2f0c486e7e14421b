package engine

import (
	"strings"
	"testing"

	"github.com/headrace/headrace/codec"
)

// Two servers share a port, and both get connections; one that ends leaves the port
// to the other.
func TestReusePort(t *testing.T) {
	name := func(s string) func(*Server) {
		return func(srv *Server) {
			srv.Handle("/echo", Endpoint{Handler: HandlerFuncs{Message: func(c *Conn, op Op, _ []byte) { _ = c.Reply(op, []byte(s)) }}})
		}
	}
	first := startServer(t, Config{ReusePort: true}, name("first"))
	second := startServer(t, Config{ReusePort: true, Addr: first.Addr().String(), Loops: 3}, name("second"))
	got := make(map[string]int)
	for n := 0; n < 200 && (got["first"] == 0 || got["second"] == 0); n++ {
		c := connect(t, second, "/echo")
		if err := c.send(codec.OpText, []byte("who")); err != nil {
			t.Fatal(err)
		}
		_, p, err := c.recv()
		if err != nil {
			t.Fatal(err)
		}
		got[string(p)]++
		_ = c.Close()
	}
	if got["first"] == 0 || got["second"] == 0 {
		t.Errorf("the answers are %v: one server gets none", got)
	}
	shutDown(t, first)
	for range 20 {
		c := connect(t, second, "/echo")
		if err := c.send(codec.OpText, []byte("who")); err != nil {
			t.Fatal(err)
		}
		if err := c.expect(codec.OpText, "second"); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
}

// Without it a port that a server listens on is taken.
func TestPortIsNotSharedByDefault(t *testing.T) {
	srv := startServer(t, Config{ReusePort: true}, serveEcho)
	other, err := New(Config{Addr: srv.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("Run gives %v", err)
	}
}
