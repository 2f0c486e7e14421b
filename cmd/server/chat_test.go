package main

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/headrace/headrace/engine"
)

func TestChatRelaysToEveryone(t *testing.T) {
	addr := startServer(t, nil)
	var members []*client
	for i := range 5 {
		c := dial(t, addr, "/ws/chat")
		c.say(fmt.Sprint("I am ", i)) // what comes back shows that c is a member
		members = append(members, c)
		for _, m := range members {
			m.hear(fmt.Sprint("I am ", i))
		}
	}
	members[0].send(ws.OpClose, nil)
	members[0].want(ws.OpClose, nil)
	members[3].say("who is left?")
	for _, m := range members[1:] {
		m.hear("who is left?")
	}
}

func TestChatSameOrderForAll(t *testing.T) {
	const each = 200
	addr := startServer(t, nil)
	a := dial(t, addr, "/ws/chat")
	a.say("a is here")
	a.hear("a is here")
	b := dial(t, addr, "/ws/chat")
	b.say("b is here")
	b.hear("b is here")
	a.hear("b is here")
	for i := range each {
		a.say(fmt.Sprint("a", i))
		b.say(fmt.Sprint("b", i))
	}
	for i := range 2 * each {
		_, toA := a.next()
		_, toB := b.next()
		if !bytes.Equal(toA, toB) {
			t.Fatalf("message %d is %q to one and %q to the other", i, toA, toB)
		}
	}
}

func TestChatRefusesBinary(t *testing.T) {
	addr := startServer(t, nil)
	c := dial(t, addr, "/ws/chat")
	c.send(ws.OpBinary, []byte{1, 2, 3})
	c.wantClose(ws.StatusUnsupportedData, "the chat relays text only")
}

// A member that doesn't read is closed, and nobody else misses anything.
func TestChatSlowReader(t *testing.T) {
	const messages, size = 600, 32 << 10 // far more than sockets take
	room := newChat()
	ended := make(chan engine.CloseInfo, 2)
	addr := startHandler(t, engine.Endpoint{
		MaxQueue: 64 << 10,
		Handler: engine.HandlerFuncs{
			Open:    room.OnOpen,
			Message: room.OnMessage,
			Close: func(c *engine.Conn, info engine.CloseInfo) {
				room.OnClose(c, info)
				ended <- info
			},
		},
	})
	slow := dial(t, addr, "/")
	if err := slow.conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	slow.say("I shall read no more")
	slow.hear("I shall read no more")
	quick := dial(t, addr, "/")
	text := strings.Repeat("x", size)
	for range messages {
		quick.say(text)
		quick.hear(text)
	}
	select {
	case info := <-ended:
		if info.Err == nil || info.Code != 1013 {
			t.Errorf("the slow member ended with %+v; want 1013", info)
		}
	case <-time.After(patience):
		t.Error("the slow member is still there")
	}
	room.mu.Lock()
	defer room.mu.Unlock()
	if len(room.members) != 1 {
		t.Errorf("%d members; want the quick one only", len(room.members))
	}
}
