package engine

import (
	"sync/atomic"
	"time"
)

// pace is a rate that is not to be exceeded: a token bucket, told in time instead of
// tokens. Each event costs as long as it would take at that rate; a meter holds the
// time until which what has happened is paid for, and that may lie ahead of now by
// so much. So a meter is a number or two, and nothing refills it.
type pace struct {
	rate  int64 // events in a second; 0: no limit
	ahead int64 // nanoseconds that a meter may be ahead before the next event
}

const second = int64(time.Second)

// maxRate bounds every rate, so that times stay exact.
const maxRate = int(second)

// paceOf gives the pace of single events, a second's worth of which may come at
// once. A rate of zero or less is no limit.
func paceOf(rate int) pace {
	if rate <= 0 {
		return pace{}
	}
	return pace{rate: int64(rate), ahead: second - second/int64(rate)}
}

// meter is where one sequence of events stands. The zero meter is one that nothing
// has happened to.
type meter struct {
	until  int64 // nanoseconds on the loop's clock
	credit int64 // nanoseconds by which it may be further ahead; it lapses after a second without events
}

// take says whether n more events fit the pace at this time, and counts them.
func (p pace) take(m *meter, now, n int64) bool {
	if m.until < now-second {
		m.credit = 0 // what had piled up has come
	}
	from := max(m.until, now)
	if over := from - now - p.ahead; over > 0 {
		if over > m.credit {
			return false
		}
		m.credit -= over
		from -= over
	}
	m.until = from + n*second/p.rate
	return true
}

// excuse gives credit for a time in which events have piled up.
func (m *meter) excuse(now, d int64) {
	m.until = max(m.until, now)
	m.credit += d
}

// spent says that the meter may as well be forgotten.
func (m meter) spent(now int64) bool {
	return m.until < now && m.credit == 0 || m.until < now-second
}

// turnstile is a pace for events on all goroutines.
type turnstile struct {
	pace
	until atomic.Int64
}

// take is pace.take for one event. Safe from any goroutine.
func (g *turnstile) take(now int64) bool {
	for g.rate > 0 {
		had := g.until.Load()
		m := meter{until: had}
		if !g.pace.take(&m, now, 1) {
			return false
		}
		if g.until.CompareAndSwap(had, m.until) {
			break
		}
	}
	return true
}
