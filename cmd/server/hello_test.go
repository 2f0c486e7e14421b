package main

import (
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/headrace/headrace/engine"
)

func TestNameIn(t *testing.T) {
	for _, tt := range []struct {
		text, name string
		ok         bool
	}{
		{"My name is Bora", "Bora", true},
		{"my NAME is Bora", "Bora", true},
		{"  My name is  Ayşe Gül \n", "Ayşe Gül", true},
		{"My name is 水", "水", true},
		{"My name is ", "", false},
		{"My name is", "", false},
		{"My name isn't Bora", "", false},
		{"Bora", "", false},
		{"", "", false},
		{"水水水水水水水水水水", "", false},
	} {
		if name, ok := nameIn(tt.text); name != tt.name || ok != tt.ok {
			t.Errorf("nameIn(%q) = %q, %v; want %q, %v", tt.text, name, ok, tt.name, tt.ok)
		}
	}
}

func TestHelloGreetsAndSaysGoodbye(t *testing.T) {
	addr := startHandler(t, engine.Endpoint{Handler: hello{stay: 50 * time.Millisecond}})
	c := dial(t, addr, "/")
	c.say("what now?")
	c.hear(hint)
	began := time.Now()
	c.say("My name is Bora")
	c.hear("Hello from server, Bora!")
	c.wantClose(ws.StatusNormalClosure, "Bye!")
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("goodbye came after %v, before its time", took)
	}
}

func TestHelloAnswersEachTime(t *testing.T) {
	addr := startServer(t, nil)
	c := dial(t, addr, "/hello")
	c.say("My name is Bora")
	c.hear("Hello from server, Bora!")
	c.say("My name is Ada")
	c.hear("Hello from server, Ada!")
	c.send(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
	c.want(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
}

func TestHelloForgetsGoodbye(t *testing.T) {
	stillSet := make(chan bool, 1)
	h := hello{stay: time.Hour}
	addr := startHandler(t, engine.Endpoint{Handler: engine.HandlerFuncs{
		Message: h.OnMessage,
		Close: func(c *engine.Conn, info engine.CloseInfo) {
			h.OnClose(c, info)
			stillSet <- c.User().(*time.Timer).Stop()
		},
	}})
	c := dial(t, addr, "/")
	c.say("My name is Bora")
	c.hear("Hello from server, Bora!")
	_ = c.conn.Close()
	select {
	case set := <-stillSet:
		if set {
			t.Error("the goodbye's timer outlived its connection")
		}
	case <-time.After(patience):
		t.Error("OnClose was not called")
	}
}
