package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/headrace/headrace/codec"
)

// The limits on how fast a peer may send hold for servers too.
func TestFloodsOfAServerAreClosed(t *testing.T) {
	ping := codec.AppendFrame(nil, codec.OpPing, []byte("p"))
	pong := codec.AppendFrame(nil, codec.OpPong, []byte("beat and more"))
	text := codec.AppendFrame(nil, codec.OpText, []byte("message"))
	for _, row := range []struct {
		name  string
		ep    Endpoint
		frame []byte
	}{
		{"pings/by default", Endpoint{}, ping},
		{"pongs/by default", Endpoint{}, pong},
		{"pings/of our own choice", Endpoint{MaxControlRate: 5}, ping},
		{"messages", Endpoint{MaxMessageRate: 20}, text},
		{"messages/on workers", Endpoint{MaxMessageRate: 20, Workers: 2}, text},
		{"bytes", Endpoint{MaxByteRate: 200, MaxMessage: 100}, text},
		{"bytes/of control frames", Endpoint{MaxByteRate: 200, MaxMessage: 100, MaxControlRate: -1}, ping},
	} {
		t.Run(row.name, func(t *testing.T) {
			// Some of it comes with the answer to the handshake, and counts as well.
			addr, told := rogueServer(t, []byte(strings.Repeat(string(row.frame), 500)), true)
			ends := make(chan CloseInfo, 1)
			row.ep.Handler = HandlerFuncs{Close: func(_ *Conn, info CloseInfo) { ends <- info }}
			client := startClient(t, ClientConfig{Loops: 1})
			mustDial(t, client, "ws://"+addr, DialOptions{Endpoint: row.ep})
			if code := next(t, told); code != ClosePolicyViolation {
				t.Errorf("the server was told %v", code)
			}
			if info := next(t, ends); info.Code != ClosePolicyViolation || info.Initiator != Local || !errors.Is(info.Err, ErrRateLimited) {
				t.Errorf("it ended as %+v", info)
			}
			got := settle(t, client.host, "the end", func(s Stats) bool { return s.Connections == 0 })
			if got.Refused.PeerRate != 1 || got.Closes[Ending{ClosePolicyViolation, Local}] != 1 {
				t.Errorf("counted: %+v", got)
			}
		})
	}
}

// So do those on who keeps to them.
func TestRatesThatAServerKeeps(t *testing.T) {
	const rate = 50
	srv := startServer(t, Config{}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: HandlerFuncs{Open: func(c *Conn) {
			for range rate {
				_ = c.Reply(Text, []byte("m"))
				_ = c.Ping(nil)
			}
		}}})
	})
	got := make(chan string, rate)
	client := startClient(t, ClientConfig{})
	mustDial(t, client, "ws://"+srv.Addr().String()+"/x", DialOptions{Endpoint: Endpoint{
		MaxMessageRate: rate, MaxControlRate: rate, MaxByteRate: rate * 5, MaxMessage: rate * 5,
		Handler: HandlerFuncs{Message: func(_ *Conn, _ Op, p []byte) { got <- string(p) }},
	}})
	for range rate {
		next(t, got)
	}
	if s := client.host.Stats(); s.Refused.PeerRate != 0 || s.WebSockets != 1 {
		t.Errorf("counted: %+v", s)
	}
}
