package engine

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/headrace/headrace/codec"
)

// Abort ends both sides at once: this one with ErrAborted, the peer with a reset and
// no Close frame, what waits for the peer being dropped.
func TestAbortResetsThePeer(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for name, prepare := range map[string]func(c *Conn){
			"idle":    func(*Conn) {},
			"paused":  func(c *Conn) { c.PauseRead() },
			"closing": func(c *Conn) { _ = c.Close(codec.CloseNormal, "") },
			"full":    func(c *Conn) { _ = c.Send(Binary, make([]byte, 20<<20)) },
		} {
			t.Run(fmt.Sprintf("tls=%t/%s", secure, name), func(t *testing.T) { abort(t, secure, prepare) })
		}
	}
}

func abort(t *testing.T, secure bool, prepare func(c *Conn)) {
	cfg, url, opts := Config{}, "ws://%s/x", DialOptions{}
	if secure {
		authority := newAuthority(t)
		cfg.TLS, opts.TLS = authority.server(t), authority.client()
		url = "wss://%s/x"
	}
	here, there := newRecorder(), newRecorder()
	there.Open = func(c *Conn) { c.PauseRead(); there.opened <- c } // it neither reads nor answers
	srv := startServer(t, cfg, func(s *Server) { s.Handle("/x", Endpoint{Handler: there}) })
	client := startClient(t, ClientConfig{Loops: 1})
	opts.Endpoint = Endpoint{Handler: here, MaxQueue: 64 << 20}
	c := mustDial(t, client, fmt.Sprintf(url, srv.Addr()), opts)
	next(t, there.opened)
	prepare(c)
	c.Abort()
	if info := next(t, here.closed); !errors.Is(info.Err, ErrAborted) || info.Initiator != Local || info.Clean {
		t.Errorf("here it ends with %+v", info)
	}
	if info := next(t, there.closed); info.Code != codec.CloseAbnormal || info.Initiator != Remote || !errors.Is(info.Err, syscall.ECONNRESET) {
		t.Errorf("there it ends with %+v", info)
	}
	if err := c.Send(Text, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Send afterwards: %v", err)
	}
	c.Abort()
}

// Abort in a callback of the connection lets the callback end, and no other follows but
// OnClose.
func TestAbortInACallback(t *testing.T) {
	for _, workers := range []int{0, 1} {
		r := newRecorder()
		calls := make(chan int, 10)
		r.Message = func(c *Conn, _ Op, _ []byte) { calls <- 1; c.Abort() }
		srv := startServer(t, Config{}, func(s *Server) { s.Handle("/x", Endpoint{Handler: r, Workers: workers}) })
		peer := connect(t, srv, "/x")
		for range 3 {
			_ = peer.send(codec.OpText, []byte("end"))
		}
		if info := next(t, r.closed); !errors.Is(info.Err, ErrAborted) {
			t.Errorf("%d workers: it ends with %+v", workers, info)
		}
		if len(calls) != 1 {
			t.Errorf("%d workers: %d messages were delivered", workers, len(calls))
		}
	}
}
