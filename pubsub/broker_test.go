package pubsub

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

// remote is a broker between hubs, as a message system would be: it keeps the topics
// itself, answers later and on a goroutine of its own, and can go away.
type remote struct {
	mu      sync.Mutex
	away    bool
	pos     map[string]Position
	values  map[string]map[string]Publication
	members []*member
}

// member is the remote as one hub sees it.
type member struct {
	*remote
	sink     Sink
	watching map[string]bool
	inbox    chan func()
	done     chan struct{}
}

var errAway = errors.New("the broker is away")

func newRemote() *remote {
	return &remote{pos: map[string]Position{}, values: map[string]map[string]Publication{}}
}

func (r *remote) member() *member {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := &member{remote: r, watching: map[string]bool{}, inbox: make(chan func(), 1000), done: make(chan struct{})}
	r.members = append(r.members, m)
	return m
}

func (m *member) Start(sink Sink) error {
	m.sink = sink
	go func() {
		defer close(m.done)
		for f := range m.inbox {
			f()
		}
	}()
	return nil
}

func (m *member) Publish(p Publication) (Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return Position{}, errAway
	}
	pos := m.pos[p.Topic]
	if pos.Epoch == 0 {
		pos.Epoch = 77
	}
	pos.Seq++
	p.Position, p.Payload = pos, append([]byte(nil), p.Payload...)
	m.pos[p.Topic] = pos
	if m.values[p.Topic] == nil {
		m.values[p.Topic] = map[string]Publication{}
	}
	m.values[p.Topic][p.Key] = p
	for _, other := range m.members {
		for pattern := range other.watching {
			if Match(pattern, p.Topic) {
				other.inbox <- func() { _ = other.sink.Deliver(p) }
				break
			}
		}
	}
	return pos, nil
}

func (m *member) Watch(pattern string, ready func(error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		ready(errAway)
		return
	}
	m.watch(pattern)
	m.inbox <- func() { ready(nil) }
}

// watch has what is published from now on delivered, behind what there is. The caller
// holds mu.
func (m *member) watch(pattern string) {
	m.watching[pattern] = true
	for topic, pos := range m.pos {
		if Match(pattern, topic) {
			var values []Publication
			for _, p := range m.values[topic] {
				values = append(values, p)
			}
			m.inbox <- func() { _ = m.sink.Restore(topic, pos, values, nil) }
		}
	}
}

func (m *member) Unwatch(pattern string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.watching, pattern)
}

func (m *member) Close() error {
	close(m.inbox)
	<-m.done
	return nil
}

// back ends an absence: what came meanwhile from elsewhere is restored.
func (m *member) back(pattern string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = false
	m.watch(pattern)
	m.inbox <- func() { m.sink.Lost(pattern) }
}

func TestTwoHubsOfOneBroker(t *testing.T) {
	r := newRemote()
	a := newStage(t, Config{Broker: r.member()}, engine.Endpoint{}, 1)
	mb := r.member()
	b := newStage(t, Config{Broker: mb}, engine.Endpoint{}, 1)
	a.publish("t.x", "k", "1")
	a.publish("t.x", "k", "2")
	l := b.join()
	b.subscribe(l, "t.*", Options{})
	got := short(l.waitLive("t.*"))
	if want := "snapshot(t.x@2,1) t.x:k=2@2 end(t.x@2,1) live"; got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	l.forget()
	var publishing sync.WaitGroup
	for i, s := range []*stage{a, b} {
		publishing.Add(1)
		go func() {
			defer publishing.Done()
			for n := range 100 {
				s.publish("t.x", "k", fmt.Sprint(i, ".", n))
			}
		}()
	}
	publishing.Wait()
	for i, h := range l.waitCount(200) {
		if h.Seq != uint64(3+i) {
			t.Fatalf("message %d has number %d", i, h.Seq)
		}
	}
	l.forget()

	r.mu.Lock()
	r.away = true
	r.mu.Unlock()
	if _, err := b.hub.Publish("t.x", "k", nil); err != errAway {
		t.Errorf("a publish while the broker is away: %v", err)
	}
	late := b.join()
	b.subscribe(late, "t.x", Options{}) // gets what the hub has
	if all := late.waitLive("t.x"); all[0].Seq != 202 {
		t.Errorf("while the broker is away: %s", short(all))
	}
	late.forget()
	r.mu.Lock() // elsewhere it goes on
	r.pos["t.x"] = Position{77, 300}
	r.values["t.x"]["k"] = Publication{Topic: "t.x", Key: "k", Payload: []byte("missed"), Position: Position{77, 300}}
	r.mu.Unlock()
	mb.back("t.*")
	for _, x := range []*listener{l, late} {
		got := short(x.wait("a snapshot", func(all []heard) bool { return len(all) > 0 && all[len(all)-1].kind == "live" }))
		if want := "snapshot(t.x@300,1)! t.x:k=missed@300 end(t.x@300,1)! live"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// A broker that never gets ready does not keep subscribers for ever.
type silent struct{ local }

func (silent) Watch(string, func(error)) {}

func TestBrokerThatIsNeverReady(t *testing.T) {
	defer func(d time.Duration) { brokerPatience = d }(brokerPatience)
	brokerPatience = 50 * time.Millisecond
	s := newStage(t, Config{Broker: new(silent)}, engine.Endpoint{}, 1)
	s.publish("a", "", "1")
	l := s.join()
	s.subscribe(l, "a", Options{})
	if got := short(l.waitLive("a")); got != "snapshot(a@1,1) a:=1@1 end(a@1,1) live" {
		t.Error(got)
	}
}

func TestDeliverKeepsTheOrder(t *testing.T) {
	h, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	k := (*sink)(h)
	deliver := func(epoch, seq uint64) {
		if err := k.Deliver(Publication{Topic: "a", Payload: []byte("x"), Position: Position{epoch, seq}}); err != nil {
			t.Error(err)
		}
	}
	deliver(5, 10)
	deliver(5, 11)
	deliver(5, 11) // again
	deliver(5, 9)
	top := h.topic("a")
	if top.pos != (Position{5, 11}) || top.history.count != 2 {
		t.Errorf("at %v with %d messages", top.pos, top.history.count)
	}
	deliver(5, 20) // a gap: what was before cannot be recovered across it
	if _, ok := top.history.after(11); ok || top.history.count != 1 {
		t.Error("a history with a gap")
	}
	deliver(6, 1)
	if top.pos != (Position{6, 1}) || top.history.count != 1 || len(top.values) != 1 {
		t.Errorf("at %v", top.pos)
	}
	old := Position{5, 30}
	if err := k.Restore("a", old, nil, nil); err != nil {
		t.Error(err)
	}
}

// deliver hands a hub a message as its broker would.
func (s *stage) deliver(epoch, seq uint64, topic, key string) {
	s.t.Helper()
	p := Publication{Topic: topic, Key: key, Payload: fmt.Append(nil, epoch, ".", seq), Position: Position{epoch, seq}}
	if err := (*sink)(s.hub).Deliver(p); err != nil {
		s.t.Error(err)
	}
}

// What is restored further than subscribers have got reaches them as a snapshot, and
// what the broker delivers of it does not come again.
func TestRestoreUnderLiveSubscribers(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	s.deliver(5, 1, "a.b", "k")
	l := s.join()
	s.subscribe(l, "a.*", Options{})
	l.waitLive("a.*")
	l.forget()
	s.deliver(5, 2, "a.b", "k")
	l.waitCount(1)
	four := Publication{Topic: "a.b", Key: "k", Payload: []byte("5.4"), Position: Position{5, 4}}
	if err := (*sink)(s.hub).Restore("a.b", four.Position, []Publication{four}, nil); err != nil {
		t.Fatal(err)
	}
	l.waitLive("a.*")
	for seq := uint64(3); seq <= 5; seq++ { // 3 and 4 were under way
		s.deliver(5, seq, "a.b", "k")
	}
	got := short(l.waitCount(6))
	want := "a.b:k=5.2@2 snapshot(a.b@4,1)! a.b:k=5.4@4 end(a.b@4,1)! live a.b:k=5.5@5"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What is restored keeps to the hub's limits, and what is left out is said. A key that
// was deleted has no value.
func TestRestoreLeavesOutWhatPublishRefuses(t *testing.T) {
	s := newStage(t, Config{MaxKeys: 2, MaxPayload: 10}, engine.Endpoint{}, 1)
	at := func(seq uint64, key, payload string) Publication {
		return Publication{Topic: "a", Key: key, Payload: []byte(payload), Position: Position{5, seq}}
	}
	gone := at(2, "gone", "")
	gone.Deleted = true
	for i, c := range []struct {
		name string
		bad  Publication
		want error
	}{
		{"a payload too long", at(2, "b", "01234567890"), ErrTooLong},
		{"a key too long", at(2, strings.Repeat("k", maxKey+1), "2"), ErrTooLong},
		{"a key that is not UTF-8", at(2, "\xff", "2"), ErrBadKey},
		{"a payload that is not UTF-8", at(2, "b", "\xff"), ErrBadPayload},
		{"a deleted key", gone, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			topic := fmt.Sprint("t", i)
			values := []Publication{at(1, "a", "1"), c.bad, at(3, "c", "3")}
			if err := (*sink)(s.hub).Restore(topic, Position{5, 3}, values, nil); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if got, want := s.snapshotOf(topic), "a=1@1 c=3@3"; got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
	values := []Publication{at(1, "a", "1"), at(2, "b", "2"), at(3, "c", "3")}
	if err := (*sink)(s.hub).Restore("many", Position{5, 3}, values, nil); !errors.Is(err, ErrTooManyKeys) {
		t.Errorf("too many keys: %v", err)
	}
	if got, want := s.snapshotOf("many"), "a=1@1 b=2@2"; got != want {
		t.Errorf("of too many keys: %s, want %s", got, want)
	}
}

// snapshotOf gives the values of a topic's keys as a new subscriber gets them.
func (s *stage) snapshotOf(topic string) string {
	s.t.Helper()
	l := s.join()
	s.subscribe(l, topic, Options{})
	var values []string
	for _, h := range l.waitLive(topic) {
		if h.kind == "update" || h.kind == "deleted" {
			values = append(values, fmt.Sprintf("%s=%s@%d", h.key, h.payload, h.Seq))
		}
	}
	return strings.Join(values, " ")
}

// A history that a broker restores with a gap says nothing of what was before the gap.
func TestRestoredHistoryHasNoGap(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	for i, c := range []struct {
		seqs []uint64
		want string // of a subscriber that has 3
	}{
		{[]uint64{3, 4, 5}, "recovered(%s@5,2) %[1]s:=4@4 %[1]s:=5@5 live"},
		{[]uint64{1, 2, 4, 5}, "recovered(%s@5,2) %[1]s:=4@4 %[1]s:=5@5 live"},
		{[]uint64{1, 2, 3}, "snapshot(%s@5,0)! end(%[1]s@5,0)! live"},
		{[]uint64{3, 5}, "snapshot(%s@5,0)! end(%[1]s@5,0)! live"},
		{[]uint64{3, 4, 5, 6}, "snapshot(%s@5,0)! end(%[1]s@5,0)! live"},
	} {
		topic := fmt.Sprint("t", i)
		var last []Publication
		for _, seq := range c.seqs {
			last = append(last, Publication{Topic: topic, Payload: fmt.Append(nil, seq), Position: Position{5, seq}})
		}
		if err := (*sink)(s.hub).Restore(topic, Position{5, 5}, nil, last); err != nil {
			t.Fatal(err)
		}
		l := s.join()
		s.subscribe(l, topic, Options{Since: map[string]Position{topic: {5, 3}}})
		if got, want := short(l.waitLive(topic)), fmt.Sprintf(c.want, topic); got != want {
			t.Errorf("of %v:\ngot  %s\nwant %s", c.seqs, got, want)
		}
	}
}

// Across a gap nothing is said to be recovered: what is missing may have deleted a key.
func TestNothingIsRecoveredAcrossAGap(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	for _, seq := range []uint64{1, 2, 3, 10} {
		s.deliver(5, seq, "a", "k")
	}
	for _, c := range []struct {
		at   uint64
		want string
	}{
		{3, "snapshot(a@10,1)! a:k=5.10@10 end(a@10,1)! live"},
		{10, "recovered(a@10,0) live"},
	} {
		for _, mode := range []Mode{Queue, Latest} {
			l := s.join()
			s.subscribe(l, "a", Options{Mode: mode, Since: map[string]Position{"a": {5, c.at}}})
			if got := short(l.waitLive("a")); got != c.want {
				t.Errorf("%v, from %d:\ngot  %s\nwant %s", mode, c.at, got, c.want)
			}
		}
	}
}

// What is left of an old epoch does not come behind the snapshot of a new one.
func TestOldEpochAfterANewSnapshot(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{}, 1)
	s.deliver(5, 100, "a", "k")
	l := s.join()
	s.subscribe(l, "a", Options{})
	l.waitLive("a")
	l.forget()
	release := block(l.conn)
	s.deliver(5, 101, "a", "gone")
	s.deliver(6, 1, "a", "k")
	release()
	l.waitLive("a")
	s.deliver(6, 2, "a", "k")
	got := short(l.wait("the next one", func(all []heard) bool { return all[len(all)-1].payload == "6.2" }))
	if want := "snapshot(a@1,1)! a:k=6.1@1 end(a@1,1)! live a:k=6.2@2"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A snapshot that is through keeps messages away that it holds, until they are done.
// Lost begins another one, and they stay away.
func TestLostWhileOldMessagesAreDelivered(t *testing.T) {
	s := newStage(t, Config{}, engine.Endpoint{MaxQueue: 64 << 20}, 1)
	const others = deliveriesPerTurn + 44 // so that a batch takes more than a turn
	for range others {
		p := s.joinRaw()
		if err := s.hub.Subscribe(p.server, "a.*", Options{NoSnapshot: true}); err != nil {
			t.Fatal(err)
		}
	}
	l := s.join()
	eventually(t, "all are there", func() bool { return s.hub.Stats().Subscriptions == others })
	s.publish("a.x", "k", "0")
	const messages = 4 * batchEvents
	release := block(l.conn)
	for i := 1; i <= messages; i++ {
		s.publish("a.y", "k", fmt.Sprint(i))
	}
	s.subscribe(l, "a.*", Options{})
	asked := make(chan bool, 1)
	x := s.hub.shardOf(l.conn)
	l.conn.Loop().NewWork(func() (more bool) { // in each turn
		x.mu.Lock()
		live := x.subscribers[l.conn].live
		x.mu.Unlock()
		switch {
		case len(live) == 0 || live[0].fence.isWaiting():
			return true
		case live[0].fence == nil:
			asked <- false
		default:
			(*sink)(s.hub).Lost("a.x")
			asked <- true
		}
		return false
	}).Ask()
	release()
	if !<-asked {
		t.Fatal("the old messages were done before the snapshot was through")
	}
	s.delivered()
	s.publish("a.y", "k", "last")
	all := l.wait("the last and both snapshots", func(all []heard) bool {
		return len(all) > 0 && countKind(all, "snapshot", "a.x") == 2 && strings.Contains(short(all[len(all)-min(len(all), 9):]), "a.y:k=last")
	})
	for _, h := range all {
		if h.kind == "update" && h.topic == "a.y" && h.Seq < messages {
			t.Fatalf("%v comes behind the snapshot that holds it", h)
		}
	}
}

// ending is a broker that notes what it is asked after its end.
type ending struct {
	local
	mu     sync.Mutex
	closed bool
	before int
	after  []string
}

func (e *ending) note(what string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.before++; e.closed {
		e.after = append(e.after, what)
	}
}

func (e *ending) Watch(pattern string, ready func(error)) { e.note("Watch " + pattern); ready(nil) }
func (e *ending) Unwatch(pattern string)                  { e.note("Unwatch " + pattern) }

func (e *ending) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	return nil
}

func TestBrokerHearsNothingAfterItsEnd(t *testing.T) {
	e := new(ending)
	s := newStage(t, Config{Broker: e}, engine.Endpoint{}, 1)
	l := s.join()
	s.subscribe(l, "a", Options{})
	s.subscribe(l, "b", Options{})
	l.waitLive("b")
	if err := s.hub.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the subscriptions have ended", func() bool { return s.hub.Stats().Subscriptions == 0 })
	settle(l.conn)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.before != 2 || len(e.after) > 0 {
		t.Errorf("%d calls, after the end %v", e.before, e.after)
	}
}
