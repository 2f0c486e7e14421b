package pubsub

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/engine"
)

// Mode says what becomes of messages while a subscriber's socket takes no more.
type Mode uint8

const (
	// Queue delivers every message. They wait in the connection's queue, within
	// Endpoint.MaxQueue; what becomes of one that doesn't fit is the endpoint's policy.
	// While the snapshot of a topic is sent, as much again may wait of what comes of it;
	// beyond that the snapshot begins again, twice, and then the connection is closed
	// with 1013.
	Queue Mode = iota
	// Latest keeps only the newest message of each topic and key while the socket takes
	// no more, or between two deliveries with Options.MaxRate. Update.Skipped says how
	// many older ones it stands for.
	Latest
	// Deadline drops messages that have waited longer than Options.MaxAge.
	Deadline
)

// String gives the mode's name in small letters.
func (m Mode) String() string {
	switch m {
	case Queue:
		return "queue"
	case Latest:
		return "latest"
	case Deadline:
		return "deadline"
	default:
		return fmt.Sprintf("mode %d", m)
	}
}

// Options are those of a subscription. The zero value is Queue, after a snapshot.
type Options struct {
	Mode Mode

	// MaxRate, with Latest, is how many deliveries a second there are at most; each
	// brings the newest message of every key that has changed. Zero means no limit.
	MaxRate float64

	// MaxAge, with Deadline, is how long after Publish a message is still worth
	// sending.
	MaxAge time.Duration

	// Since is, for at most 1000 topics, the position that a subscriber has who comes back. It gets
	// what it has missed (with Latest the newest of each key), or a snapshot that says
	// that this is no longer known.
	Since map[string]Position

	// NoSnapshot leaves out the values that topics have at the beginning. A mark
	// (Recovered, with a Count of 0) says where each one is of which Since says nothing,
	// up to 1000 of them, so that the subscriber can come back.
	NoSnapshot bool
}

// maxPositions is how many positions Options.Since may have.
const maxPositions = 1000

// maxRate is the highest Options.MaxRate: a millisecond between two deliveries.
const maxRate = 1000

func (o *Options) check() error {
	switch {
	case o.Mode > Deadline:
		return fmt.Errorf("%w: there is no %v", ErrBadOptions, o.Mode)
	case o.MaxRate != 0 && o.Mode != Latest:
		return fmt.Errorf("%w: MaxRate goes with Latest", ErrBadOptions)
	case !(o.MaxRate >= 0 && o.MaxRate <= maxRate): // not NaN either
		return fmt.Errorf("%w: MaxRate is 0 to %d", ErrBadOptions, maxRate)
	case len(o.Since) > maxPositions:
		return fmt.Errorf("%w: Since has at most %d positions", ErrBadOptions, maxPositions)
	case (o.MaxAge > 0) != (o.Mode == Deadline) || o.MaxAge < 0:
		return fmt.Errorf("%w: Deadline needs a MaxAge, which goes with nothing else", ErrBadOptions)
	}
	return nil
}

// maxInterval stands for longer ones: added to the hub's clock it has to fit its type.
const maxInterval = 100 * 365 * 24 * time.Hour

// interval is the time between two deliveries, 0 for none.
func (o *Options) interval() time.Duration {
	if o.MaxRate == 0 {
		return 0
	}
	return time.Duration(min(float64(maxInterval), float64(time.Second)/o.MaxRate))
}

// subscriber is a connection with subscriptions. It is the connection's companion.
type subscriber struct {
	// immutable
	conn  *engine.Conn
	shard *shard

	// guarded by shard.mu
	all []*subscription // as Subscribe and Unsubscribe have left them

	// loop-only
	live        []*subscription // those that get messages, in the order in which they came
	beginning   *subscription   // whose snapshot is under way
	attached    bool
	ended       bool
	overlapping bool // two of live match the same topics
}

// subscription is one pattern of one connection.
type subscription struct {
	// immutable
	owner    *subscriber
	pattern  string
	options  Options
	interval time.Duration

	// any goroutine
	struck  atomic.Bool // by Unsubscribe: nothing more is delivered
	counted atomic.Bool // among the hub's interests

	// loop-only
	group   *group
	at      int    // index in group.subs
	batch   uint32 // the last batch that it has got its messages of
	live    bool
	listed  bool // stands in shard.active
	from    Position
	ended   bool // before it began
	follows bool // has taken the place of another one with the same pattern
	fence   *fence
	waiting waiting       // messages that the socket doesn't take, or that come too soon
	due     time.Duration // with interval: not before, by the hub's clock
	timed   bool          // stands in shard.timed
	timedAt int           // its index there
	midway  bool          // some of what waits has been sent, and more fits the same delivery
}

// Subscribe has the connection get the messages of all topics that pattern matches,
// first a snapshot of what they hold. It ends with the connection. A second one with
// the same pattern takes the place of the first. A topic that several patterns of a
// connection match is delivered once, by the subscription that came first, in its mode:
// so a Queue beside an older Latest gets what that one gets. What is on its way when one
// begins or ends beside another is not lost; what the one that ends has kept, in Latest or
// Deadline, is part of a snapshot for the others, with NoLastValues a mark that it is lost.
//
// When it returns nil, every message that is published from then on comes, or is part
// of the snapshot. The first arrives when the callback that called it has returned, so
// an answer that it queues goes before. An error is ErrBadPattern, ErrBadOptions,
// ErrTooManySubscriptions, ErrHubClosed, engine.ErrClosed, or what
// Config.AllowSubscribe has returned. It does not retain o.Since.
func (h *Hub) Subscribe(c *engine.Conn, pattern string, o Options) error {
	if err := errors.Join(checkPattern(pattern), o.check()); err != nil {
		return err
	}
	if h.cfg.AllowSubscribe != nil {
		if err := h.cfg.AllowSubscribe(c, pattern); err != nil {
			return err
		}
	}
	o.Since = positionsFor(pattern, o.Since)
	for {
		switch {
		case h.closed.Load():
			return ErrHubClosed
		case !c.IsOpen():
			return engine.ErrClosed
		}
		sub := &subscription{pattern: strings.Clone(pattern), options: o, interval: o.interval()}
		old, err := h.shardOf(c).enlist(c, sub)
		if err == errGone { //nolint:errorlint // it comes from there
			continue
		}
		if err == nil {
			h.addInterest(sub)
			h.begin(sub, old)
		}
		return err
	}
}

// positionsFor copies those that a pattern matches.
func positionsFor(pattern string, since map[string]Position) map[string]Position {
	if len(since) == 0 {
		return nil
	}
	kept := make(map[string]Position)
	for name, p := range since {
		if checkTopic(name) == nil && matches(pattern, name) {
			kept[strings.Clone(name)] = p
		}
	}
	return kept
}

// errGone says that a shard's last subscriber has left while it was looked up.
var errGone = errors.New("pubsub: shard is gone")

// enlist notes a subscription, and gives the one that it replaces.
func (s *shard) enlist(c *engine.Conn, sub *subscription) (old *subscription, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return nil, errGone
	}
	owner := s.subscribers[c]
	if owner == nil {
		owner = &subscriber{conn: c, shard: s}
		s.subscribers[c] = owner
	}
	sub.owner = owner
	if at := owner.find(sub.pattern); at >= 0 {
		old = owner.all[at]
		owner.all[at] = sub
		return old, nil
	}
	if most := s.hub.cfg.MaxSubscriptions; len(owner.all) >= most {
		return nil, fmt.Errorf("%w: %d", ErrTooManySubscriptions, most)
	}
	owner.all = append(owner.all, sub)
	return nil, nil
}

// find gives the index in all of the subscription with a pattern, or -1.
func (o *subscriber) find(pattern string) int {
	return slices.IndexFunc(o.all, func(s *subscription) bool { return s.pattern == pattern })
}

// begin has the loop add a subscription. Behind it in the shard's queue stands every
// message whose position is after sub.from, because messages get there under the
// locks held here.
func (h *Hub) begin(sub, old *subscription) {
	h.topicsMu.RLock()
	defer h.topicsMu.RUnlock()
	if t := h.byName[sub.pattern]; t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		sub.from = t.pos
	}
	sub.owner.shard.ask(order{kind: orderAdd, sub: sub, old: old})
}

// Unsubscribe ends a subscription. Called on the connection's loop, nothing more comes of
// it; called elsewhere, what is being delivered at that moment still may. It returns
// ErrNotSubscribed when there is none.
func (h *Hub) Unsubscribe(c *engine.Conn, pattern string) error {
	s, ok := h.shards.Load(c.Loop())
	if !ok {
		return ErrNotSubscribed
	}
	sub := s.(*shard).strike(c, pattern)
	if sub == nil {
		return ErrNotSubscribed
	}
	sub.owner.shard.ask(order{kind: orderRemove, sub: sub})
	return nil
}

// strike takes a subscription out of the list, and gives it.
func (s *shard) strike(c *engine.Conn, pattern string) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	owner := s.subscribers[c]
	if owner == nil {
		return nil
	}
	at := owner.find(pattern)
	if at < 0 {
		return nil
	}
	sub := owner.all[at]
	sub.struck.Store(true)
	owner.all = slices.Delete(owner.all, at, at+1)
	return sub
}
