package engine

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/codec"
)

// What is sent to each connection before the shutdown: to those that don't read, more
// than the buffers of their sockets hold.
const (
	drainMessage  = 1 << 10
	drainMessages = 4
	drainBacklog  = 40
	drainBuffer   = 8 << 10
	oneInSlow     = 20
)

// Ten thousand connections, of which some have not read anything yet, are closed
// evenly over the window, in another order than they came. Each gets everything that
// was accepted for it, before the shutdown and during it, and then its Close frame.
func TestDrainOfMany(t *testing.T) {
	const window = 3 * time.Second
	n := manyConns(t, 10_000)
	var mu sync.Mutex
	var conns []*Conn // in the order in which they came
	come := func(c *Conn) {
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, c)
	}
	var late atomic.Int64
	cfg := quiet()
	cfg.Network, cfg.Loops, cfg.MaxConns, cfg.DrainWindow = "tcp4", 2, n, window
	cfg.CloseTimeout = time.Minute // however slowly the peers come to it
	cfg.Observer.LoopLag = func(d time.Duration) { storeMax(&late, d) }
	srv := startServer(t, cfg, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: HandlerFuncs{Open: come}})
		s.Handle("/slow", Endpoint{Handler: HandlerFuncs{Open: func(c *Conn) {
			_ = unix.SetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_SNDBUF, drainBuffer)
			come(c)
		}}})
	})
	peers := startProcess(t, "leavers", fmt.Sprint(srv.Addr(), " ", n))
	peers.expect(t, "open")
	waitFor(t, "the last of them", func() bool { mu.Lock(); defer mu.Unlock(); return len(conns) == n })
	accepted := make([]uint32, n)
	for round := range drainBacklog {
		for i, c := range conns {
			if (round < drainMessages || c.Path() == "/slow") && !sendNumbered(t, c, uint32(i), accepted) {
				t.Fatal("a connection takes no messages before the shutdown")
			}
		}
	}
	waits := settle(t, srv, "a backlog", func(s Stats) bool { return s.QueueBytes > n/oneInSlow*drainMessage/2 }).QueueBytes
	t.Logf("%d connections, %d KiB wait for them", n, waits>>10)
	late.Store(0)
	began := time.Now()
	shut := make(chan error, 1)
	go func() { shut <- srv.Shutdown(t.Context()) }()
	peers.say(t, "read")
	for left := true; left; { // others go on sending, to some of them
		left = false
		for i := 0; i < n; i += 10 {
			left = sendNumbered(t, conns[i], uint32(i), accepted) || left
		}
		time.Sleep(100 * time.Millisecond) // what is tested is not how much a loop can carry
	}
	if err := next(t, shut); err != nil {
		t.Error(err)
	}
	at := leaveTimes(t, peers, accepted, began)
	var theirs int64
	if line := peers.line(t); !strings.HasPrefix(line, "late ") {
		t.Errorf("the other process said %q", line)
	} else {
		_, _ = fmt.Sscanf(line, "late %d", &theirs)
	}
	var prompt []time.Duration // those that don't have to read first
	for i, c := range conns {
		if c.Path() == "/x" {
			prompt = append(prompt, at[i])
		}
	}
	judgeSpread(t, prompt, window, time.Duration(late.Load()+theirs))
	if got := srv.Stats(); got.Closes[Ending{CloseGoingAway, Local}] != uint64(n) || len(got.Closes) != 1 || got.QueueBytes != 0 {
		t.Errorf("%d connections were closed: %+v", n, got)
	}
}

// sendNumbered sends a message with the number of the connection and its own, and
// counts it if it is accepted.
func sendNumbered(t *testing.T, c *Conn, i uint32, accepted []uint32) bool {
	p := make([]byte, drainMessage)
	binary.BigEndian.PutUint32(p, i)
	binary.BigEndian.PutUint32(p[4:], accepted[i])
	switch err := c.Send(Binary, p); {
	case err == nil:
		accepted[i]++
		return true
	case !errors.Is(err, ErrClosed):
		t.Errorf("Send gives %v", err)
	}
	return false
}

// leaveTimes reads what became of each connection, and gives the times after which they
// had their Close frames.
func leaveTimes(t *testing.T, peers *process, accepted []uint32, began time.Time) []time.Duration {
	at := make([]time.Duration, len(accepted))
	lost := 0
	for range at {
		var i, got int
		var when int64
		line := peers.line(t)
		if _, err := fmt.Sscanf(line, "left %d %d %d", &i, &got, &when); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		at[i] = max(1, time.Unix(0, when).Sub(began))
		if uint32(got) != accepted[i] {
			lost++
			t.Logf("connection %d got %d messages of %d", i, got, accepted[i])
		}
	}
	if lost > 0 || slices.Contains(at, 0) {
		t.Errorf("%d connections of %d have not got all their messages", lost, len(at))
	}
	return at
}

// judgeSpread checks that the connections, in the order in which they came, left evenly
// over the window, and in another order. late is how long the two processes had to wait
// for a processor: what was due meanwhile leaves at once.
func judgeSpread(t *testing.T, at []time.Duration, window, late time.Duration) {
	n := len(at)
	tenths := make(map[int]int)
	for _, d := range at {
		tenths[int(d/(window/10))]++
	}
	busiest := slices.Max(slices.Collect(maps.Values(tenths)))
	if most := n/3 + int(int64(n)*int64(late)/int64(window)); busiest > most {
		t.Errorf("%d of %d connections left in a tenth of the window, at most %d may: %v (late by %v)", busiest, n, most, tenths, late)
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return int(at[a] - at[b]) })
	if last := at[order[n-1]]; last < window/2 {
		t.Errorf("the last one left after %v, the window is %v", last, window)
	}
	second := 0 // of the first tenth to leave, who came in the second half
	for _, i := range order[:n/10] {
		if i >= n/2 {
			second++
		}
	}
	if second < n/10/4 || second > n/10*3/4 {
		t.Errorf("of the first %d to leave %d had come in the second half", n/10, second)
	}
	t.Logf("%d connections by tenths of the window: %v; late by %v", n, tenths, late)
}

func storeMax(to *atomic.Int64, d time.Duration) {
	for old := to.Load(); int64(d) > old && !to.CompareAndSwap(old, int64(d)); old = to.Load() {
	}
}

// runLeavers is the other process: clients of which some have small buffers, and read
// nothing until they are told to. It says what became of each.
func runLeavers(args string) error {
	var addr string
	var n int
	_, _ = fmt.Sscan(args, &addr, &n)
	conns, err := dialMany(addr, n)
	if err != nil {
		return err
	}
	ends := make(chan string, n)
	start := func(slow bool) {
		for i, c := range conns {
			if (i%oneInSlow == 0) == slow {
				go func() { ends <- waitToLeave(c) }()
			}
		}
	}
	start(false)
	fmt.Println("open")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	var most atomic.Int64
	go watchLateness(&most)
	start(true)
	for range n {
		fmt.Println(<-ends)
	}
	fmt.Println("late", most.Load())
	return nil
}

// dialMany connects so many clients. One in oneInSlow is slow.
func dialMany(addr string, n int) ([]*testClient, error) {
	conns := make([]*testClient, n)
	errs := make(chan error, dialers)
	var at atomic.Int64
	for range dialers {
		go func() {
			for i := at.Add(1) - 1; i < int64(n); i = at.Add(1) - 1 {
				path, buffer := "/x", 0
				if i%oneInSlow == 0 {
					path, buffer = "/slow", drainBuffer
				}
				c, err := dialSmall(addr, path, buffer)
				if err != nil {
					errs <- err
					return
				}
				conns[i] = c
			}
			errs <- nil
		}()
	}
	var err error
	for range dialers {
		err = errors.Join(err, <-errs)
	}
	return conns, err
}

// waitToLeave reads numbered messages until the Close frame, and says whose they were,
// how many, and when that came; or what is wrong.
func waitToLeave(c *testClient) string {
	c.r = bufio.NewReaderSize(c.Conn, 512)
	var who, got uint32
	for {
		op, p, err := c.recvWithin(5 * patience) // all of them have to be there first
		switch {
		case err != nil:
			return fmt.Sprintf("after %d messages: %v", got, err)
		case op == codec.OpClose:
			when := time.Now().UnixNano()
			if code, _, err := codec.ParseClose(p); err != nil || code != CloseGoingAway {
				return fmt.Sprintf("closed with %v, %v", code, err)
			}
			_ = c.send(codec.OpClose, p)
			if b, err := c.r.ReadByte(); !errors.Is(err, io.EOF) {
				return fmt.Sprintf("behind the Close frame %d, %v", b, err)
			}
			_ = c.Close()
			return fmt.Sprintf("left %d %d %d", who, got, when)
		case len(p) != drainMessage || binary.BigEndian.Uint32(p[4:]) != got:
			return fmt.Sprintf("message %d has %d bytes and is number %d", got, len(p), binary.BigEndian.Uint32(p[4:]))
		}
		who = binary.BigEndian.Uint32(p)
		got++
	}
}

// watchLateness measures how long goroutines wait for a processor.
func watchLateness(most *atomic.Int64) {
	const every = 10 * time.Millisecond
	for last := time.Now(); ; {
		time.Sleep(every)
		now := time.Now()
		storeMax(most, now.Sub(last)-every)
		last = now
	}
}
