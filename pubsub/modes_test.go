package pubsub

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

// stall fills a connection's socket, whose peer doesn't read, until it takes no more.
func (s *stage) stall(l *listener) {
	s.t.Helper()
	l.dialed.PauseRead()
	filler := []byte(`update filler "" 0 0 0 ` + strings.Repeat("x", 60<<10))
	for stalled := false; !stalled; {
		if err := l.conn.Send(engine.Text, filler); err != nil {
			s.t.Fatal(err)
		}
		settle(l.conn)
		done := make(chan struct{})
		l.conn.Loop().NewWork(func() bool { stalled = l.conn.Stalled(); close(done); return false }).Ask()
		<-done
	}
}

// withoutFiller leaves out what stall has sent.
func withoutFiller(all []heard) (rest []heard) {
	for _, h := range all {
		if h.topic != "filler" {
			rest = append(rest, h)
		}
	}
	return rest
}

// onShard runs f on the loop of a connection.
func onShard(l *listener, f func()) {
	done := make(chan struct{})
	l.conn.Loop().NewWork(func() bool { f(); close(done); return false }).Ask()
	<-done
}

func TestLatestKeepsTheNewestOfEachKey(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{MaxQueue: 64 << 20}, 1)
	slow, fast := s.join(), s.join()
	s.subscribe(slow, "a.*", Options{Mode: Latest, NoSnapshot: true})
	s.subscribe(fast, "a.*", Options{Mode: Latest, NoSnapshot: true})
	slow.waitLive("a.*")
	fast.waitLive("a.*")
	s.publish("a.x", "k", "0")
	slow.waitCount(2)
	s.stall(slow)
	for i := 1; i <= 100; i++ {
		s.publish("a.x", "k", fmt.Sprint(i))
		if i%10 == 0 {
			s.publish("a.x", "m", fmt.Sprint(i))
		}
		if i == 50 {
			s.publish("a.y", "k", "once")
		}
	}
	fast.wait("all", func(all []heard) bool { return len(all) == 1+1+100+10+1 })
	onShard(slow, func() {}) // what was pushed has been looked at
	slow.dialed.ResumeRead()
	got := withoutFiller(slow.wait("the newest", func(all []heard) bool { return len(withoutFiller(all)) >= 5 }))
	if want := "live a.x:k=0@1 a.y:k=once@1 a.x:k=100@110(99) a.x:m=100@111(9)"; short(got) != want {
		t.Errorf("got  %s\nwant %s", short(got), want)
	}
	if st := s.hub.Stats(); st.Conflated != 108 {
		t.Errorf("%d conflated, want 108", st.Conflated)
	}
	s.publish("a.x", "k", "after")
	slow.wait("what comes after", func(all []heard) bool { return all[len(all)-1].payload == "after" })
}

func TestLatestWithMaxRate(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	l := s.join()
	const interval = 100 * time.Millisecond
	s.subscribe(l, "a", Options{Mode: Latest, MaxRate: float64(time.Second / interval), NoSnapshot: true})
	l.waitLive("a")
	began := time.Now()
	n := 0
	eventually(t, "several are delivered", func() bool {
		n++
		s.publish("a", "", fmt.Sprint(n))
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.heard) > 8
	})
	took := time.Since(began)
	all := l.wait("the last", func(all []heard) bool { return all[len(all)-1].payload == fmt.Sprint(n) })
	deliveries := len(all) - 1
	if most := int(took/interval) + 2; deliveries > most {
		t.Errorf("%d deliveries in %v, at most %d may be", deliveries, took, most)
	}
	sum := 0
	for _, h := range all[1:] {
		sum += 1 + h.skipped
	}
	if sum != n {
		t.Errorf("%d messages are delivered or skipped, %d were published", sum, n)
	}
}

// However low a rate is, it is none without a limit.
func TestLowestMaxRate(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	l := s.join()
	s.subscribe(l, "a", Options{Mode: Latest, MaxRate: math.SmallestNonzeroFloat64, NoSnapshot: true})
	l.waitLive("a")
	for range 3 {
		s.publish("a", "", "x")
		settle(l.conn)
	}
	if lags := s.hub.Slowest(1); len(lags) != 1 || lags[0].Waiting != 1 {
		t.Errorf("what waits: %+v", lags)
	}
	if got, want := short(l.waitCount(2)), "live a:=x@1"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// The first message after a silence does not wait.
func TestMaxRateDeliversTheFirstAtOnce(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	l := s.join()
	s.subscribe(l, "a", Options{Mode: Latest, MaxRate: 0.001})
	l.waitLive("a")
	l.forget()
	s.publish("a", "", "1")
	l.waitCount(1)
	s.publish("a", "", "2")
	s.publish("a", "", "3")
	settle(l.conn)
	if lags := s.hub.Slowest(-1); len(lags) != 0 {
		t.Errorf("of less than none: %+v", lags)
	}
	if lags := s.hub.Slowest(1); len(lags) != 1 || lags[0].Waiting != 1 {
		t.Errorf("what waits is %+v", lags)
	}
	if got := short(l.waitCount(1)); got != "a:=1@1" {
		t.Error(got)
	}
}

// What is fresh may be too old as well, where nobody runs for long enough: then it is tried
// again.
func TestDeadlineDropsWhatIsTooOld(t *testing.T) {
	for range 10 {
		if deadlineDropsWhatIsTooOld(t) || t.Failed() {
			return
		}
	}
	t.Error("what is fresh never comes")
}

func deadlineDropsWhatIsTooOld(t *testing.T) (freshCame bool) {
	s := newStage(t, Config{MaxPending: 50}, engine.Endpoint{MaxQueue: 64 << 20}, 1)
	l := s.join()
	s.subscribe(l, "a", Options{Mode: Deadline, MaxAge: 200 * time.Millisecond, NoSnapshot: true})
	s.subscribe(l, "b", Options{Mode: Deadline, MaxAge: time.Hour, NoSnapshot: true})
	l.waitLive("b")
	s.stall(l)
	for i := range 10 {
		s.publish("a", "", fmt.Sprint("old", i))
	}
	for i := range 60 {
		s.publish("b", "", fmt.Sprint(i))
	}
	time.Sleep(300 * time.Millisecond)
	s.publish("a", "", "fresh")
	onShard(l, func() {})
	l.dialed.ResumeRead()
	l.wait("b", func(all []heard) bool { return countKind(all, "update", "b") >= 50 })
	var got []heard
	eventually(t, "a has come, or was dropped", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		got = l.heard
		return uint64(countKind(got, "update", "a"))+s.hub.Stats().DroppedLate >= 11
	})
	var a, b []string
	for _, h := range withoutFiller(got)[2:] {
		if h.topic == "a" {
			a = append(a, h.payload)
		} else {
			b = append(b, h.payload)
		}
	}
	if freshCame = len(a) > 0; freshCame && strings.Join(a, " ") != "fresh" {
		t.Errorf("of a came %v", a)
	}
	if len(b) != 50 || b[0] != "10" || b[49] != "59" {
		t.Errorf("of b came %d: %v", len(b), b)
	}
	if st := s.hub.Stats(); int(st.DroppedLate) != 11-len(a) || st.DroppedPending != 10 {
		t.Errorf("%d late, %d beyond the limit", st.DroppedLate, st.DroppedPending)
	}
	return freshCame
}

// A Latest subscriber whose peer has stopped reading for ever costs as much as there
// are keys, whatever is published, and a Queue subscriber beside it misses nothing.
func TestStalledSubscriberTakesNoMemory(t *testing.T) {
	rate, seconds := 10_000, 10
	if raceDetector || testing.Short() {
		rate, seconds = 2000, 3
	}
	const keys, size = 20, 200
	s := newStage(t, Config{History: 100}, engine.Endpoint{MaxQueue: 64 << 20}, 1)
	slow, fast := s.join(), s.join()
	count := fast.counts()
	s.subscribe(slow, "a", Options{Mode: Latest, NoSnapshot: true})
	s.subscribe(fast, "a", Options{NoSnapshot: true})
	slow.waitLive("a")
	fast.waitLive("a")
	s.stall(slow)
	payload := strings.Repeat("p", size)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	published := 0
	var early, late uint64
	for i := range seconds * 100 {
		<-tick.C
		for range rate / 100 {
			s.publish("a", fmt.Sprint("k", published%keys), payload)
			published++
		}
		if i == 100 {
			early = heapInUse()
		}
	}
	eventually(t, "the fast one has all", func() bool { return count.seen.Load() == uint64(published) })
	if count.gaps.Load() != 0 {
		t.Errorf("%d gaps", count.gaps.Load())
	}
	late = heapInUse()
	if late > early+2<<20 {
		t.Errorf("the heap has grown from %d to %d bytes in %d messages", early, late, published)
	}
	onShard(slow, func() {
		s.hub.eachShard(func(x *shard) {
			for _, o := range x.subscribers {
				for _, sub := range o.live {
					if sub.options.Mode == Latest && (sub.waiting.len() != keys || len(sub.waiting.(*newest).slots) > 2*keys+17) {
						t.Errorf("%d messages wait in %d places", sub.waiting.len(), len(sub.waiting.(*newest).slots))
					}
				}
			}
		})
	})
	t.Logf("%d messages; the heap was %d bytes after a second and is %d", published, early, late)
	lags := s.hub.Slowest(5)
	if len(lags) != 1 || lags[0].Conn != slow.conn || lags[0].Waiting != keys || lags[0].Mode != Latest || lags[0].Bytes == 0 {
		t.Errorf("the slowest are %+v", lags)
	}
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A Queue subscriber that doesn't read ends by its connection's policy; nobody else
// notices.
func TestQueueEndsByThePolicy(t *testing.T) {
	for _, policy := range []engine.FullPolicy{engine.CloseSlow, engine.DropNewest, engine.DropOldest} {
		s := newStage(t, Config{}, engine.Endpoint{MaxQueue: 1 << 20, WhenFull: policy}, 1)
		slow, fast := s.join(), s.join()
		s.subscribe(slow, "a", Options{NoSnapshot: true})
		s.subscribe(fast, "a", Options{NoSnapshot: true})
		slow.waitLive("a")
		fast.waitLive("a")
		slow.dialed.PauseRead()
		payload := strings.Repeat("p", 10<<10)
		const messages = 2000 // 20 MB
		for i := range messages {
			s.publish("a", "", payload)
			if i%20 == 0 { // what it is spared is a full queue
				fast.waitCount(i)
			}
		}
		fast.waitCount(1 + messages)
		switch policy {
		case engine.CloseSlow:
			eventually(t, "the slow one is closed", func() bool { return !slow.conn.IsOpen() })
		case engine.DropNewest:
			if n := s.hub.Stats().DroppedFull; n == 0 || int(n) != slow.conn.Dropped() {
				t.Errorf("DropNewest: the hub has dropped %d, the connection %d", n, slow.conn.Dropped())
			}
		default:
			if slow.conn.Dropped() == 0 {
				t.Error("DropOldest: nothing is dropped")
			}
		}
		if n := slow.conn.Buffered(); n > 3<<20 {
			t.Errorf("policy %d: %d bytes wait", policy, n)
		}
	}
}

// rawPeer is a client on a bare socket: what one read gives it has left in one write.
type rawPeer struct {
	net.Conn
	server *engine.Conn
}

func (s *stage) joinRaw() *rawPeer {
	s.t.Helper()
	c, err := net.Dial("tcp", s.server.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n")
	head := make([]byte, 4096)
	if n, err := c.Read(head); err != nil || !strings.HasPrefix(string(head[:n]), "HTTP/1.1 101 ") {
		s.t.Fatalf("%v, %q", err, head[:n])
	}
	return &rawPeer{c, <-s.opened}
}

// All that a batch has for a connection leaves in one write, whatever the number of
// topics.
func TestManyTopicsLeaveInOneWrite(t *testing.T) {
	s := newStage(t, Config{NoLastValues: true, Encoder: Payloads{Kind: engine.Text}}, engine.Endpoint{}, 1)
	var peers []*rawPeer
	const topics = 20
	for range 10 {
		p := s.joinRaw()
		for i := range topics {
			if err := s.hub.Subscribe(p.server, fmt.Sprint("t", i), Options{NoSnapshot: true}); err != nil {
				t.Fatal(err)
			}
		}
		settle(p.server)
		peers = append(peers, p)
	}
	release := make(chan struct{})
	peers[0].server.Loop().NewWork(func() bool { <-release; return false }).Ask() // what comes meanwhile is one batch
	for i := range topics {
		s.publish(fmt.Sprint("t", i), "", "first")
		s.publish(fmt.Sprint("t", i), "", "second")
	}
	close(release)
	want := topics * (2 + len("first") + 2 + len("second"))
	for _, p := range peers {
		buf := make([]byte, 64<<10)
		if n, err := p.Read(buf); n != want || err != nil {
			t.Errorf("the first read has %d bytes of %d, %v", n, want, err)
		}
	}
}

// A publish to many does not hold up the loop's other connections.
func TestFanOutLetsOthersIn(t *testing.T) {
	s := newStage(t, Config{NoLastValues: true, Encoder: Payloads{Kind: engine.Text}}, engine.Endpoint{}, 1)
	const peers = 2000
	for range peers {
		p := s.joinRaw()
		if err := s.hub.Subscribe(p.server, "a", Options{NoSnapshot: true}); err != nil {
			t.Fatal(err)
		}
	}
	loop := s.joinRaw().server.Loop()
	eventually(t, "all are there", func() bool { return s.hub.Stats().Subscriptions == peers })
	turns := 0
	between := make(map[uint64]bool) // how far the fan-out was whenever others were let in
	var other *engine.Work
	done := make(chan struct{})
	other = loop.NewWork(func() bool {
		turns++
		n := s.hub.Stats().Deliveries
		between[n] = true
		if n == peers {
			close(done)
		}
		return n < peers
	})
	s.publish("a", "", "to all")
	other.Ask()
	<-done
	if len(between) < peers/deliveriesPerTurn {
		t.Errorf("others were let in %d times, at %v deliveries", turns, between)
	}
}

// What PublishAll publishes leaves in one write, with nothing that holds the loop up.
func TestPublishAllLeavesInOneWrite(t *testing.T) {
	s := newStage(t, Config{NoLastValues: true, Encoder: Payloads{Kind: engine.Text}}, engine.Endpoint{}, 1)
	p := s.joinRaw()
	if err := s.hub.Subscribe(p.server, ">", Options{NoSnapshot: true}); err != nil {
		t.Fatal(err)
	}
	settle(p.server)
	var burst []Publication
	for i := range 100 {
		burst = append(burst, Publication{Topic: fmt.Sprint("t", i%7), Payload: []byte("message")})
	}
	want := len(burst) * (2 + len("message"))
	for range 100 {
		if n, err := s.hub.PublishAll(burst); n != len(burst) || err != nil {
			t.Fatal(n, err)
		}
		buf := make([]byte, 64<<10)
		if n, err := p.Read(buf); n != want || err != nil {
			t.Fatalf("the first read has %d bytes of %d, %v", n, want, err)
		}
	}
	burst[3].Topic = "a..b"
	if n, err := s.hub.PublishAll(burst); n != 3 || !errors.Is(err, ErrBadTopic) {
		t.Errorf("with a bad topic: %d, %v", n, err)
	}
	buf := make([]byte, 64<<10)
	if n, _ := p.Read(buf); n != 3*(2+len("message")) {
		t.Errorf("with a bad topic %d bytes came", n)
	}
}

// late is a broker in this process that takes its time for one topic.
type late struct {
	local
	asked, answer chan struct{}
}

func (b *late) Publish(p Publication) (Position, error) {
	if p.Topic == "late" {
		close(b.asked)
		<-b.answer
	}
	return b.local.Publish(p)
}

// While PublishAll waits for its broker, what others publish is delivered.
func TestPublishAllHoldsNobodyUp(t *testing.T) {
	b := &late{asked: make(chan struct{}), answer: make(chan struct{})}
	s := newStage(t, Config{Broker: b}, engine.Endpoint{}, 1)
	l := s.join()
	s.subscribe(l, ">", Options{NoSnapshot: true})
	l.waitLive(">")
	done := make(chan struct{})
	go func() {
		defer close(done)
		if n, err := s.hub.PublishAll([]Publication{{Topic: "first"}, {Topic: "late"}}); n != 2 || err != nil {
			t.Error(n, err)
		}
	}()
	<-b.asked
	s.publish("another", "", "")
	l.waitCount(3)
	close(b.answer)
	<-done
	if got, want := short(l.waitCount(4)), "live first:=@1 another:=@1 late:=@1"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// waitingEncoder waits with a message of each payload "wait" until it may go on.
type waitingEncoder struct {
	Payloads
	goOn func()
}

func (e waitingEncoder) AppendUpdate(dst []byte, u *Update) []byte {
	if string(u.Payload) == "wait" {
		e.goOn()
	}
	return e.Payloads.AppendUpdate(dst, u)
}

// Of many messages the first are delivered before PublishAll has the last, so that it
// doesn't come up against MaxBacklog while loops have nothing to do.
func TestPublishAllOfManyDeliversMeanwhile(t *testing.T) {
	const bytes = 4096
	encoder := &waitingEncoder{Payloads: Payloads{Kind: engine.Text}}
	s := newStage(t, Config{NoLastValues: true, Encoder: encoder, MaxBacklog: 2 * batchEvents * bytes}, engine.Endpoint{MaxQueue: 1 << 30}, 1)
	p := s.joinRaw()
	if err := s.hub.Subscribe(p.server, ">", Options{NoSnapshot: true}); err != nil {
		t.Fatal(err)
	}
	settle(p.server)
	go func() { _, _ = io.Copy(io.Discard, p) }()
	turns := 0
	encoder.goOn = func() {
		turns++
		want := uint64(turns * batchEvents)
		eventually(t, fmt.Sprint(want, " are delivered"), func() bool { return s.hub.Stats().Deliveries >= want })
	}
	var all []Publication
	for i := range 4 * batchEvents {
		payload := []byte("wait")
		if i%batchEvents > 0 || i == 0 {
			payload = make([]byte, bytes)
		}
		all = append(all, Publication{Topic: "a", Payload: payload})
	}
	if n, err := s.hub.PublishAll(all); n != len(all) || err != nil {
		t.Errorf("%d of %d, %v", n, len(all), err)
	}
}

// A Latest subscriber loses nothing to its connection's policy, however small the queue
// is beside what a batch brings and what has waited: what has no room waits.
func TestLatestStaysWithinTheQueue(t *testing.T) {
	const keys, rounds, queue = 60, 30, 16 << 10
	for _, options := range []Options{{Mode: Latest, NoSnapshot: true}, {Mode: Deadline, MaxAge: time.Hour, NoSnapshot: true}} {
		s := newStage(t, Config{MaxPending: 10_000}, engine.Endpoint{MaxQueue: queue, WhenFull: engine.DropNewest, MaxUnsent: 4096}, 1)
		slow := s.join()
		s.subscribe(slow, "a", options)
		slow.waitLive("a")
		filler := strings.Repeat("p", 1000)
		for round := range rounds {
			if round%3 == 0 {
				slow.dialed.PauseRead()
			}
			var batch []Publication
			for key := range keys {
				batch = append(batch, Publication{Topic: "a", Key: fmt.Sprint(key), Payload: fmt.Appendf(nil, "%d %s", round, filler)})
			}
			if _, err := s.hub.PublishAll(batch); err != nil {
				t.Fatal(err)
			}
			if round%3 == 2 {
				slow.dialed.ResumeRead()
				time.Sleep(5 * time.Millisecond)
			}
		}
		newest := fmt.Sprint(rounds-1, " ") // how it begins
		slow.wait("the newest of every key", func(all []heard) bool {
			have := map[string]bool{}
			for _, h := range all {
				have[h.key] = have[h.key] || strings.HasPrefix(h.payload, newest)
			}
			n := 0
			for _, has := range have {
				if has {
					n++
				}
			}
			return n == keys
		})
		if full, dropped := s.hub.Stats().DroppedFull, slow.conn.Dropped(); full != 0 || dropped != 0 {
			t.Errorf("%+v: the hub has dropped %d, the connection %d", options, full, dropped)
		}
	}
}
