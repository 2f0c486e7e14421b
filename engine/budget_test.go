package engine

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/codec"
)

// The budgets that the documentation promises, counted.

func TestConnSize(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size > 112 {
		t.Errorf("a Conn takes %d bytes; its comment promises 112", size)
	}
}

func TestEchoAllocatesNothing(t *testing.T) {
	for _, size := range []int{0, 20, 125, 1 << 10, 16 << 10, 64 << 10} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			srv := startServer(t, Config{Loops: 1}, serveEcho)
			c := connect(t, srv, "/echo")
			frame := codec.AppendMaskedFrame(nil, codec.OpBinary, [4]byte{9, 8, 7, 6}, make([]byte, size))
			answer := make([]byte, codec.HeaderSize(int64(size), false)+size)
			if per, _ := allocations(t, 2000, func() { c.exchange(t, frame, answer) }); per > 0.05 {
				t.Errorf("%.3f allocations per echoed message, want 0", per)
			}
		})
	}
}

func TestEchoIsOneReadAndOneWrite(t *testing.T) {
	srv := startServer(t, Config{Loops: 1}, serveEcho)
	c := connect(t, srv, "/echo")
	if err := c.echo(codec.OpText, "first"); err != nil {
		t.Fatal(err)
	}
	before := loopCounts(srv)
	const messages = 500
	for i := range messages {
		if err := c.echo(codec.OpText, strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	after := loopCounts(srv)
	if reads := after.reads - before.reads; reads != messages {
		t.Errorf("%d reads for %d echoes at depth 1", reads, messages)
	}
	if writes := after.writes - before.writes; writes != messages {
		t.Errorf("%d writes for %d echoes at depth 1", writes, messages)
	}
}

// What a callback replies is not held until its turn ends, however much it is.
func TestRepliesOfATurnLeaveEarly(t *testing.T) {
	const messages, size = 300, 4 << 10
	most := make(chan int, 1)
	srv := startServer(t, Config{Loops: 1}, func(s *Server) {
		s.Handle("/many", Endpoint{MaxQueue: 2 * messages * size, Handler: HandlerFuncs{Message: func(c *Conn, op Op, p []byte) {
			held := 0
			for range messages {
				if err := c.Reply(op, p); err != nil {
					t.Errorf("reply: %v", err)
				}
				if !c.Stalled() {
					held = max(held, c.Buffered())
				}
			}
			most <- held
		}}})
	})
	c := connect(t, srv, "/many")
	if err := c.send(codec.OpBinary, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	for range messages {
		if _, _, err := c.recv(); err != nil {
			t.Fatal(err)
		}
	}
	if held := <-most; held > maxCorked+2*size {
		t.Errorf("%d bytes waited for the end of the turn; %d may", held, maxCorked)
	}
}

// loopCounts reads the counters of a server with one loop, on the loop.
func loopCounts(srv *Server) loopStats {
	got := make(chan loopStats)
	srv.mu.Lock()
	l := srv.loops[0]
	srv.mu.Unlock()
	l.push(item{run: func(l *loop) { got <- l.stats }})
	return <-got
}

// idleBudget is the heap that an idle connection may take, in bytes, gnet's
// part (381 on tcp4) included.
const idleBudget = 512

func TestIdleConnectionMemory(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector changes the size of everything")
	}
	n := min(10_000, descriptorLimit()-2000)
	if n < 1000 {
		t.Skipf("RLIMIT_NOFILE is %d: too few connections to measure one", descriptorLimit())
	}
	srv := startServer(t, Config{Network: "tcp4", Loops: 1, MaxConns: 1 << 20}, serveEcho)
	hangUpFirst := startIdlers(t, srv, 1000) // what the loop and gnet have once, whoever comes
	defer hangUpFirst()
	before := heapInUse()
	hangUp := startIdlers(t, srv, n)
	defer hangUp()
	perConn := float64(heapInUse()-before) / float64(n)
	t.Logf("%d idle connections: %.0f bytes of heap each", n, perConn)
	if perConn > idleBudget {
		t.Errorf("an idle connection takes %.0f bytes of heap, the budget is %d", perConn, idleBudget)
	}
}

// dialedBudget is the heap that both ends of a connection that was dialed may take.
const dialedBudget = idleBudget + 1024

// What the handshake has needed is let go of.
func TestDialedConnectionMemory(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector changes the size of everything")
	}
	srv := startServer(t, Config{Network: "tcp4", Loops: 1}, serveEcho)
	client := startClient(t, ClientConfig{Loops: 1})
	d, err := client.Dialer("ws://"+srv.Addr().String()+"/echo", DialOptions{Endpoint: Endpoint{Handler: HandlerFuncs{}}})
	if err != nil {
		t.Fatal(err)
	}
	dial := func(n int) {
		for range n {
			if _, err := d.Dial(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	dial(200) // what both have once
	before := heapInUse()
	const n = 500
	dial(n)
	perConn := float64(heapInUse()-before) / n
	t.Logf("%.0f bytes of heap for each", perConn)
	if perConn > dialedBudget {
		t.Errorf("a connection takes %.0f bytes of heap at both ends, the budget is %d", perConn, dialedBudget)
	}
}

// deflateBudgets are the heap that an idle connection with compression may take, in
// bytes, everything included, after a message of more than its windows has gone both
// ways.
var deflateBudgets = []struct {
	mode   string
	z      Compression
	conns  int
	budget float64
}{
	{"a/the default", Compression{}, 10_000, 2560},
	{"b/PeerBits=12", Compression{PeerBits: 12}, 10_000, 6 << 10},
	{"c/NoHistory", Compression{History: NoHistory}, 10_000, 1 << 10},
	{"d/FullHistory", Compression{History: FullHistory, PeerBits: 15}, 20, 1500 << 10},
}

func TestIdleDeflateConnectionMemory(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector changes the size of everything")
	}
	for _, b := range deflateBudgets {
		t.Run(b.mode, func(t *testing.T) {
			n := min(b.conns, descriptorLimit()-2000)
			if n < min(b.conns, 1000) {
				t.Skipf("RLIMIT_NOFILE is %d: too few connections to measure one", descriptorLimit())
			}
			z := b.z
			srv := startServer(t, Config{Network: "tcp4", Loops: 1, MaxConns: 1 << 20}, func(s *Server) {
				s.Handle("/echo", Endpoint{Handler: echoHandler, Compression: &z})
			})
			hangUpFirst := startIdlers(t, srv, min(n, 1000)) // what the loop and gnet have once, whoever comes
			defer hangUpFirst()
			before := heapInUse()
			hangUp := startIdlers(t, srv, n)
			defer hangUp()
			perConn := float64(heapInUse()-before) / float64(n)
			t.Logf("%d idle connections: %.0f bytes of heap each", n, perConn)
			if perConn > b.budget {
				t.Errorf("an idle connection takes %.0f bytes of heap, the budget is %.0f", perConn, b.budget)
			}
		})
	}
}

// deflateAllocations are how often an echo of a compressed message may allocate. Level
// 0 of the library, which serves mode (a), makes one slice for history and message.
var deflateAllocations = []struct {
	mode  string
	z     Compression
	offer string
	most  float64
}{
	{"a/the default", Compression{}, "permessage-deflate; client_max_window_bits", 1.1},
	{"b/PeerBits=12", Compression{PeerBits: 12}, "permessage-deflate; client_max_window_bits", 1.1},
	{"c/NoHistory", Compression{History: NoHistory}, "permessage-deflate", 0.1},
	{"d/FullHistory", Compression{History: FullHistory, PeerBits: 15}, "permessage-deflate", 0.1},
}

func TestDeflateEchoAllocations(t *testing.T) {
	for _, a := range deflateAllocations {
		for _, size := range []int{200, 1 << 10, 16 << 10} {
			t.Run(fmt.Sprintf("%s/%d", a.mode, size), func(t *testing.T) {
				z := a.z
				srv := startServer(t, Config{Loops: 1}, func(s *Server) {
					s.Handle("/echo", Endpoint{Handler: echoHandler, Compression: &z})
				})
				c, _ := dialDeflate(t, srv, "/echo", a.offer)
				plain := bytes.Repeat([]byte("a tick, and another one; "), size/25+1)[:size]
				frame := compressedFrame(codec.OpText, newDeflateClient(t, "client_no_context_takeover").deflate(plain))
				buf := make([]byte, 64<<10)
				turn := func() {
					if _, err := c.Write(frame); err != nil {
						t.Fatal(err)
					}
					for got := 0; ; { // one frame, read without allocating
						n, err := c.r.Read(buf[got:])
						if err != nil {
							t.Fatal(err)
						}
						got += n
						if h, at, err := codec.ParseHeader(buf[:got]); err != nil || at > 0 && int64(got-at) >= h.Length {
							if err != nil || h.RSV != codec.RSV1 {
								t.Fatalf("it came back as %+v, %v", h, err)
							}
							return
						}
					}
				}
				per, bytes := allocations(t, 2000, turn)
				t.Logf("%.3f allocations of %.0f bytes in all per echoed message", per, bytes)
				if per > a.most {
					t.Errorf("%.3f allocations per echoed message, want %.2f", per, a.most)
				}
			})
		}
	}
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools have held on to
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func descriptorLimit() int {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0
	}
	return int(min(lim.Cur, 1<<20))
}

// startIdlers has another process open n connections and hold them, each with one
// echo, and returns when all are open.
func startIdlers(t testing.TB, srv *Server, n int) (hangUp func()) {
	t.Helper()
	scheme := "ws"
	if srv.cfg.TLS != nil {
		scheme = "wss"
	}
	if ep := srv.endpoints["/echo"]; ep.Compression != nil {
		scheme = "ws+deflate"
	}
	p := startProcess(t, "idlers", fmt.Sprint(scheme, " ", srv.Addr(), " ", n))
	p.expect(t, "open")
	return func() { _ = p.end() }
}

// runIdlers is the other process. It ends when its standard input does.
func runIdlers(args string) error {
	var scheme, addr string
	var n int
	_, _ = fmt.Sscan(args, &scheme, &addr, &n)
	conns := make([]*testClient, 0, n)
	for range n {
		var c *testClient
		var err error
		switch scheme {
		case "wss":
			c, err = dialTLS(addr, "/echo", &tls.Config{InsecureSkipVerify: true})
		case "ws+deflate":
			c, err = dialIdleDeflate(addr)
		default:
			c, err = dial(addr, "/echo")
		}
		if err == nil {
			err = c.echo(codec.OpText, "hello")
		}
		if err != nil {
			return err
		}
		c.r = nil
		conns = append(conns, c)
	}
	fmt.Println("open")
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	for _, c := range conns {
		_ = c.Close()
	}
	return nil
}

// dialIdleDeflate connects with compression, and has a message echoed that is longer
// than every window.
func dialIdleDeflate(addr string) (*testClient, error) {
	c, answers, err := shakeDeflate(addr, "/echo", "permessage-deflate; client_max_window_bits")
	if err != nil || len(answers) != 1 {
		return nil, fmt.Errorf("answers %q: %w", answers, err)
	}
	_ = c.SetDeadline(time.Time{})
	if _, err := c.Write(idleDeflateFrame()); err != nil {
		return nil, err
	}
	first, _, err := c.recvFirst()
	if err == nil && first&0x40 == 0 {
		err = fmt.Errorf("the echo begins with %#x", first)
	}
	return c, err
}

var idleDeflateFrame = sync.OnceValue(func() []byte {
	plain := bytes.Repeat([]byte("all that a window holds; "), 40<<10/25)
	return compressedFrame(codec.OpText, newDeflateClient(nil, "client_no_context_takeover").deflate(plain))
})
