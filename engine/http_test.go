package engine

import (
	"net/http"
	"testing"
)

// A connection that moves to net/http takes no second place on its way: as many as may
// be are let in at every moment.
func TestHTTPTakesNoSecondPlace(t *testing.T) {
	srv := startServer(t, Config{MaxConns: 2, MaxConnsPerIP: 2}, func(s *Server) {
		s.HandleHTTP(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	})
	for range 400 {
		statuses := make(chan int, 2)
		for range 2 {
			conn := dialTCP(t, srv)
			go func() {
				a, _ := tryAsk(conn, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
				_ = conn.Close()
				statuses <- a.status
			}()
		}
		for range 2 {
			if status := next(t, statuses); status != 200 {
				t.Fatalf("answered with %d", status)
			}
		}
		waitFor(t, "the end of both", func() bool { return srv.Connections() == 0 && srv.places.Load() == 0 })
	}
}
