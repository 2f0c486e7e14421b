package engine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// settle waits until the statistics say what they must: a loop shows what it has
// counted at the end of its turn, a moment after the peer has its answer.
func settle(t testing.TB, srv *Server, what string, is func(Stats) bool) Stats {
	t.Helper()
	var got Stats
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if got = srv.Stats(); is(got) {
			return got
		}
	}
	t.Fatalf("%s: %+v", what, got)
	return got
}

// shake sends a request and reads the answer to it. It gives how many bytes both took.
func shake(t *testing.T, srv *Server, request string) (c net.Conn, r *bufio.Reader, status, sent, received int) {
	t.Helper()
	c, err := net.Dial("tcp", srv.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	r = bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("%q is not answered: %v", request, err)
		}
		if status == 0 {
			_, _ = fmt.Sscanf(line, "HTTP/1.1 %d", &status)
		}
		if received += len(line); line == "\r\n" {
			return c, r, status, len(request), received
		}
	}
}

// upgradeTo is a request for a WebSocket at a path.
func upgradeTo(path string, more ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n" + strings.Join(more, "") + "\r\n"
}

// Messages and bytes are counted exactly, in both directions: fragments make one
// message, control frames none, and every byte of the sockets counts.
func TestStatsCountTraffic(t *testing.T) {
	srv := startServer(t, Config{}, serveEcho)
	total := Stats{}
	for range 3 {
		c, r, status, sent, received := shake(t, srv, upgradeTo("/echo"))
		if status != 101 {
			t.Fatalf("answered with %d", status)
		}
		mask := [4]byte{1, 2, 3, 4}
		frames := codec.AppendMaskedFrame(nil, codec.OpText, mask, []byte("hello"))
		frames = codec.AppendMaskedFrame(frames, codec.OpPing, mask, []byte("p"))
		frames = codec.AppendMaskedFrame(frames, codec.OpBinary, mask, make([]byte, 70_000))
		part := codec.AppendMaskedFrame(nil, codec.OpText, mask, []byte("two "))
		part[0] &^= 0x80
		frames = append(frames, part...)
		frames = append(frames, codec.AppendMaskedFrame(nil, codec.OpContinuation, mask, []byte("parts"))...)
		if _, err := c.Write(frames); err != nil {
			t.Fatal(err)
		}
		answers := 2 + 5 + 2 + 1 + 10 + 70_000 + 2 + 9
		if _, err := io.CopyN(io.Discard, r, int64(answers)); err != nil {
			t.Fatal(err)
		}
		total.Received.Messages += 3
		total.Sent.Messages += 3
		total.Received.Bytes += uint64(sent + len(frames))
		total.Sent.Bytes += uint64(received + answers)
	}
	got := settle(t, srv, "three connections with three messages each", func(s Stats) bool {
		return s.Received == total.Received && s.Sent == total.Sent
	})
	want := Stats{
		Connections: 3, WebSockets: 3, Accepted: 3, Received: total.Received, Sent: total.Sent,
		Handshakes: map[Outcome]uint64{OutcomeGranted: 3}, Closes: map[Ending]uint64{},
		LoopLags: got.LoopLags, // however many ticks there were
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Messages of other goroutines and those that nobody asked for count too.
func TestStatsCountSent(t *testing.T) {
	opened := make(chan *Conn, 1)
	srv := startServer(t, Config{}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: HandlerFuncs{Open: func(c *Conn) { opened <- c }}})
	})
	client := connect(t, srv, "/x")
	c := next(t, opened)
	for i := range 500 {
		if err := c.Send(Text, make([]byte, i)); err != nil {
			t.Fatal(err)
		}
		if _, p, err := client.recv(); err != nil || len(p) != i {
			t.Fatal(len(p), err)
		}
	}
	got := settle(t, srv, "500 messages to the peer", func(s Stats) bool { return s.Sent.Messages >= 500 })
	if got.Sent.Messages != 500 || got.Received.Messages != 0 {
		t.Errorf("%+v", got)
	}
}

// Every outcome of a handshake is counted once, and the observer hears of it.
func TestStatsCountHandshakes(t *testing.T) {
	var seen [600]atomic.Int64
	cfg := Config{
		MaxConns: 4, MaxHandshakeBytes: 512, HandshakeTimeout: 300 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		Observer: Observer{Handshake: func(remote net.Addr, o Outcome) {
			if remote == nil {
				t.Error("no address")
			}
			seen[o].Add(1)
		}},
	}
	srv := startServer(t, cfg, func(s *Server) {
		serveEcho(s)
		s.Handle("/teapot", Endpoint{Handler: HandlerFuncs{}, Admit: func(*Request) error { return &Refusal{Status: 418} }})
		s.Handle("/odd", Endpoint{Handler: HandlerFuncs{}, Admit: func(*Request) error { return &Refusal{Status: 200} }})
		s.HandleHTTP(http.NotFoundHandler())
	})
	want := map[Outcome]uint64{}
	for request, outcome := range map[string]Outcome{
		upgradeTo("/teapot"): 418,
		upgradeTo("/odd"):    403,
		upgradeTo("/echo", "Origin: https://other.example\r\n"):      403,
		upgradeTo("/echo", "X: "+strings.Repeat("x", 600)+"\r\n"):    431,
		"GET /echo HTTP/1.1\nHost: h\n\n":                            400,
		upgradeTo("/echo", "Content-Length: 5\r\n"):                  400,
		"GET /page HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n": OutcomeHTTP,
	} {
		for range 2 {
			c, _, status, _, _ := shake(t, srv, request)
			if wantStatus := int(outcome); status != wantStatus && outcome != OutcomeHTTP {
				t.Errorf("%.40q is answered with %d, want %d", request, status, wantStatus)
			}
			_ = c.Close()
			want[outcome]++
			settle(t, srv, "after a refusal", func(s Stats) bool { return s.Connections == 0 })
		}
	}
	gone, err := net.Dial("tcp", srv.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	want[OutcomeGone]++
	late, err := net.Dial("tcp", srv.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	want[408]++
	settle(t, srv, "a silent peer", func(s Stats) bool { return s.Handshakes[408] == 1 })
	_ = late.Close()
	settle(t, srv, "none left", func(s Stats) bool { return s.Connections == 0 })
	for range 4 {
		connect(t, srv, "/echo")
		want[OutcomeGranted]++
	}
	if _, _, status, _, _ := shake(t, srv, upgradeTo("/echo")); status != 503 {
		t.Errorf("one too many is answered with %d", status)
	}
	want[503]++
	sum := uint64(0)
	for _, n := range want {
		sum += n
	}
	got := settle(t, srv, "every outcome", func(s Stats) bool { return reflect.DeepEqual(s.Handshakes, want) })
	if got.Refused != (Refusals{Conns: 1}) {
		t.Errorf("refused for a limit: %+v, want one for MaxConns", got.Refused)
	}
	if got.Accepted != sum {
		t.Errorf("%d were accepted, want %d", got.Accepted, sum)
	}
	for o, n := range want {
		if uint64(seen[o].Load()) != n {
			t.Errorf("the observer has seen %v %d times, want %d", o, seen[o].Load(), n)
		}
	}
}

func TestStatsCountTLSFailures(t *testing.T) {
	srv, _ := startTLS(t, quiet(), serveEcho)
	for range 3 {
		c, err := net.Dial("tcp", srv.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, upgradeTo("/echo"))
		_ = c.SetReadDeadline(time.Now().Add(patience))
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	got := settle(t, srv, "three plain requests", func(s Stats) bool { return s.Connections == 0 && s.Accepted == 3 })
	if want := map[Outcome]uint64{OutcomeTLS: 3}; !reflect.DeepEqual(got.Handshakes, want) {
		t.Errorf("%v, want %v", got.Handshakes, want)
	}
}

// Every end is counted once, by its code and who began it.
func TestStatsCountCloses(t *testing.T) {
	var seen atomic.Int64
	cfg := quiet()
	cfg.Observer.Closed = func(c *Conn, info CloseInfo) {
		if c.Path() != "/x" || info.Code == 0 {
			t.Errorf("the observer is told %q, %+v", c.Path(), info)
		}
		seen.Add(1)
	}
	srv := startServer(t, cfg, func(s *Server) {
		s.Handle("/x", Endpoint{MaxMessage: 10, Handler: HandlerFuncs{Message: func(c *Conn, _ Op, p []byte) {
			if string(p) == "panic" {
				panic("as asked")
			}
			_ = c.Close(4000, "")
		}}})
	})
	closeFrame := func(code CloseCode) []byte { return codec.AppendClose(nil, code, "") }
	want := map[Ending]uint64{}
	for _, life := range []struct {
		op      codec.Opcode
		payload []byte
		ending  Ending
	}{
		{codec.OpClose, closeFrame(1000), Ending{1000, Remote}},
		{codec.OpClose, closeFrame(4999), Ending{4999, Remote}},
		{codec.OpClose, nil, Ending{1005, Remote}},
		{codec.OpText, []byte("bye"), Ending{4000, Local}},
		{codec.OpText, []byte("panic"), Ending{1011, Local}},
		{codec.OpText, []byte("far too long a message"), Ending{1009, Local}},
		{codec.OpText, []byte{0xFF}, Ending{1007, Local}},
		{0, nil, Ending{1006, Remote}},
	} {
		for range 2 {
			c := connect(t, srv, "/x")
			if life.op != 0 {
				if err := c.send(life.op, life.payload); err != nil {
					t.Fatal(err)
				}
				for {
					op, _, err := c.recv()
					if err != nil || op == codec.OpClose {
						break
					}
				}
				_ = c.send(codec.OpClose, closeFrame(1000))
			}
			_ = c.Close()
			want[life.ending]++
		}
	}
	got := settle(t, srv, "every end", func(s Stats) bool { return reflect.DeepEqual(s.Closes, want) && s.Connections == 0 })
	if n := got.Handshakes[OutcomeGranted]; n != 16 || seen.Load() != 16 || got.WebSockets != 0 {
		t.Errorf("16 connections: %d granted, %d seen, %d open", n, seen.Load(), got.WebSockets)
	}
}

// turn waits until the connection's loop has ended a turn.
func turn(c *Conn) {
	for range 2 { // a turn may take something in when it is about to end
		done := make(chan struct{})
		c.loop.push(item{run: func(*loop) { close(done) }})
		<-done
	}
}

// What waits for slow readers is known to the byte, and drops by their reason.
func TestStatsCountQueuesAndDrops(t *testing.T) {
	for policy, of := range map[FullPolicy]func(Drops) uint64{
		DropNewest: func(d Drops) uint64 { return d.Newest },
		DropOldest: func(d Drops) uint64 { return d.Oldest },
	} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			opened := make(chan *Conn, 4)
			srv := startServer(t, Config{}, func(s *Server) {
				h := HandlerFuncs{Open: func(c *Conn) { opened <- c }}
				s.Handle("/x", Endpoint{MaxQueue: 100_000, WhenFull: policy, Handler: h})
			})
			var conns []*Conn
			var clients []*testClient
			refused := 0
			for range 4 {
				clients = append(clients, connect(t, srv, "/x"))
				conns = append(conns, next(t, opened))
			}
			message := make([]byte, 10_000)
			fill := func(c *Conn) { // until the kernel takes no more, and the queue is full
				for full := 0; full < 3; full++ {
					if turn(c); c.Buffered() < 80_000 {
						full = 0
					}
					for range 20 {
						switch err := c.Send(Binary, message); {
						case errors.Is(err, ErrDropped):
							refused++
						case err != nil:
							t.Fatal(err)
						}
					}
				}
			}
			for _, c := range conns {
				fill(c)
			}
			sums := func() (waits, dropped int) {
				for _, c := range conns {
					waits += c.Buffered()
					dropped += c.Dropped()
				}
				return waits, dropped
			}
			settle(t, srv, "full queues", func(s Stats) bool {
				waits, dropped := sums()
				drops := int(s.Dropped.Newest + s.Dropped.Oldest)
				return waits > 0 && s.QueueBytes == waits && dropped > 0 && drops == dropped && s.Dropped.Late == 0
			})
			if got := srv.Stats().Dropped; of(got) == 0 || policy == DropNewest && got != (Drops{Newest: uint64(refused)}) {
				t.Errorf("%d messages were refused, %+v counted", refused, got)
			}
			if err := conns[0].SendWithin(time.Nanosecond, Text, nil); err == nil {
				settle(t, srv, "a late one", func(s Stats) bool { return s.Dropped.Late == 1 })
			}
			for _, c := range clients {
				go func() { _, _ = io.Copy(io.Discard, c.Conn) }()
			}
			settle(t, srv, "queues that were taken", func(s Stats) bool { return s.QueueBytes == 0 })
			if waits, _ := sums(); waits != 0 {
				t.Errorf("%d bytes wait", waits)
			}
		})
	}
}

// A queue that its peer will never take is forgotten with its connection.
func TestStatsForgetQueues(t *testing.T) {
	opened := make(chan *Conn, 1)
	srv := startServer(t, quiet(), func(s *Server) {
		s.Handle("/x", Endpoint{MaxQueue: 64 << 20, Handler: HandlerFuncs{Open: func(c *Conn) { opened <- c }}})
	})
	client := connect(t, srv, "/x")
	if err := next(t, opened).Send(Binary, make([]byte, 50<<20)); err != nil {
		t.Fatal(err)
	}
	settle(t, srv, "a long queue", func(s Stats) bool { return s.QueueBytes > 1<<20 })
	_ = client.Close()
	settle(t, srv, "its end", func(s Stats) bool { return s.WebSockets == 0 && s.QueueBytes == 0 })
}

// The statistics and the observer know the same round trips.
func TestStatsCountRoundTrips(t *testing.T) {
	var count, sum atomic.Int64
	cfg := quiet()
	cfg.Observer.RoundTrip = func(c *Conn, took time.Duration) {
		if took < 10*time.Millisecond || took > patience {
			t.Errorf("a round trip takes %v, and the answer 10 ms", took)
		}
		count.Add(1)
		sum.Add(int64(took))
	}
	srv := startServer(t, cfg, func(s *Server) {
		s.Handle("/x", Endpoint{PingInterval: 20 * time.Millisecond, Handler: HandlerFuncs{}})
	})
	c := connect(t, srv, "/x")
	for range 3 {
		op, p, err := c.recv()
		if err != nil || op != codec.OpPing {
			t.Fatal(op, err)
		}
		time.Sleep(10 * time.Millisecond) // the time that is measured
		if err := c.send(codec.OpPong, p); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.Close()
	got := settle(t, srv, "the end", func(s Stats) bool { return s.WebSockets == 0 }).RoundTrips
	if got.Count != 3 || int64(got.Count) != count.Load() || int64(got.Sum) != sum.Load() {
		t.Errorf("%+v were counted; the observer has seen %d, %v", got, count.Load(), time.Duration(sum.Load()))
	}
}

// A loop that is held up is seen to be late. One without timers isn't disturbed.
func TestStatsCountLoopLag(t *testing.T) {
	const held = 300 * time.Millisecond
	var most atomic.Int64
	cfg := quiet()
	cfg.HandshakeTimeout = time.Second // whose timer goes after that
	cfg.Observer.LoopLag = func(late time.Duration) {
		if late < 0 {
			t.Errorf("a tick is %v late", late)
		}
		most.Store(max(most.Load(), int64(late)))
	}
	srv := startServer(t, cfg, func(s *Server) {
		s.Handle("/x", Endpoint{PingInterval: -1, Handler: HandlerFuncs{Message: func(c *Conn, op Op, _ []byte) {
			time.Sleep(held)
			_ = c.Reply(op, nil)
		}}})
	})
	c := connect(t, srv, "/x")
	settle(t, srv, "ticks of the handshake's deadline", func(s Stats) bool { return s.LoopLags.Count > 0 })
	var before uint64
	quietFor := 0
	for range 50 { // the last timer goes some time, and then the ticks do
		time.Sleep(200 * time.Millisecond)
		if n := srv.Stats().LoopLags.Count; n == before {
			if quietFor++; quietFor == 3 {
				break
			}
		} else {
			before, quietFor = n, 0
		}
	}
	if quietFor < 3 {
		t.Errorf("a loop without timers goes on ticking: %d so far", before)
	}
	half, err := net.Dial("tcp", srv.Addr().String()) // a handshake that has a deadline
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	settle(t, srv, "ticks", func(s Stats) bool { return s.LoopLags.Count > before })
	if err := c.echo(codec.OpText, ""); err != nil {
		t.Fatal(err)
	}
	settle(t, srv, "a late tick", func(s Stats) bool { return time.Duration(most.Load()) >= held/2 })
	if got := srv.Stats().LoopLags; int64(got.Sum) < most.Load() {
		t.Errorf("%+v, and one alone was %v", got, time.Duration(most.Load()))
	}
}

// An observer that panics ends neither its connection nor the loop.
func TestObserverPanics(t *testing.T) {
	cfg := quiet()
	cfg.Observer = Observer{
		Handshake: func(net.Addr, Outcome) { panic("handshake") },
		Closed:    func(*Conn, CloseInfo) { panic("closed") },
		RoundTrip: func(*Conn, time.Duration) { panic("round trip") },
		LoopLag:   func(time.Duration) { panic("lag") },
	}
	closed := make(chan CloseInfo, 1)
	srv := startServer(t, cfg, func(s *Server) {
		s.Handle("/x", Endpoint{PingInterval: 20 * time.Millisecond, Handler: HandlerFuncs{
			Close: func(_ *Conn, info CloseInfo) { closed <- info },
		}})
	})
	c := connect(t, srv, "/x")
	for range 2 {
		_, p, err := c.recv()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.send(codec.OpPong, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.send(codec.OpClose, nil); err != nil {
		t.Fatal(err)
	}
	if info := next(t, closed); info.Err != nil || !info.Clean {
		t.Errorf("it ended with %+v", info)
	}
}
