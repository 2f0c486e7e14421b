package engine

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
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
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	for _, size := range []int{0, 20, 125, 1 << 10, 16 << 10, 64 << 10} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			srv := startServer(t, Config{Loops: 1}, serveEcho)
			c := connect(t, srv, "/echo")
			frame := codec.AppendMaskedFrame(nil, codec.OpBinary, [4]byte{9, 8, 7, 6}, make([]byte, size))
			answer := make([]byte, codec.HeaderSize(int64(size), false)+size)
			turn := func() {
				if _, err := c.Write(frame); err != nil {
					t.Fatal(err)
				}
				for got := 0; got < len(answer); {
					n, err := c.r.Read(answer[got:])
					if err != nil {
						t.Fatal(err)
					}
					got += n
				}
			}
			for range 100 {
				turn()
			}
			// Over many messages, because gnet's tick allocates now and then.
			const messages = 2000
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range messages {
				turn()
			}
			runtime.ReadMemStats(&after)
			if per := float64(after.Mallocs-before.Mallocs) / messages; per > 0.05 {
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

// idlersEnv makes this test binary a process that opens connections and holds
// them: two ends of ten thousand connections are too many descriptors for one.
const idlersEnv = "HEADRACE_TEST_IDLERS"

// startIdlers has another process open n connections, each with one echo, and
// returns when all are open.
func startIdlers(t *testing.T, srv *Server, n int) (hangUp func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", idlersEnv, srv.Addr(), n))
	cmd.Stderr = os.Stderr
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hangUp = func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "open" {
		hangUp()
		t.Fatalf("the other process said %q: %v", line, err)
	}
	return hangUp
}

// runIdlers is the other process. It ends when its standard input does.
func runIdlers(spec string) int {
	addr, count, _ := strings.Cut(spec, " ")
	n, _ := strconv.Atoi(count)
	conns := make([]*testClient, 0, n)
	for range n {
		c, err := dial(addr, "/echo")
		if err == nil {
			err = c.echo(codec.OpText, "hello")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "idlers:", err)
			return 1
		}
		c.r = nil
		conns = append(conns, c)
	}
	fmt.Println("open")
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	for _, c := range conns {
		_ = c.Close()
	}
	return 0
}
