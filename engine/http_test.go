package engine

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
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

// Clients of net/http that stop in the middle: their places come back.
func TestHTTPClientsThatStall(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	read := func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
	big := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 64<<10)) }
	ignore := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "whatever it is") }
	flush := func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() }
	for _, row := range []struct {
		name, request string
		handler       http.HandlerFunc
	}{
		{"answers-that-are-not-read", strings.Repeat(request, 300), big},
		{"one-answer-that-is-not-read", request, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 32<<20)) }},
		{"body-that-does-not-come", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc", read},
		{"chunk-that-does-not-come", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", read},
		{"body-that-nobody-wants", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc", ignore},
		{"body-behind-the-answer", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc", flush},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/tls=%t", row.name, secure), func(t *testing.T) {
				t.Parallel()
				cfg := Config{MaxConns: 2, StallTimeout: 300 * time.Millisecond}
				srv, connect := serveHTTPTo(t, cfg, secure, row.handler)
				for range 2 {
					if _, err := io.WriteString(connect(), row.request); err != nil {
						t.Fatal(err)
					}
				}
				waitFor(t, "the first of them", func() bool { return srv.Stats().Handshakes[OutcomeHTTP] == 2 })
				waitFor(t, "the end", func() bool { return srv.places.Load() == 0 })
			})
		}
	}
}

// Those that are only slow, or silent for as long as they should be, are served.
func TestHTTPClientsThatAreSlow(t *testing.T) {
	const stall = time.Second
	const long = 1500 * time.Millisecond // beyond it
	cfg := Config{StallTimeout: stall}
	for _, secure := range []bool{false, true} {
		for name, one := range map[string]struct {
			handler http.HandlerFunc
			client  func(t *testing.T, conn net.Conn)
		}{
			"a-body-in-drops": {
				func(w http.ResponseWriter, r *http.Request) {
					n, err := io.Copy(io.Discard, r.Body)
					fmt.Fprint(w, n, err)
				},
				func(t *testing.T, conn net.Conn) {
					_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n")
					for range 10 {
						time.Sleep(long / 10)
						_, _ = io.WriteString(conn, "x")
					}
					wantBody(t, conn, "10 <nil>")
				},
			},
			"an-answer-that-takes-time": {
				func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					select {
					case <-r.Context().Done():
						fmt.Fprint(w, r.Context().Err())
					case <-time.After(long):
						fmt.Fprint(w, "done")
					}
				},
				func(t *testing.T, conn net.Conn) {
					_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
					wantBody(t, conn, "done")
				},
			},
			"a-stream-with-pauses": {
				func(w http.ResponseWriter, r *http.Request) {
					for range 2 {
						fmt.Fprint(w, "tick")
						_ = http.NewResponseController(w).Flush()
						select {
						case <-r.Context().Done():
							return
						case <-time.After(long):
						}
					}
					fmt.Fprint(w, "end")
				},
				func(t *testing.T, conn net.Conn) {
					_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody") // which nobody reads
					wantBody(t, conn, "ticktickend")
				},
			},
			"an-answer-that-is-read-slowly": {
				func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 12<<20)) },
				func(t *testing.T, conn net.Conn) {
					_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
					p, n := make([]byte, 1<<20), 0
					for end := time.Now().Add(2 * long); ; {
						one, err := io.ReadFull(conn, p)
						n += one
						if err != nil {
							break
						}
						if time.Now().Before(end) {
							time.Sleep(2 * long / 12)
						}
					}
					if n < 12<<20 {
						t.Errorf("%d bytes came", n)
					}
				},
			},
			"hijacked": {
				func(w http.ResponseWriter, _ *http.Request) {
					conn, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						return
					}
					defer conn.Close()                //nolint:errcheck // a test's end
					_, _ = conn.Read(make([]byte, 1)) // later than any stall
					_, _ = conn.Write(make([]byte, 32<<20))
				},
				func(t *testing.T, conn net.Conn) {
					_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
					time.Sleep(long)
					_, _ = io.WriteString(conn, "x")
					time.Sleep(long)
					if n, _ := io.Copy(io.Discard, conn); n != 32<<20 {
						t.Errorf("%d bytes came", n)
					}
				},
			},
		} {
			t.Run(fmt.Sprintf("%s/tls=%t", name, secure), func(t *testing.T) {
				t.Parallel()
				_, connect := serveHTTPTo(t, cfg, secure, one.handler)
				one.client(t, connect())
			})
		}
	}
}

// serveHTTPTo serves only by net/http, and gives what connects to it.
func serveHTTPTo(t *testing.T, cfg Config, secure bool, h http.HandlerFunc) (srv *Server, connect func() net.Conn) {
	t.Helper()
	register := func(s *Server) { s.HandleHTTP(h) }
	dial := func() net.Conn { return dialTCP(t, srv) }
	if secure {
		s, config := startTLS(t, cfg, register)
		srv, dial = s, func() net.Conn { return tls.Client(dialTCP(t, s), config) }
	} else {
		srv = startServer(t, cfg, register)
	}
	return srv, func() net.Conn {
		conn := dial()
		_ = conn.SetDeadline(time.Now().Add(patience))
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
}

func wantBody(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(answer.Body); string(got) != want || err != nil {
		t.Errorf("the answer is %q, %v, want %q", got, err, want)
	}
}

// A handler's own deadline for writing holds, and one that it sets for reading takes
// the place of ours.
func TestHTTPDeadlinesOfAHandler(t *testing.T) {
	failed := make(chan time.Duration, 1)
	_, connect := serveHTTPTo(t, Config{StallTimeout: time.Minute}, false, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		start := time.Now()
		if r.Method == "POST" {
			_ = control.SetReadDeadline(start.Add(100 * time.Millisecond))
			_, _ = io.Copy(io.Discard, r.Body)
		} else {
			_ = control.SetWriteDeadline(start.Add(100 * time.Millisecond))
			_, _ = w.Write(make([]byte, 32<<20))
		}
		failed <- time.Since(start)
	})
	for _, request := range []string{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc"} {
		_, _ = io.WriteString(connect(), request)
		if took := next(t, failed); took < 100*time.Millisecond {
			t.Errorf("%.4s has failed after %v", request, took)
		}
	}
}

// What came before a connection moved to net/http is not held afterwards.
func TestHTTPHoldsNoFirstBytes(t *testing.T) {
	const conns, size = 100, 200 << 10
	_, connect := serveHTTPTo(t, Config{Loops: 1}, false, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	request := fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size))
	before := heap()
	for range conns {
		conn := connect()
		if _, err := io.WriteString(conn, request); err != nil { // most of it comes in one read
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
		if err != nil || answer.StatusCode != 200 {
			t.Fatal(answer, err)
		}
	}
	if each := (heap() - before) / conns; each > 40<<10 {
		t.Errorf("an idle connection of net/http holds %d bytes", each)
	}
}
