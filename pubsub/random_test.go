package pubsub

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

// truth is what was published, by topic and seq.
type truth struct {
	mu     sync.Mutex
	topics map[string]map[uint64]heard
	epochs map[string]uint64
	last   map[string]uint64
}

func (tr *truth) add(topic, key, payload string, deleted bool, p Position) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.topics[topic] == nil {
		tr.topics[topic] = make(map[uint64]heard)
	}
	kind := "update"
	if deleted {
		kind = "deleted"
	}
	tr.topics[topic][p.Seq] = heard{kind: kind, topic: topic, key: key, payload: payload, Position: p}
	tr.epochs[topic] = p.Epoch
	tr.last[topic] = max(tr.last[topic], p.Seq)
}

// judge follows what one subscription to one pattern hears, and says what is wrong
// with it.
type judge struct {
	truth   *truth
	pattern string
	latest  bool
	topics  map[string]*judged
	live    bool
	aside   bool // its connection has other subscriptions that overlap
}

// judged is what a subscriber knows of a topic.
type judged struct {
	pos     Position
	pending int // messages of a snapshot or recovery that have to come
	end     bool
	to      Position
	values  map[string]string
	missing uint64 // numbers that were passed over
	skipped uint64
	seen    int
}

func (j *judge) hear(h heard) error {
	if h.kind == "live" && h.pattern != j.pattern {
		return nil
	}
	if h.kind == "live" {
		for name, t := range j.topics {
			if t.pending > 0 || t.end {
				return fmt.Errorf("live in the middle of %s", name)
			}
		}
		j.live = true
		return nil
	}
	t := j.topics[h.topic]
	if t == nil {
		t = &judged{values: make(map[string]string)}
		j.topics[h.topic] = t
	}
	again := h.kind == "snapshot" && j.aside // because a subscription has ended or another one taken its place
	if (t.pending > 0 || t.end) && h.kind != "update" && h.kind != "deleted" && !(h.kind == "end" && t.pending == 0) && !again {
		return fmt.Errorf("%s in the middle of a snapshot", h.kind)
	}
	switch h.kind {
	case "snapshot":
		clear(t.values)
		t.pending, t.end, t.to = h.count, true, h.Position
		t.pos = Position{h.Epoch, 0}
	case "recovered":
		if h.Epoch != t.pos.Epoch {
			return fmt.Errorf("recovered in epoch %d, was in %d", h.Epoch, t.pos.Epoch)
		}
		t.pending, t.to = h.count, h.Position
		if h.count == 0 {
			t.pos = t.to
		}
	case "end":
		t.end = false
		t.pos = t.to
		return j.compare(h.topic, t, t.pos.Seq)
	default:
		return j.update(t, h)
	}
	return nil
}

func (j *judge) update(t *judged, h heard) error {
	j.truth.mu.Lock()
	was, known := j.truth.topics[h.topic][h.Seq]
	j.truth.mu.Unlock()
	// Publish may not have returned yet.
	if known && (was.key != h.key || was.payload != h.payload || was.kind != h.kind) {
		return fmt.Errorf("message %d was %v", h.Seq, was)
	}
	if h.Seq <= t.pos.Seq {
		return fmt.Errorf("message %d comes after %d", h.Seq, t.pos.Seq)
	}
	inSnapshot := t.pending > 0
	if !inSnapshot && t.pos.Epoch != 0 && h.Epoch != t.pos.Epoch {
		return fmt.Errorf("epoch %d after %d", h.Epoch, t.pos.Epoch)
	}
	if !inSnapshot && h.Seq != t.pos.Seq+1 {
		if !j.latest {
			return fmt.Errorf("a gap: message %d comes after %d", h.Seq, t.pos.Seq)
		}
		t.missing += h.Seq - t.pos.Seq - 1
	}
	t.skipped += uint64(h.skipped)
	t.pos = h.Position
	if h.kind == "deleted" {
		delete(t.values, h.key)
	} else {
		t.values[h.key] = h.payload
	}
	if inSnapshot {
		if t.pending--; t.pending == 0 && !t.end { // of a recovery
			if t.pos.Seq != t.to.Seq && !j.latest {
				return fmt.Errorf("a recovery up to %d ends with %d", t.to.Seq, t.pos.Seq)
			}
			t.pos = t.to
		}
	}
	t.seen++
	return nil
}

// compare says whether a subscriber's values are those that a topic had at a number.
func (j *judge) compare(name string, t *judged, at uint64) error {
	j.truth.mu.Lock()
	defer j.truth.mu.Unlock()
	want := make(map[string]string)
	for seq := uint64(1); seq <= at; seq++ {
		h, ok := j.truth.topics[name][seq]
		switch {
		case !ok:
			return nil // that Publish has not returned yet
		case h.kind == "deleted":
			delete(want, h.key)
		default:
			want[h.key] = h.payload
		}
	}
	if len(want) != len(t.values) {
		return fmt.Errorf("%d values at %d, want %d", len(t.values), at, len(want))
	}
	for k, v := range want {
		if t.values[k] != v {
			return fmt.Errorf("key %s is %q at %d, want %q", k, t.values[k], at, v)
		}
	}
	return nil
}

// Many publish, many subscribe and leave, are cut and come back, are slow for a while.
// Whatever comes between: each sees a snapshot and then every message, or with Latest
// the newest of each key, without a gap or a repetition, and in the end all know the
// same.
func TestRandomLives(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 2
	}
	for seed := range rounds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { randomLives(t, uint64(seed)) })
	}
}

// burstMessages is how many messages each publisher sends fast.
const burstMessages = 1500

// long makes some messages so long that a subscriber's socket is soon full.
var long = strings.Repeat("long", 2<<10)

func randomLives(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	s := newStage(t, Config{History: 1 + rng.IntN(300)}, engine.Endpoint{MaxQueue: 256 << 20, MaxUnsent: 4096}, 1+rng.IntN(2))

	tr := &truth{topics: map[string]map[uint64]heard{}, epochs: map[string]uint64{}, last: map[string]uint64{}}
	topics := []string{"a.x", "a.y", "b.x", "b.y.z"}
	patterns := []string{"a.x", "a.*", "*.x", "b.>", ">", "b.y.z"}
	var publishing, listening sync.WaitGroup
	stop := make(chan struct{})
	for p := range 3 {
		publishing.Add(1)
		go func() {
			defer publishing.Done()
			rng := rand.New(rand.NewPCG(seed, uint64(100+p)))
			has := make(map[string]bool)
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				topic, key := topics[rng.IntN(len(topics))], fmt.Sprint("k", rng.IntN(4))
				if rng.IntN(5) == 0 {
					key = fmt.Sprint("own", p) // nobody else deletes it
				}
				if own := topic + key; key[0] == 'o' && has[own] && rng.IntN(2) == 0 {
					has[own] = false
					if pos, err := s.hub.Delete(topic, key); err != nil {
						t.Error(err)
					} else {
						tr.add(topic, key, "", true, pos)
					}
				} else {
					has[own] = true
					payload := fmt.Sprintf("%d.%d.%s", p, n, long[:rng.IntN(len(long))*rng.IntN(2)])
					if pos, err := s.hub.Publish(topic, key, []byte(payload)); err != nil {
						t.Error(err)
					} else {
						tr.add(topic, key, abridged(payload), false, pos)
					}
				}
				switch { // everyone has to keep up, however long the round takes
				case n > burstMessages:
					time.Sleep(3 * time.Millisecond)
				case rng.IntN(20) == 0:
					time.Sleep(time.Duration(rng.IntN(2000)) * time.Microsecond)
				}
			}
		}()
	}
	c := &cast{stage: s, topics: topics, truth: tr, ending: make(chan struct{}), ended: make(chan struct{})}
	for i := range 12 {
		listening.Add(1)
		c.subscribed.Add(1)
		go func() {
			defer listening.Done()
			c.randomLife(t, rand.New(rand.NewPCG(seed, uint64(200+i))), patterns)
		}()
	}
	time.Sleep(200 * time.Millisecond)
	close(c.ending)
	c.subscribed.Wait() // for the last time
	time.Sleep(20 * time.Millisecond)
	close(stop)
	publishing.Wait()
	close(c.ended)
	listening.Wait()
	t.Logf("%d lives, %d messages", c.lives.Load(), s.hub.Stats().Published)
}

// cast is what the lives of a round have in common.
type cast struct {
	*stage
	topics     []string
	truth      *truth
	joining    sync.Mutex // which end is whose shows only if one dials at a time
	ending     chan struct{}
	subscribed sync.WaitGroup // whose last life has begun
	ended      chan struct{}  // nothing more is published
	lives      atomic.Int64
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// randomLife is one subscriber's: it comes and goes until the round ends, and then
// stays until it knows everything.
func (c *cast) randomLife(t *testing.T, rng *rand.Rand, patterns []string) {
	begun := sync.OnceFunc(c.subscribed.Done)
	defer begun()
	tr := c.truth
	pattern := patterns[rng.IntN(len(patterns))]
	o := Options{}
	if rng.IntN(3) == 0 {
		o.Mode = Latest
		if rng.IntN(2) == 0 {
			o.MaxRate = float64(50 + rng.IntN(500))
		}
	}
	j := &judge{truth: tr, pattern: pattern, latest: o.Mode == Latest, aside: rng.IntN(2) == 0, topics: map[string]*judged{}}
	for last := false; !last; {
		last = isClosed(c.ending)
		c.joining.Lock()
		l := c.join()
		c.lives.Add(1)
		c.joining.Unlock()
		if !last && rng.IntN(2) == 0 {
			l.dialed.PauseRead()
			time.AfterFunc(time.Duration(rng.IntN(30))*time.Millisecond, l.dialed.ResumeRead)
		}
		j.live = false
		for _, jt := range j.topics {
			jt.pending, jt.end = 0, false
		}
		if err := c.hub.Subscribe(l.conn, pattern, o); err != nil {
			t.Error(err)
		}
		stopAside := func() {}
		if j.aside {
			stopAside = c.aside(t, rand.New(rand.NewPCG(rng.Uint64(), 0)), l, pattern, o)
		}
		heardAll := func() bool { return true }
		if last {
			begun()
			heardAll = func() bool { return isClosed(c.ended) && j.knowsAll(pattern) }
		}
		until := time.Now().Add(time.Duration(rng.IntN(60)) * time.Millisecond)
		err := j.follow(l, func() bool { return j.live && time.Now().After(until) && heardAll() })
		stopAside()
		if err != nil {
			t.Errorf("%s %v %+v: %v", pattern, o.Mode, o.MaxRate, err)
			return
		}
		switch rng.IntN(3) {
		case 0:
			_ = c.hub.Unsubscribe(l.conn, pattern)
			fallthrough
		case 1:
			_ = l.dialed.Close(engine.CloseNormal, "")
		default:
			_ = l.conn.Close(engine.CloseGoingAway, "")
		}
		if o.Since = nil; rng.IntN(3) > 0 {
			o.Since = make(map[string]Position)
			for name, jt := range j.topics {
				o.Since[name] = jt.pos
			}
		}
	}
	if !j.latest {
		return
	}
	for name, jt := range j.topics {
		if jt.missing < jt.skipped {
			t.Errorf("%s: %d messages were skipped, %d numbers are missing", name, jt.skipped, jt.missing)
		}
	}
}

// aside has subscriptions beside one come and go, that match some of the same topics and
// begin with nothing, and has it begin anew with nothing: of all that nothing may be heard but
// where the topics are.
func (c *cast) aside(t *testing.T, rng *rand.Rand, l *listener, pattern string, o Options) (stop func()) {
	o.Since, o.NoSnapshot = nil, true
	others := slices.DeleteFunc(slices.Clone(c.topics), func(name string) bool { return !matches(pattern, name) })
	others = append(others, pattern)
	stopping, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for !isClosed(stopping) {
			other := others[rng.IntN(len(others))]
			if rng.IntN(2) == 0 && other != pattern {
				_ = c.hub.Unsubscribe(l.conn, other)
			} else if err := c.hub.Subscribe(l.conn, other, o); err != nil && !errors.Is(err, engine.ErrClosed) {
				t.Error(err)
			}
			time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
		}
	}()
	return func() { close(stopping); <-stopped }
}

// follow hears what comes until that is enough.
func (j *judge) follow(l *listener, enough func() bool) error {
	deadline := time.Now().Add(patience)
	for next := 0; ; {
		l.mu.Lock()
		fresh, change := l.heard[next:], l.change
		l.mu.Unlock()
		for i, h := range fresh {
			if err := j.hear(h); err != nil {
				return fmt.Errorf("%w\nat %+v\nof %s", err, h, short(l.heard[max(0, next+i-20):next+i+1]))
			}
		}
		next += len(fresh)
		if enough() {
			return nil
		}
		select {
		case <-change:
		case <-time.After(5 * time.Millisecond):
			if time.Now().After(deadline) {
				return fmt.Errorf("waited too long; live %t, topics %v", j.live, j.positions())
			}
		}
	}
}

func (j *judge) positions() string {
	j.truth.mu.Lock()
	defer j.truth.mu.Unlock()
	words := ""
	for name, t := range j.topics {
		words += fmt.Sprintf("%s@%d (of %d) ", name, t.pos.Seq, j.truth.last[name])
	}
	return words
}

// knowsAll says whether the subscriber is where the topics are, and knows their values. With
// Latest it may be short of where they are: of a key that was made and deleted while it
// waited it hears nothing, and so nothing of those numbers if they are the last.
func (j *judge) knowsAll(pattern string) bool {
	j.truth.mu.Lock()
	last := make(map[string]uint64)
	for name, seq := range j.truth.last {
		if matches(pattern, name) {
			last[name] = seq
		}
	}
	j.truth.mu.Unlock()
	for name, seq := range last {
		if t := j.topics[name]; t == nil || t.pos.Seq != seq && !j.latest || j.compare(name, t, seq) != nil {
			return false
		}
	}
	return true
}
