package main

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

func TestServe(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ready, ended := make(chan string, 1), make(chan error, 1)
	ctxServe, stop := context.WithCancel(ctx)
	defer stop()
	go func() { ended <- serve(ctxServe, "127.0.0.1:0", func(addr string) { ready <- addr }) }()
	var addr string
	select {
	case addr = <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	page, err := http.Get("http://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(page.Body)
	_ = page.Body.Close()
	if page.StatusCode != 200 || len(body) == 0 {
		t.Errorf("the page: %d %q", page.StatusCode, body)
	}
	conn, br, _, err := ws.Dial(ctx, "ws://"+addr+"/rooms/blue")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test's end
	from := struct {
		io.Reader
		io.Writer
	}{conn, conn}
	if br != nil {
		from.Reader = br
	}
	if text, err := wsutil.ReadServerText(from); err != nil || string(text) != "welcome to blue" {
		t.Errorf("greeted with %q, %v", text, err)
	}
	_ = conn.Close()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
