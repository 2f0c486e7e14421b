package bench

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// crowd is the connections of a scenario, open or not: as many of them as the time line
// wants are kept open. Its methods are safe from any goroutine; times are those of play.
type crowd struct {
	play  *play
	fleet *fleet
	rng   *rand.Rand
	turns chan attempt // to those who dial

	mu      sync.Mutex
	members []member // by number
	wanted  int      // members below are to be open
	open    int
	refused int   // members that are away because the server does not have them
	queue   queue // who is to dial when
	rec     *recorder
	figures []crowdFigures // by phase
	ends    []int          // how many were open at the end of each phase that is over
}

// member is one connection, whether it is there or not.
type member struct {
	actor  *actor // nil: it is not open
	state  memberState
	blamed bool          // the server has refused or dropped it
	tries  int           // that have failed since it was open
	back   time.Duration // when it is to come back, if we have ended it
	slow   int           // bytes a second that it reads; -1: as fast as it can
}

type memberState uint8

const (
	isAway  memberState = iota // not open, and not to be
	isNext                     // in the queue
	isDials                    // being opened
	isOpen                     // or about to end
)

// crowdFigures is what has become of connections in a phase.
type crowdFigures struct {
	opened, refused         uint64
	slow, resets, reconnect int // those that we have disturbed
}

// attempt is a connection to be opened, and since when.
type attempt struct {
	number int
	due    time.Duration
}

// queue is a heap of attempts, the earliest first.
type queue []attempt

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due < q[j].due }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(attempt)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}

const dialsAtOnce = 256

func newCrowd(p *play, f *fleet) *crowd {
	n := p.plan.mostConns()
	c := &crowd{play: p, fleet: f, rng: p.plan.chance(chanceBackoff), turns: make(chan attempt, n), members: make([]member, n)}
	for i := range c.members {
		c.members[i].slow = -1
	}
	c.figures = make([]crowdFigures, len(p.plan.Phases))
	return c
}

// begin says that the first n members are being opened by somebody else.
func (c *crowd) begin(n int) {
	c.wanted = n
	for i := range n {
		c.members[i].state = isDials
	}
}

// begun queues those of them that were refused.
func (c *crowd) begun() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.members {
		if m := &c.members[i]; m.state == isDials {
			c.figures[0].refused++
			c.refuse(i)
		}
	}
}

// dial opens connections until ctx ends.
func (c *crowd) dial(ctx context.Context) {
	var dialing sync.WaitGroup
	for range min(dialsAtOnce, len(c.members)) {
		dialing.Go(func() {
			for {
				select {
				case a := <-c.turns:
					due := c.play.origin().Add(a.due)
					if _, err := c.fleet.dial(ctx, a.number, due, actorHandler{c.play, a.number}); err != nil && ctx.Err() == nil {
						c.mu.Lock()
						c.figure().refused++
						c.refuse(a.number)
						c.mu.Unlock()
					}
				case <-ctx.Done():
					return
				}
			}
		})
	}
	dialing.Wait()
}

// figure is that of the phase that is now.
func (c *crowd) figure() *crowdFigures { return &c.figures[c.play.line.phase(c.play.now())] }

// want sets how many members are to be open at a time.
func (c *crowd) want(n int, now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := c.wanted; i < n; i++ {
		if m := &c.members[i]; m.state == isAway {
			c.enqueue(i, now)
		}
	}
	for i := n; i < c.wanted; i++ {
		m := &c.members[i]
		c.blame(m, false)
		switch m.state {
		case isNext:
			m.state = isAway // the queue's entry is void
		case isOpen:
			c.leave(m.actor, false)
		case isAway, isDials:
		}
	}
	c.wanted = n
}

func (c *crowd) leave(a *actor, atOnce bool) { a.lane.ask(func() { a.leave(atOnce) }) }

func (c *crowd) enqueue(i int, at time.Duration) {
	c.members[i].state = isNext
	heap.Push(&c.queue, attempt{i, at})
}

// tick has those dial whose time has come.
func (c *crowd) tick(now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) > 0 && c.queue[0].due <= now {
		a := heap.Pop(&c.queue).(attempt)
		if m := &c.members[a.number]; m.state == isNext {
			m.state = isDials
			c.turns <- a // there is room for all members
		}
	}
}

// opened is called on the loop of a connection that is open.
func (c *crowd) opened(a *actor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &c.members[a.number]
	m.actor, m.state, m.tries = a, isOpen, 0
	c.open++
	c.figure().opened++
	c.blame(m, false)
	switch {
	case a.number >= c.wanted:
		c.leave(a, false)
	case m.slow >= 0:
		c.slowDown(a, m.slow)
	}
}

// ended is called on the loop of a connection that has ended. ours: we have ended it.
func (c *crowd) ended(a *actor, ours bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &c.members[a.number]
	m.actor, m.state = nil, isAway
	c.open--
	switch {
	case a.number >= c.wanted:
	case ours:
		c.enqueue(a.number, max(m.back, c.play.now()))
	default:
		c.refuse(a.number)
	}
}

// refuse has a member try again later that the server does not have.
func (c *crowd) refuse(i int) {
	m := &c.members[i]
	m.state = isAway
	if i >= c.wanted {
		return
	}
	c.blame(m, true)
	m.tries++
	c.enqueue(i, c.play.now()+c.play.plan.Backoff.wait(m.tries, c.rng))
}

// blame notes whether a member is away for the server's sake.
func (c *crowd) blame(m *member, yes bool) {
	if m.blamed == yes {
		return
	}
	m.blamed = yes
	if yes {
		c.refused++
	} else {
		c.refused--
	}
}

// wait is how long to wait after so many failures.
func (b Backoff) wait(tries int, rng *rand.Rand) time.Duration {
	if b.Least == b.Most {
		return b.Least
	}
	d := min(b.Most, b.Least<<min(tries-1, 20))
	return d/2 + time.Duration(rng.Int64N(int64(d/2)+1))
}

// isOurDoing says that no connection is away for the server's sake: if there is none, we
// want it so.
func (c *crowd) isOurDoing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused == 0
}

// notSent counts a message that no loop could take, such as one that was due while no
// connection was open.
func (c *crowd) notSent(m dueMessage, disturbed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rec == nil {
		c.rec = newRecorder()
	}
	b := c.rec.breakdown()
	t := tally{c.rec, [2]*portion{portionOf(b.phases, c.play.line.phase(m.at)), portionOf(b.messages, int(m.kind))}}
	t.lost(disturbed, oneUnsent)
}

// take collects what all loops have measured, and what no loop could.
func (c *crowd) take() *recorder {
	sum := c.play.lanes.take()
	c.takeOwn(sum)
	return sum
}

// rest collects what is left when the client is closed and no loop runs any more.
func (c *crowd) rest() *recorder {
	sum := c.play.lanes.rest()
	c.takeOwn(sum)
	return sum
}

func (c *crowd) takeOwn(sum *recorder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rec != nil {
		sum.add(c.rec)
		c.rec = nil
	}
}

// turn notes how many are open at the end of the phases before one that has begun.
func (c *crowd) turn(phase int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.ends) < phase {
		c.ends = append(c.ends, c.open)
	}
}

// atEnd is what the phases so far have done to connections, and how many were open at
// their ends.
func (c *crowd) atEnd() (open []int, figures []crowdFigures) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]int(nil), c.ends...), append([]crowdFigures(nil), c.figures...)
}
