package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"testing"

	"github.com/headrace/headrace/codec"
)

// Connections that were dialled are counted as those that were accepted are: once at
// their beginning, once at their end, by what they carry, also what came with the
// answer to the handshake.
func TestStatsCountDialledConnections(t *testing.T) {
	const greeting = "welcome" // sent behind the answer, before anybody asks
	srv := startServer(t, Config{}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: HandlerFuncs{
			Open: func(c *Conn) { _ = c.Reply(Text, []byte(greeting)) },
			Message: func(c *Conn, op Op, p []byte) {
				if string(p) == "close" {
					_ = c.Close(4001, "")
					return
				}
				_ = c.Reply(op, p)
			},
		}})
		s.Handle("/no", Endpoint{Handler: HandlerFuncs{}, Admit: func(*Request) error { return errors.New("no") }})
	})
	client := startClient(t, ClientConfig{MaxConns: 4})
	heard := make(chan string, 100)
	opts := DialOptions{Endpoint: Endpoint{Handler: HandlerFuncs{Message: func(_ *Conn, _ Op, p []byte) { heard <- string(p) }}}}
	url := fmt.Sprintf("ws://%s/x", srv.Addr())
	var conns []*Conn
	for range 4 {
		c := mustDial(t, client, url, opts)
		conns = append(conns, c)
		if p := next(t, heard); p != greeting {
			t.Errorf("it heard %q", p)
		}
		if err := c.Send(Binary, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		if p := next(t, heard); len(p) != 1000 {
			t.Errorf("%d bytes came back", len(p))
		}
	}
	if _, err := dialWith(t, client, fmt.Sprintf("ws://%s/no", srv.Addr()), opts); err == nil {
		t.Error("a refused dial succeeds")
	}
	if _, err := dialWith(t, client, url, opts); !errors.Is(err, errTooMany) {
		t.Errorf("one too many gives %v", err)
	}
	want := Stats{
		Connections: 4, WebSockets: 4, Accepted: 5, // the refused one never came to a loop
		Handshakes: map[Outcome]uint64{OutcomeGranted: 4, OutcomeCut: 1},
		Closes:     map[Ending]uint64{},
		Received:   Traffic{4 * 2, 4 * (2 + uint64(len(greeting)) + 4 + 1000)},
		Sent:       Traffic{4, 4 * (8 + 1000)},
	}
	got := settle(t, client.host, "four connections", func(s Stats) bool { return s.Connections == 4 && s.Received == want.Received && s.Sent == want.Sent })
	got.LoopLags = Samples{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	_ = conns[0].Close(CloseNormal, "")
	_ = conns[1].Send(Text, []byte("close"))
	_ = conns[2].Close(4002, "")
	ends := map[Ending]uint64{{CloseNormal, Local}: 1, {4001, Remote}: 1, {4002, Local}: 1}
	settle(t, client.host, "three ends", func(s Stats) bool {
		return s.Connections == 1 && s.WebSockets == 1 && reflect.DeepEqual(s.Closes, ends)
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	ends[Ending{CloseGoingAway, Remote}] = 1
	settle(t, client.host, "the last end", func(s Stats) bool { return s.Connections == 0 && reflect.DeepEqual(s.Closes, ends) })
}

// So are those that Server.Upgrade has taken over from net/http. One that came by way
// of the Server itself counts twice, as what it was and as what it became.
func TestStatsCountUpgradedConnections(t *testing.T) {
	for _, own := range []bool{false, true} {
		t.Run(fmt.Sprintf("own=%t", own), func(t *testing.T) {
			srv := startServer(t, Config{MaxConns: 4}, func(s *Server) {
				serveEcho(s)
				s.Handle("/no", Endpoint{Handler: HandlerFuncs{}, Admit: func(*Request) error { return &Refusal{Status: 418} }})
				mux := http.NewServeMux()
				mux.HandleFunc("/rooms/x", func(w http.ResponseWriter, r *http.Request) { _ = s.Upgrade(w, r, "/echo", nil) })
				mux.HandleFunc("/refused", func(w http.ResponseWriter, r *http.Request) { _ = s.Upgrade(w, r, "/no", nil) })
				s.HandleHTTP(mux)
			})
			addr, http := srv.Addr().String(), uint64(1)
			if !own {
				addr, http = serveTakenBoth(t, srv), 0
			}
			first, err := dial(addr, "/rooms/x")
			if err != nil {
				t.Fatal(err)
			}
			_ = first.Close()
			base := settle(t, srv, "the end of the first", func(s Stats) bool {
				return s.Connections == 0 && s.Closes[Ending{1006, Remote}] == 1
			})
			before := func(o Outcome) uint64 { return base.Handshakes[o] }
			var conns []*testClient
			for range 4 {
				c, err := dial(addr, "/rooms/x")
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close() //nolint:errcheck // a test's end
				conns = append(conns, c)
				if err := c.echo(codec.OpText, "hello"); err != nil {
					t.Fatal(err)
				}
			}
			settle(t, srv, "four connections", func(s Stats) bool {
				return s.Connections == 4 && s.WebSockets == 4 && s.Accepted == base.Accepted+4+4*http &&
					s.Handshakes[OutcomeGranted] == before(OutcomeGranted)+4 && s.Handshakes[OutcomeHTTP] == before(OutcomeHTTP)+4*http &&
					s.Received.Messages == base.Received.Messages+4 && s.Sent.Messages == base.Sent.Messages+4
			})
			if status := statusOf(t, addr, "/rooms/x"); status != 503 {
				t.Errorf("one too many is answered with %d", status)
			}
			if err := conns[0].send(codec.OpClose, codec.AppendClose(nil, 4001, "")); err != nil {
				t.Fatal(err)
			}
			if err := conns[0].expectClose(4001, ""); err != nil {
				t.Fatal(err)
			}
			_ = conns[1].Close()
			settle(t, srv, "two ends", func(s Stats) bool {
				return s.Connections == 2 && s.WebSockets == 2 && s.Refused.Conns == 1 && s.Handshakes[503] == 1 &&
					s.Closes[Ending{4001, Remote}] == 1 && s.Closes[Ending{1006, Remote}] == base.Closes[Ending{1006, Remote}]+1
			})
			if status := statusOf(t, addr, "/refused"); status != 418 {
				t.Errorf("who is not admitted is answered with %d", status)
			}
			settle(t, srv, "the one that was not admitted", func(s Stats) bool { return s.Handshakes[418] == 1 && s.Connections == 2 })
			shut := make(chan error, 1)
			go func() { shut <- srv.Shutdown(t.Context()) }()
			for _, c := range conns[2:] {
				if err := c.expectClose(CloseGoingAway, "server is shutting down"); err != nil {
					t.Error(err)
				}
			}
			if err := next(t, shut); err != nil {
				t.Error(err)
			}
			got, sum := srv.Stats(), uint64(0)
			for _, n := range got.Handshakes {
				sum += n
			}
			if got.Closes[Ending{CloseGoingAway, Local}] != 2 || got.WebSockets != 0 || got.Accepted != sum {
				t.Errorf("in the end %+v", got)
			}
		})
	}
}

// serveTakenBoth is a net/http server whose requests go to a Server by Upgrade.
func serveTakenBoth(t *testing.T, srv *Server) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/rooms/x", func(w http.ResponseWriter, r *http.Request) { _ = srv.Upgrade(w, r, "/echo", nil) })
	mux.HandleFunc("/refused", func(w http.ResponseWriter, r *http.Request) { _ = srv.Upgrade(w, r, "/no", nil) })
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other := &http.Server{Handler: mux}
	go func() { _ = other.Serve(ln) }()
	t.Cleanup(func() { _ = other.Close() })
	return ln.Addr().String()
}

// statusOf gives the status with which a handshake is answered.
func statusOf(t *testing.T, addr, path string) int {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	a := ask(t, conn, upgradeTo(path))
	_, _ = io.Copy(io.Discard, a.r)
	_ = a.Close()
	return a.status
}
