package main

import (
	"bytes"
	"encoding/json"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/pubsub"
)

// tick is the data of a tick.
type tick struct {
	Bid  float64 `json:"bid"`
	Ask  float64 `json:"ask"`
	Last float64 `json:"last"`
	Vol  int64   `json:"vol"`
	Open float64 `json:"open"`
	T    int64   `json:"t"`
}

func TestSymbolNames(t *testing.T) {
	seen := make(map[string]bool)
	for i := range maxSymbols {
		name := symbolName(i)
		if seen[name] || !regexp.MustCompile(`^[a-z]{5}$`).MatchString(name) {
			t.Fatalf("symbol %d is %q", i, name)
		}
		seen[name] = true
	}
}

// One seed gives one market.
func TestMarketIsSeeded(t *testing.T) {
	trades := func(seed uint64) string {
		m := newMarket(20, seed)
		var all []byte
		for i := range 500 {
			now := time.UnixMilli(int64(i))
			s := m.trade(now)
			all = s.appendTick(append(all, s.topic...), now)
		}
		return string(all)
	}
	if a, b := trades(1), trades(1); a != b {
		t.Error("the same seed gives another market")
	}
	if trades(1) == trades(2) {
		t.Error("another seed gives the same market")
	}
}

// Prices are in cents, bid is below ask, volumes grow, and nobody runs away, for a
// long while.
func TestMarketStaysSane(t *testing.T) {
	m := newMarket(30, 7)
	now := time.UnixMilli(1_700_000_000_000)
	volumes := make(map[string]int64)
	counts := make(map[string]int)
	cents := regexp.MustCompile(`^\{"bid":\d+\.\d\d,"ask":\d+\.\d\d,"last":\d+\.\d\d,"vol":\d+,"open":\d+\.\d\d,"t":\d{13}\}$`)
	var buf []byte
	for range 100_000 {
		now = now.Add(100 * time.Millisecond)
		s := m.trade(now)
		buf = s.appendTick(buf[:0], now)
		var got tick
		if err := json.Unmarshal(buf, &got); err != nil || !cents.Match(buf) {
			t.Fatalf("%s: %v", buf, err)
		}
		if got.Bid <= 0 || got.Ask <= got.Bid || got.Ask > 1.2*got.Bid+0.5 || got.Last != got.Bid && got.Last != got.Ask ||
			got.Vol <= volumes[s.topic] || got.T != now.UnixMilli() || got.Last < got.Open/5 || got.Last > got.Open*5 {
			t.Fatalf("%s: %s, volume %d before", s.topic, buf, volumes[s.topic])
		}
		volumes[s.topic] = got.Vol
		counts[s.topic]++
	}
	first, last := counts["ticks."+symbolName(0)], counts["ticks."+symbolName(29)]
	if first < 15*last || first > 60*last || len(counts) != 30 {
		t.Errorf("the first of %d symbols has %d trades, and the last %d", len(counts), first, last)
	}
}

// Large moves follow on large moves: their sizes are correlated, as those of a plain
// random walk are not.
func TestMarketClusters(t *testing.T) {
	m := newMarket(1, 3)
	m.symbols[0].open, m.symbols[0].price = 100_000_00, 100_000_00 // so that a cent is little
	now := time.UnixMilli(0)
	var moves []float64
	before := m.symbols[0].price
	for range 20_000 {
		now = now.Add(time.Second)
		s := m.trade(now)
		moves = append(moves, math.Abs(math.Log(s.price/before)))
		before = s.price
	}
	if r := correlation(moves[1:], moves[:len(moves)-1]); r < 0.1 {
		t.Errorf("the correlation of moves is %.3f", r)
	}
}

func correlation(a, b []float64) float64 {
	mean := func(v []float64) (sum float64) {
		for _, x := range v {
			sum += x / float64(len(v))
		}
		return sum
	}
	ma, mb := mean(a), mean(b)
	var ab, aa, bb float64
	for i := range a {
		ab += (a[i] - ma) * (b[i] - mb)
		aa += (a[i] - ma) * (a[i] - ma)
		bb += (b[i] - mb) * (b[i] - mb)
	}
	return ab / math.Sqrt(aa*bb)
}

// The rate is met on average, whatever the pace of the turns, and a long sleep is not
// made up for.
func TestTickerRate(t *testing.T) {
	for rate, lasting := range map[int]time.Duration{1: time.Hour, 50: 20 * time.Minute, 2000: 2 * time.Minute} {
		n := 0
		tk := newTicker(demo{symbols: 10, rate: rate}, 5, func(string, string, []byte) (pubsub.Position, error) {
			n++
			return pubsub.Position{}, nil
		})
		now := time.UnixMilli(0)
		for passed := time.Duration(0); passed < lasting; {
			step := tickPause * time.Duration(1+int(passed/tickPause)%3)
			passed += step
			now = now.Add(step)
			tk.turn(now, step)
		}
		if want := float64(rate) * lasting.Seconds(); math.Abs(float64(n)-want) > 0.1*want {
			t.Errorf("%d ticks at a rate of %d, want %.0f", n, rate, want)
		}
		n = 0
		tk.turn(now, time.Hour)
		if most := float64(rate)*maxMissed.Seconds()*burst + 1; float64(n) > most {
			t.Errorf("%d ticks after a long sleep at a rate of %d, want %.0f at most", n, rate, most)
		}
	}
}

// What the hub is too busy for is left out.
func TestTickerSkips(t *testing.T) {
	calls, busy := 0, true
	tk := newTicker(demo{symbols: 10, rate: 1000}, 5, func(string, string, []byte) (pubsub.Position, error) {
		calls++
		if busy {
			return pubsub.Position{}, pubsub.ErrBusy
		}
		return pubsub.Position{}, nil
	})
	now := time.UnixMilli(0)
	tk.open(now)
	if calls != 1 {
		t.Errorf("%d calls at the opening of a busy hub, want 1", calls)
	}
	tk.turn(now, 50*time.Millisecond)
	if calls != 2 || tk.due != 0 {
		t.Errorf("%d calls, and %v due, want 2 and nothing", calls, tk.due)
	}
	busy, calls = false, 0
	tk.open(now)
	if calls != 10 {
		t.Errorf("the opening has %d symbols, want 10", calls)
	}
}

func TestTickerAllocatesNothing(t *testing.T) {
	tk := newTicker(demo{symbols: 50, rate: 1000}, 5, func(string, string, []byte) (pubsub.Position, error) {
		return pubsub.Position{}, nil
	})
	now := time.UnixMilli(1_700_000_000_000)
	tk.open(now)
	if n := testing.AllocsPerRun(100, func() { tk.turn(now, 5*time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations in a turn", n)
	}
}

func TestDemoSetting(t *testing.T) {
	for s, want := range map[string]demo{
		"": {}, "symbols=50,rate=2000": {50, 2000}, "rate=1,symbols=1": {1, 1}, "symbols=1000, rate=1000000": {1000, 1_000_000},
		"symbols=7": {7, 2000}, "rate=7": {50, 7},
	} {
		d := demo{9, 9}
		if err := (ticks{&d}).set(s); err != nil || d != want {
			t.Errorf("%q gives %+v, %v; want %+v", s, d, err, want)
		}
		printed := ticks{&d}.strings()[0]
		back := demo{}
		if err := (ticks{&back}).set(printed); err != nil || back != d {
			t.Errorf("%q is printed as %q, which gives %+v, %v", s, printed, back, err)
		}
	}
	for _, s := range []string{
		"on", "symbols=0", "symbols=1001", "rate=0", "rate=1000001", "rate=-1", "rate=1.5", "symbols", "=1",
		"symbols=1,symbols=2", "symbols=1,", ",", "seed=1", "symbols=1;rate=1",
	} {
		d := demo{9, 9}
		if err := (ticks{&d}).set(s); err == nil || d != (demo{9, 9}) {
			t.Errorf("%q gives %+v, %v", s, d, err)
		}
	}
}

// With the setting, ticks flow over the feed, without a gap behind the snapshot.
func TestDemoTicksFlow(t *testing.T) {
	const symbols = 3
	addr, _ := startFeed(t, func(o *options) { o.feed.demo = demo{symbols: symbols, rate: 2000} })
	c := dial(t, addr, "/feed")
	c.say(`{"type":"subscribe","topic":"ticks.*"}`)
	c.hear(`{"type":"subscribed","topic":"ticks.*","mode":"queue"}`)
	seq := make(map[string]uint64)   // of each topic, the last one
	until := make(map[string]uint64) // while its snapshot comes, what that holds
	for updates := 0; updates < 1000; {
		m := c.read()
		switch m.Type {
		case "snapshot":
			until[m.Topic] = m.Seq
		case "snapshot-end":
			delete(until, m.Topic)
			seq[m.Topic] = m.Seq
		case "update":
			updates++
			wantTick(t, &m)
			if holds, ok := until[m.Topic]; ok && m.Seq > holds || !ok && m.Seq != seq[m.Topic]+1 {
				t.Fatalf("%s: %d after %d; the snapshot holds %d", m.Topic, m.Seq, seq[m.Topic], holds)
			}
			seq[m.Topic] = max(m.Seq, seq[m.Topic])
		}
	}
	if len(seq) != symbols {
		t.Errorf("%d symbols came", len(seq))
	}
}

func wantTick(t *testing.T, m *message) {
	t.Helper()
	var got tick
	strict := json.NewDecoder(bytes.NewReader(m.Data))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&got); err != nil || got.Open == 0 || got.Ask <= got.Bid || m.Key != "" || !strings.HasPrefix(m.Topic, "ticks.") {
		t.Fatalf("%+v: %v", m, err)
	}
}
