package main

import (
	"bytes"
	"errors"
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
	opts := defaults()
	room := makeServer(t, &opts, engine.Observer{}).topics.chat
	ended := make(chan engine.CloseInfo, 2)
	addr := startHandler(t, engine.Endpoint{
		MaxQueue: 64 << 10,
		Admit:    room.admit,
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
	if n := room.hub.Subscribers("chat.lobby"); n != 1 {
		t.Errorf("%d members; want the quick one only", n)
	}
}

// Who is in one room hears nothing of another.
func TestChatRooms(t *testing.T) {
	addr := startServer(t, nil)
	join := func(query string) *client {
		c := dial(t, addr, "/ws/chat"+query)
		c.say("hello" + query)
		c.hear("hello" + query)
		return c
	}
	lobby, blue, green := join(""), join("?room=blue"), join("?room=gr%C3%BCn")
	again := join("?room=blue&x=1")
	blue.hear("hello?room=blue&x=1")
	same := join("?room=lobby")
	lobby.hear("hello?room=lobby")
	for i, room := range [][]*client{{lobby, same}, {blue, again}, {green}} {
		text := fmt.Sprint("only here: ", i)
		room[0].say(text)
		for _, member := range room {
			member.hear(text)
		}
	}
}

func TestChatRefusesRooms(t *testing.T) {
	addr := startServer(t, nil)
	for _, room := range []string{"", "a.b", "a%20b", "*", "%3E", "%00", "%FF", strings.Repeat("x", 251), "100%", "a;b", "a&room=b"} {
		var status ws.StatusError
		if _, err := dialFrom(t, addr, "/ws/chat?room="+room, ""); !errors.As(err, &status) || status != 400 {
			t.Errorf("room %q: %v; want 400", room, err)
		}
	}
	dial(t, addr, "/ws/chat?room="+strings.Repeat("x", 250))
}

// A room that there is no place for is an end with a reason, not silence.
func TestChatTooManyRooms(t *testing.T) {
	addr := startServer(t, func(o *options) { o.feed.maxTopics = 1 })
	a := dial(t, addr, "/ws/chat?room=a")
	a.say("first")
	a.hear("first")
	b := dial(t, addr, "/ws/chat?room=b")
	b.say("second")
	b.wantClose(ws.StatusCode(1013), "there are too many rooms")
	a.say("still here")
	a.hear("still here")
}
