package bench

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/engine"
)

// lane is where one loop records what it measures. The loop writes without a lock; who
// reads is handed the whole recorder, and the loop goes on with a new one.
type lane struct {
	loop *engine.Loop
	work *engine.Work
	rec  *recorder             // loop-only
	hand chan chan<- *recorder // who wants rec

	// any goroutine
	open  atomic.Int32          // connections that messages are sent on
	pulse atomic.Pointer[pulse] // nil: no message is due at a time
}

// newLane makes a lane of a loop. turn, if not nil, is what the loop does when it was
// asked with lane.work.Ask, as engine.NewWork says.
func newLane(l *engine.Loop, turn func() (more bool)) *lane {
	n := &lane{loop: l, rec: newRecorder(), hand: make(chan chan<- *recorder, 4)}
	n.work = l.NewWork(func() bool {
		n.handOver()
		return turn != nil && turn()
	})
	return n
}

// handOver gives the recorder to who waits for it. Loop-only.
func (n *lane) handOver() {
	for {
		select {
		case to := <-n.hand:
			to <- n.rec
			n.rec = newRecorder()
		default:
			return
		}
	}
}

// lanes keeps one L for each loop that has a connection. Safe from any goroutine.
type lanes[L interface{ of() *lane }] struct {
	mu     sync.Mutex
	byLoop map[*engine.Loop]L
	order  []L
	make   func(l *engine.Loop, number int) L
}

func newLanes[L interface{ of() *lane }](make func(l *engine.Loop, number int) L) *lanes[L] {
	return &lanes[L]{byLoop: map[*engine.Loop]L{}, make: make}
}

// on gives a loop's L, made with its first connection.
func (s *lanes[L]) on(l *engine.Loop) L {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.byLoop[l]
	if !ok {
		d = s.make(l, len(s.order))
		s.byLoop[l] = d
		s.order = append(s.order, d)
	}
	return d
}

// all gives what there is, in the order in which it was made.
func (s *lanes[L]) all() []L {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// wake has every loop look at what there is to do.
func (s *lanes[L]) wake() {
	for _, d := range s.all() {
		d.of().work.Ask()
	}
}

// take collects what all loops have measured since the last call. A loop that is far
// behind is left out; its figures come with the next.
func (s *lanes[L]) take() *recorder {
	all := s.all()
	answers := make(chan *recorder, len(all))
	asked := 0
	for _, d := range all {
		select {
		case d.of().hand <- answers:
			asked++
			d.of().work.Ask()
		default:
		}
	}
	sum := newRecorder()
	timeout := time.After(loopPatience)
	for range asked {
		select {
		case r := <-answers:
			sum.add(r)
		case <-timeout:
			return sum
		}
	}
	return sum
}

// rest collects what is left when the client is closed. Its Close may return while
// loops still cut those that did not answer; so it waits until none runs any more.
func (s *lanes[L]) rest() *recorder {
	s.awaitEnd()
	sum := newRecorder()
	for _, d := range s.all() {
		sum.add(d.of().rec)
	}
	return sum
}

// awaitEnd waits until no loop runs any more.
func (s *lanes[L]) awaitEnd() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var running sync.WaitGroup
	for l := range s.byLoop {
		running.Add(1)
		l.OnEnd(running.Done)
	}
	ended := make(chan struct{})
	go func() { running.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(loopPatience):
	}
}

const loopPatience = 5 * time.Second
