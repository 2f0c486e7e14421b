package pubsub

import (
	"errors"
	"fmt"
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
