package bench

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestFanStamp(t *testing.T) {
	c := newFanContent(300)
	of := published{publisher: 262_143, number: 1<<32 - 1, due: 40 * time.Hour}
	for _, size := range []int{fanStamp, 150, 300} {
		p := c.appendTo([]byte(`{"a":"`), of, size)
		p = append(p, `"}`...)
		got, rest, found, intact := c.next(p)
		if !found || !intact || got != of || string(rest) != `"}` || len(p) != size+8 {
			t.Errorf("%d bytes: %+v %q %v %v", size, got, rest, found, intact)
		}
		for i := range size {
			broken := bytes.Clone(p)
			broken[6+i] ^= 2
			if _, _, found, intact := c.next(broken); intact || found != (i >= fanPrefix) {
				t.Errorf("%d bytes: with byte %d broken: found %v, intact %v", size, i, found, intact)
			}
			if _, _, _, intact := c.next(p[:6+i]); intact {
				t.Errorf("%d bytes: %d of them are taken for all", size, i)
			}
		}
	}
	if _, _, found, _ := newFanContent(300).next(c.appendTo(nil, of, 100)); found {
		t.Error("a publish of another run is taken for one of this")
	}
}

// A stream is compared with one that keeps everything.
func TestFanStream(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		var s fanStream
		seen, highest := map[uint32]bool{}, -1
		var early, base uint32 = 0, uint32(rng.IntN(30))
		for n := range uint32(200) {
			if rng.IntN(10) == 0 {
				continue
			}
			for _, x := range []uint32{n, uint32(max(0, int(n)-rng.IntN(40)))}[:1+rng.IntN(2)] {
				want := inOrder
				switch {
				case seen[x]:
					want = duplicate
				case int(x) < highest:
					want = late
				}
				if got := s.take(x, x >= base); got != want {
					t.Fatalf("%d behind %d is %v, want %v", x, highest, got, want)
				}
				if !seen[x] && x < base {
					early++
				}
				seen[x], highest = true, max(highest, int(x))
			}
		}
		want := uint32(highest+1) - base - (uint32(len(seen)) - early)
		if holes, tail := s.missing(base, uint32(highest)+4); holes != want || tail != 3 {
			t.Fatalf("%d holes, want %d; a tail of %d", holes, want, tail)
		}
	}
	var s fanStream
	s.take(0, true)
	s.take(1000, true)
	if how := s.take(0, true); how != late { // it may be one of those between, for all that is known
		t.Errorf("far behind with holes: %v", how)
	}
}

func TestFanFlightRanksEachOnce(t *testing.T) {
	f := newFanFlight(4)
	const each, loops = 500, 4
	for number := range uint32(20) {
		f.begin(number, each*loops, time.Second)
		var ranks [each*loops + 1]atomic.Int32
		var run sync.WaitGroup
		for range loops {
			run.Go(func() {
				for range each {
					ranks[f.arrive(number, 2*time.Second).rank].Add(1)
				}
			})
		}
		run.Wait()
		for i := 1; i < len(ranks); i++ {
			if ranks[i].Load() != 1 {
				t.Fatalf("rank %d came %d times", i, ranks[i].Load())
			}
		}
		if f.waiting.Load() != 0 {
			t.Fatal("it is still on its way")
		}
	}
	if at := f.arrive(3, time.Second); at.rank != 0 {
		t.Errorf("one that was overtaken is %+v", at)
	}
	f.begin(20, 2, 0)
	if f.arrive(20, 5); !f.giveUp(20) || f.giveUp(20) || f.waiting.Load() != 0 || f.arrive(20, 6).rank != 0 {
		t.Error("a publish that was given up is still on its way")
	}
	for number := uint32(21); number < 40; number++ { // none of them arrives
		f.begin(number, 1, 0)
	}
	if n := f.waiting.Load(); n != 4 {
		t.Errorf("%d are on their way in a ring of 4", n)
	}
}

func TestSpread(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	var s spread
	var all []time.Duration
	for range 20_000 {
		d := time.Duration(rng.ExpFloat64() * rng.ExpFloat64() * float64(5*time.Millisecond))
		s.add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{1, 50, 90, 99, 100} {
		want := all[min(int(q/100*float64(len(all))), len(all)-1)]
		if got := s.at(q); got < want-want/20 || got > want+want/14+2*time.Microsecond {
			t.Errorf("p%v is %v, want %v", q, got, want)
		}
	}
	var ends spread
	ends.add(-1)
	if ends.at(50) != time.Microsecond {
		t.Errorf("below all: %v", ends.at(50))
	}
	ends.add(24 * time.Hour)
	if ends.at(100) < time.Minute {
		t.Errorf("above all: %v", ends.at(100))
	}
	if new(spread).at(99) != 0 {
		t.Error("nothing has a quantile")
	}
}

func TestFanoutPresets(t *testing.T) {
	for _, c := range []struct {
		plan          Fanout
		preset        string
		rooms         int
		url           string // of subscriber 7
		subscribe     string
		publish, post string
	}{
		{Fanout{Target: Target{URL: "ws://x/any"}}, "relay", 1, "ws://x/any", "", "{stamp}", ""},
		{Fanout{Target: Target{URL: "ws://x/any?r={i%4}"}}, "relay", 4, "ws://x/any?r=3", "", "{stamp}", ""},
		{Fanout{Target: Target{URL: "ws://x/ws/chat"}}, "chat", 1, "ws://x/ws/chat", "", "{stamp}", ""},
		{Fanout{Target: Target{URL: "ws://x/ws/chat?a=1"}, Rooms: 3}, "chat", 3, "ws://x/ws/chat?a=1&room=wsbench-1", "", "{stamp}", ""},
		{Fanout{Target: Target{URL: "ws://x/ws/chat?room=r{i%3}"}}, "chat", 3, "ws://x/ws/chat?room=r1", "", "{stamp}", ""},
		{
			Fanout{Target: Target{URL: "ws://x/feed"}, Rooms: 2, Feed: FeedTopics{Mode: "latest", MaxRate: 2.5}},
			"feed", 2, "ws://x/feed",
			`{"type":"subscribe","topic":"wsbench.{i%2}","snapshot":false,"mode":"latest","maxRate":2.5}`,
			`{"type":"publish","topic":"wsbench.{i%2}","data":"{stamp}"}`, "",
		},
		{
			Fanout{Target: Target{URL: "ws://x/feed"}, Feed: FeedTopics{Topic: "a.b"}, PublishHTTP: "http://y:1/"},
			"feed", 1, "ws://x/feed",
			`{"type":"subscribe","topic":"a.b","snapshot":false}`, `"{stamp}"`, "http://y:1/publish/a.b",
		},
	} {
		c.plan.Subscribers, c.plan.Sizes, c.plan.Duration = 10, Sizes{Min: 100, Max: 100}, 1
		p, err := c.plan.withDefaults()
		if err != nil {
			t.Error(c.plan.URL, err)
			continue
		}
		to, _ := p.targets()
		subscribe := ""
		if len(p.Subscribe) > 0 {
			subscribe = p.Subscribe[0]
		}
		if p.Preset != c.preset || p.Rooms != c.rooms || p.Publishers != c.rooms || to.at(7) != c.url || subscribe != c.subscribe || p.Publish != c.publish || p.PublishHTTP != c.post {
			t.Errorf("%s: %+v", c.plan.URL, p)
		}
	}
}

// What one delivery costs is paid many times: it takes no memory.
func TestFanoutReceiveAllocatesNothing(t *testing.T) {
	j, s := standingSubscriber(t)
	number := uint32(0)
	p := []byte(`{"skipped":3,"data":"`)
	buf := make([]byte, 0, 400)
	if n := testing.AllocsPerRun(1000, func() {
		j.publishers[0].flight.begin(number, 1, 0)
		buf = j.content.appendTo(append(buf[:0], p...), published{0, number, time.Duration(number)}, 100)
		number++
		s.receive(buf, j.now())
	}); n != 0 || s.received != uint64(number) {
		t.Errorf("%v allocations, %d received of %d", n, s.received, number)
	}
}

// One message may hold several publishes, whole or not, and each says what it stands for.
func TestFanoutReceivesBatches(t *testing.T) {
	j, s := standingSubscriber(t)
	var p []byte
	for number := range uint32(10) {
		j.publishers[0].flight.begin(number, 1, 0)
		p = append(p, `{"skipped":2,"data":"`...)
		p = j.content.appendTo(p, published{0, number, 0}, 100)
		p = append(p, `"}`...)
	}
	j.publishers[0].base.Store(0)
	p[3*(100+23)-5] ^= 1
	rec := s.lane.rec
	if !s.receive(p, j.now()) || s.received != 9 || rec.Received != 9 || rec.Corrupt != 1 || rec.fan.complete != 9 || rec.Bytes != uint64(len(p)) {
		t.Errorf("%+v %+v", rec.Counts, rec.fan)
	}
	if s.conflated != 8*2 { // the first stands for none that counts, the third is corrupt
		t.Errorf("%d conflated", s.conflated)
	}
	if s.receive([]byte("hello"), j.now()) || s.receive(p[:60], j.now()) != true || rec.Corrupt != 2 {
		t.Errorf("%+v", rec.Counts)
	}
}

// All publishers may have gone before the first publish is due: rates stay numbers.
func TestFanoutPacesNobody(t *testing.T) {
	for _, poisson := range []bool{false, true} {
		j, s := standingSubscriber(t)
		j.plan.Rate, j.plan.Poisson, j.lanes.order = 100, poisson, []*fanLane{s.lane}
		for _, p := range (&fanRun{plan: j.plan, job: j}).pace(time.Second) {
			if after := p.step(p.next); p.next < time.Second || after <= p.next || after > time.Hour {
				t.Errorf("poisson %v: publishes are due at %v, then at %v", poisson, p.next, after)
			}
		}
	}
}

func BenchmarkFanoutReceive(b *testing.B) {
	j, s := standingSubscriber(b)
	var buf []byte
	b.ReportAllocs()
	number := uint32(0)
	for b.Loop() {
		if number%256 == 0 {
			buf = j.content.appendTo(buf[:0], published{0, number, 0}, 100)
		}
		s.receive(buf, j.now())
		number++
	}
}

// standingSubscriber is a subscriber without a connection.
func standingSubscriber(tb testing.TB) (*fanJob, *subscriber) {
	tb.Helper()
	plan, err := (&Fanout{
		Target: Target{URL: "ws://x/"}, Subscribers: 1, Sizes: Sizes{Min: 100, Max: 100}, Rate: 1, Duration: time.Second, Skipped: `"skipped":`,
	}).withDefaults()
	if err != nil {
		tb.Fatal(err)
	}
	j := newFanJob(&plan, time.Now())
	j.from.Store(0)
	s := &j.subscribers[0]
	s.lane = &fanLane{job: j, lane: &lane{rec: newRecorder()}}
	s.lane.rec.fanned()
	return j, s
}

// What is due when no publisher is left is not sent, and that is an error. When that is the
// client hears from the server, in two seconds at the latest.
func TestFanoutWithoutPublishersIsNotSent(t *testing.T) {
	t.Parallel()
	n := 0
	r := fanout(t, &relay{said: func(m *attendee, _ []byte) bool {
		if n++; n > 10 {
			_ = m.conn.Close(4001, "enough")
		}
		return n > 10
	}}, Fanout{Rate: 100, Duration: 2 * time.Second, Grace: 100 * time.Millisecond})
	if c := r.Counts; c.Dropped != 1 || c.Sent < 10 || c.NotSent == 0 || !near(c.Sent+c.NotSent, 200, 0.02) {
		t.Errorf("%+v of 200 publishes that were due, and one publisher that ended", c)
	}
}
