package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// dialers is how many dials tests have under way at once.
const dialers = 16

// Ten thousand outgoing connections: each echoes, none has a goroutine, and each
// hears of its end once.
func TestManyOutgoingConnections(t *testing.T) {
	n := manyConns(t, 10_000)
	var o outgoing
	o.conns, o.echoes, o.ends = make([]*Conn, n), make([]atomic.Int32, n), make([]atomic.Int32, n)
	o.done, o.over = make(chan struct{}), make(chan struct{})
	addr := startProcess(t, "echo", "").line(t)
	client := startClient(t, ClientConfig{Loops: 1, MaxConns: n})
	d, err := client.Dialer(fmt.Sprintf("ws://%s/echo", addr), DialOptions{Endpoint: Endpoint{Handler: o.handler(t)}})
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	// One for each dial that was under way, which gnet keeps for a while; the ticker.
	most := before + dialers + 5
	for _, until := range []int{n / 10, n} {
		o.dial(t, d, until)
		if t.Failed() {
			return
		}
		waitFor(t, "the end of what dialling needs", func() bool { return runtime.NumGoroutine() <= most })
		t.Logf("%d connections: %d goroutines, %d before", until, runtime.NumGoroutine(), before)
	}
	next(t, o.done)
	if got := client.Connections(); got != n {
		t.Errorf("%d connections are open, want %d", got, n)
	}
	for _, c := range o.conns {
		if err := c.Close(CloseNormal, ""); err != nil {
			t.Error(err)
		}
	}
	next(t, o.over)
	for i := range n {
		if echoes, ends := o.echoes[i].Load(), o.ends[i].Load(); echoes != 1 || ends != 1 {
			t.Errorf("connection %d had %d echoes and %d ends", i, echoes, ends)
		}
	}
	waitFor(t, "the end of all", func() bool { return client.Connections() == 0 })
	if got := client.host.Stats(); got.Closes[Ending{CloseNormal, Local}] != uint64(n) || got.Handshakes[OutcomeGranted] != uint64(n) {
		t.Errorf("%d connections, and counted: %+v", n, got)
	}
}

// A dial that is under way when the client ends comes to an end, one way or the other.
func TestClientCloseDuringDials(t *testing.T) {
	srv := startServer(t, quiet(), serveEcho)
	for range 20 {
		client, err := NewClient(ClientConfig{Loops: 2, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		var opens, ends atomic.Int32
		d, err := client.Dialer(fmt.Sprintf("ws://%s/echo", srv.Addr()), DialOptions{Endpoint: Endpoint{Handler: HandlerFuncs{
			Open:  func(*Conn) { opens.Add(1) },
			Close: func(*Conn, CloseInfo) { ends.Add(1) },
		}}})
		if err != nil {
			t.Fatal(err)
		}
		begun, ended := make(chan struct{}, 1), make(chan struct{})
		var dials sync.WaitGroup
		for range dialers {
			dials.Go(func() {
				for {
					if _, err := d.Dial(context.Background()); err != nil {
						return
					}
					select {
					case begun <- struct{}{}:
					default:
					}
				}
			})
		}
		go func() { dials.Wait(); close(ended) }()
		next(t, begun)
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		next(t, ended)
		if client.Connections() != 0 || opens.Load() != ends.Load() {
			t.Fatalf("%d opened, %d ended, %d are left", opens.Load(), ends.Load(), client.Connections())
		}
	}
}

// manyConns is how many connections a test can have whose other ends are in another
// process.
func manyConns(t *testing.T, want int) int {
	if raceDetector {
		want /= 5
	}
	limit := descriptorLimit()
	n := min(want, limit-min(2000, limit/2)) // others need some, too
	if n < want {
		t.Logf("RLIMIT_NOFILE is %d: %d connections instead of %d", descriptorLimit(), n, want)
	}
	return n
}

// outgoing are many connections of one Client.
type outgoing struct {
	conns         []*Conn
	dialled       int
	echoes, ends  []atomic.Int32
	echoed, ended atomic.Int32
	done, over    chan struct{} // closed when all have echoed; when all have ended
}

func (o *outgoing) handler(t *testing.T) Handler {
	return HandlerFuncs{
		Message: func(c *Conn, _ Op, p []byte) {
			i, err := strconv.Atoi(string(p))
			if err != nil || o.conns[i] != c {
				t.Errorf("%q came to the wrong connection", p)
				return
			}
			c.SetUser(i)
			o.echoes[i].Add(1)
			if o.echoed.Add(1) == int32(len(o.conns)) {
				close(o.done)
			}
		},
		Close: func(c *Conn, info CloseInfo) {
			if i, ok := c.User().(int); ok {
				o.ends[i].Add(1)
			}
			if info.Code != CloseNormal || !info.Clean || info.Err != nil {
				t.Errorf("it ended with %+v", info)
			}
			if o.ended.Add(1) == int32(len(o.conns)) {
				close(o.over)
			}
		},
	}
}

// dial makes connections until there are so many, and sends a message on each.
func (o *outgoing) dial(t *testing.T, d *Dialer, until int) {
	var wg sync.WaitGroup
	var at atomic.Int64
	at.Store(int64(o.dialled))
	for range dialers {
		wg.Go(func() {
			for i := int(at.Add(1)) - 1; i < until; i = int(at.Add(1)) - 1 {
				conn, err := d.Dial(context.Background())
				if err == nil {
					o.conns[i] = conn
					err = conn.Send(Text, strconv.AppendInt(nil, int64(i), 10))
				}
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	o.dialled = until
}

// runEcho is a server in another process. It says its address, and ends with its input.
func runEcho(string) error {
	srv, err := New(Config{Addr: "127.0.0.1:0", Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	serveEcho(srv)
	return srv.Run(sayAndWait(srv))
}

// sayAndWait gives a context that ends with the input of this process, and says the
// server's address when it listens.
func sayAndWait(srv *Server) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		<-srv.Ready()
		fmt.Println(srv.Addr())
		_, _ = os.Stdin.Read(make([]byte, 1))
	}()
	return ctx
}
