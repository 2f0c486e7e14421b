package pubsub

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/engine"
)

// Hub carries topics to the connections that subscribe to them. All its methods are
// safe from any goroutine.
//
// Locks are taken in this order: watchMu, topicsMu, topic.mu, interestMu, shard.mu.
type Hub struct {
	// immutable
	cfg     Config
	broker  Broker
	born    time.Time
	scratch sync.Pool // of *[]byte, for encoding

	closed atomic.Bool
	stats  counters
	shards sync.Map // *engine.Loop to *shard

	topicsMu sync.RWMutex
	byName   map[string]*topic
	tree     topicTree[*topic]
	topicsAt atomic.Uint64 // changes with byName; how many were made and forgotten
	searched time.Duration // when all topics were last looked through for old ones

	watchMu    sync.Mutex // the broker hears of first and last subscriptions in order
	interestMu sync.RWMutex
	interests  trie[*interest]
	interestAt atomic.Uint64 // changes with interests
}

// New makes a hub.
func New(cfg Config) (*Hub, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &Hub{cfg: cfg, broker: cfg.Broker, born: time.Now(), byName: make(map[string]*topic)}
	h.scratch.New = func() any { return new([]byte) }
	if h.broker == nil {
		h.broker = new(local)
	}
	if err := h.broker.Start((*sink)(h)); err != nil {
		return nil, fmt.Errorf("pubsub: the broker does not start: %w", err)
	}
	return h, nil
}

// Close ends the hub: nothing more is delivered, and its methods return ErrHubClosed.
// Connections stay open.
func (h *Hub) Close() error {
	h.watchMu.Lock() // the broker hears nothing more after its end
	defer h.watchMu.Unlock()
	if h.closed.Swap(true) {
		return ErrHubClosed
	}
	err := h.broker.Close()
	h.eachShard(func(s *shard) { s.ask(order{kind: orderEnd}) })
	return err
}

// Publish sends a message to all who subscribe to topic, and gives it its place. key
// may be "", and is UTF-8 like the topic. So is what the Encoder makes of it, if that is
// text: of Payloads the payload itself. It does not retain payload. It takes as long as
// Config.Broker does, so behind one that asks another machine it is not for a callback on a
// loop: see engine.Endpoint.Workers.
//
// An error says that nothing was published: ErrBadTopic, ErrBadKey, ErrBadPayload,
// ErrEncoder, ErrTooLong, ErrTooManyTopics, ErrTooManyKeys, ErrBusy, ErrHubClosed, or one of
// the broker.
func (h *Hub) Publish(topic, key string, payload []byte) (Position, error) {
	return h.publish(Publication{Topic: topic, Key: key, Payload: payload})
}

// maxKey is the longest key, in bytes.
const maxKey = 1024

// PublishAll publishes messages that belong together, in order: each loop is called when
// all have their places, so that a subscriber gets them in one write, or in a few where
// they are many. Where Config.Broker stands behind the hub loops are called as it delivers.
// Positions are not looked at. It does not retain payloads.
//
// It stops at the first message that Publish refuses, and says how many were published.
func (h *Hub) PublishAll(messages []Publication) (published int, err error) {
	if _, quick := h.broker.(*local); quick { // what waits for another one must not hold up what others publish
		defer h.hold()()
	}
	for i := range messages {
		m := &messages[i]
		if _, err := h.publish(Publication{Topic: m.Topic, Key: m.Key, Payload: m.Payload, Deleted: m.Deleted}); err != nil {
			return i, err
		}
	}
	return len(messages), nil
}

// hold has messages call no loop, as long as they are few, until release does.
func (h *Hub) hold() (release func()) {
	var held []*shard
	h.eachShard(func(s *shard) {
		s.held.Add(1)
		held = append(held, s)
	})
	return func() {
		for _, s := range held {
			s.held.Add(-1)
			s.wake()
		}
	}
}

// PublishFrom is Publish on behalf of a connection: Config.AllowPublish is asked first.
func (h *Hub) PublishFrom(c *engine.Conn, topic, key string, payload []byte) (Position, error) {
	if h.cfg.AllowPublish != nil {
		if err := h.cfg.AllowPublish(c, topic); err != nil {
			return Position{}, err
		}
	}
	return h.Publish(topic, key, payload)
}

// Delete takes the value of a key away: subscribers get a message that says so, and new
// ones no value. Where there is no value it does nothing, and gives the position that the
// topic has, zero for none.
func (h *Hub) Delete(topic, key string) (Position, error) {
	return h.publish(Publication{Topic: topic, Key: key, Deleted: true})
}

func (h *Hub) publish(p Publication) (Position, error) {
	if h.closed.Load() {
		return Position{}, ErrHubClosed
	}
	if err := h.check(&p); err != nil {
		return Position{}, err
	}
	return h.broker.Publish(p)
}

// check says what is wrong with a message, whoever brings it.
func (h *Hub) check(p *Publication) error {
	switch {
	case len(p.Key) > maxKey:
		return fmt.Errorf("%w: a key has at most %d bytes", ErrTooLong, maxKey)
	case !utf8.ValidString(p.Key):
		return ErrBadKey
	case len(p.Payload) > h.cfg.MaxPayload:
		return fmt.Errorf("%w: %d bytes, and at most %d may be", ErrTooLong, len(p.Payload), h.cfg.MaxPayload)
	}
	return nil
}

// Subscribers is how many subscriptions match a topic.
func (h *Hub) Subscribers(topic string) int {
	if checkTopic(topic) != nil {
		return 0
	}
	n := 0
	h.interestMu.RLock()
	defer h.interestMu.RUnlock()
	h.interests.match(topic, func(i *interest) { n += i.count })
	return n
}

// HasTopic reports whether there is a topic with messages that pattern matches, remembered
// as Config.Retain says.
func (h *Hub) HasTopic(pattern string) (found bool) {
	if checkPattern(pattern) != nil {
		return false
	}
	h.topicsMu.RLock()
	defer h.topicsMu.RUnlock()
	h.tree.match(pattern, func(t *topic) bool {
		found = t.position().Epoch != 0
		return !found
	})
	return found
}

func (h *Hub) now() time.Duration { return time.Since(h.born) }

// topic gives a topic, nil when there is none.
func (h *Hub) topic(name string) *topic {
	h.topicsMu.RLock()
	defer h.topicsMu.RUnlock()
	return h.byName[name]
}

// makeTopic gives a topic, made if there is none.
func (h *Hub) makeTopic(name string) (*topic, error) {
	if t := h.topic(name); t != nil {
		return t, nil
	}
	if err := checkTopic(name); err != nil {
		return nil, err
	}
	h.topicsMu.Lock()
	defer h.topicsMu.Unlock()
	if t := h.byName[name]; t != nil {
		return t, nil
	}
	h.forgetSome()
	if len(h.byName) >= h.cfg.MaxTopics {
		return nil, fmt.Errorf("%w: %d", ErrTooManyTopics, h.cfg.MaxTopics)
	}
	name = strings.Clone(name) // it may be a part of something large
	t := &topic{name: name, born: h.topicsAt.Add(1), used: h.now()}
	h.byName[name] = t
	h.tree.set(name, t)
	return t, nil
}

// forgetSome looks at a few topics, and at all when there are as many as may be, and
// forgets those that nobody has used for long. A few for each new one are enough to
// keep pace. The caller holds topicsMu.
func (h *Hub) forgetSome() {
	now, few := h.now(), 4
	if len(h.byName) >= h.cfg.MaxTopics && now-h.searched > time.Second {
		h.searched = now
		few = len(h.byName)
	}
	for name, t := range h.byName { // begins anywhere
		if few--; few < 0 {
			return
		}
		if t.forgetIfOld(h, now) {
			delete(h.byName, name)
			h.tree.remove(name)
			h.topicsAt.Add(1)
		}
	}
}

func (t *topic) forgetIfOld(h *Hub, now time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now-t.used > h.cfg.Retain && len(h.interestedIn(t)) == 0 {
		t.forgotten = true
	}
	return t.forgotten
}

// matching gives the topics that a pattern matches.
func (h *Hub) matching(pattern string) (topics []*topic) {
	h.topicsMu.RLock()
	defer h.topicsMu.RUnlock()
	h.tree.match(pattern, func(t *topic) bool {
		topics = append(topics, t)
		return true
	})
	return topics
}

// encode makes the event of a message. A panic of the Encoder is an error: it may be in a
// goroutine of the broker, who has nothing to do with it.
func (h *Hub) encode(t *topic, p *Publication) (e *event, err error) {
	defer func() {
		if r := recover(); r != nil {
			h.cfg.Logger.Error("panic in an encoder; its message is refused", "topic", t.name, "panic", r, "stack", string(debug.Stack()))
			e, err = nil, ErrEncoder
		}
	}()
	e = &event{
		topic: t, key: strings.Clone(p.Key), seq: p.Seq, epoch: p.Epoch, deleted: p.Deleted, at: h.now(),
		payload: p.Payload,
	}
	u := e.update(0)
	if e.message = h.message(func(dst []byte) []byte { return h.cfg.Encoder.AppendUpdate(dst, &u) }); e.message == nil {
		return nil, ErrBadPayload
	}
	e.payload = within(e.message.Payload(), p.Payload)
	return e, nil
}

// message makes a message of what an Encoder appends, nil of text that is not UTF-8.
func (h *Hub) message(encode func(dst []byte) []byte) (m *engine.Message) {
	buf := h.scratch.Get().(*[]byte)
	*buf = encode((*buf)[:0])
	if op := h.cfg.Encoder.Op(); op != engine.Text || utf8.Valid(*buf) {
		m = engine.NewMessage(op, *buf)
	}
	if cap(*buf) <= maxScratch {
		h.scratch.Put(buf)
	}
	return m
}

const maxScratch = 64 << 10

// within gives the part of an encoded message that is the payload, where it stands at
// the end or one byte before, as in JSON; a copy else.
func within(message, payload []byte) []byte {
	for end := len(message); end >= len(payload) && end >= len(message)-1; end-- {
		if part := message[end-len(payload) : end : end]; bytes.Equal(part, payload) {
			return part
		}
	}
	return bytes.Clone(payload)
}
