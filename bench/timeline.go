package bench

import (
	"math"
	"math/rand/v2"
	"sort"
	"time"
)

// timeline is what a scenario wants at each moment, since its beginning. Immutable.
type timeline struct {
	spans []span
	all   float64 // messages of the whole time
}

// span is one phase on the time line.
type span struct {
	from, to time.Duration
	conns    Span
	rate     Span
	before   float64 // messages that are due before it
}

func newTimeline(stages []Stage) *timeline {
	t := new(timeline)
	at := time.Duration(0)
	for i := range stages {
		s := &stages[i]
		t.spans = append(t.spans, span{from: at, to: at + s.For, conns: s.Conns, rate: s.Rate, before: t.all})
		t.all += (s.Rate.From + s.Rate.To) / 2 * s.For.Seconds()
		at += s.For
	}
	return t
}

// end is when the last phase is over.
func (t *timeline) end() time.Duration { return t.spans[len(t.spans)-1].to }

// phase gives the number of the phase at a time: the first before, the last after all.
func (t *timeline) phase(at time.Duration) int {
	n := sort.Search(len(t.spans), func(i int) bool { return at < t.spans[i].to })
	return min(n, len(t.spans)-1)
}

// part says how much of the phase has passed, 0 to 1.
func (s *span) part(at time.Duration) float64 {
	return min(1, max(0, float64(at-s.from)/float64(s.to-s.from)))
}

// conns is how many connections there are to be.
func (t *timeline) conns(at time.Duration) int {
	s := &t.spans[t.phase(at)]
	return int(math.Round(s.conns.at(s.part(at))))
}

// due is how many messages are due until a time: the integral of the rate.
func (t *timeline) due(at time.Duration) float64 {
	s := &t.spans[t.phase(at)]
	part := s.part(at)
	return s.before + (s.rate.From+s.rate.at(part))/2*part*(s.to-s.from).Seconds()
}

// when is the inverse of due: when n messages are due. ok false: never.
func (t *timeline) when(n float64) (at time.Duration, ok bool) {
	if n >= t.all {
		return 0, false
	}
	i := sort.Search(len(t.spans), func(i int) bool { return i+1 == len(t.spans) || n < t.spans[i+1].before })
	s := &t.spans[i]
	// The x for which From*x + grows*x*x/2 is y, in the form that neither cancels nor
	// divides by a rate that doesn't grow.
	y, grows := n-s.before, (s.rate.To-s.rate.From)/(s.to-s.from).Seconds()
	root := math.Sqrt(max(0, s.rate.From*s.rate.From+2*grows*y))
	x := 2 * y / (s.rate.From + root)
	if math.IsNaN(x) { // nothing at a rate that begins with 0
		x = 0
	}
	return min(s.to-1, s.from+time.Duration(x*float64(time.Second))), true
}

// arrivals gives the times at which messages are due, one after the other.
type arrivals struct {
	line   *timeline
	n      float64
	random *rand.Rand // nil: evenly
}

// newArrivals has the first message in the middle of its share of the time.
func newArrivals(line *timeline, random *rand.Rand) *arrivals {
	a := &arrivals{line: line, n: 0.5, random: random}
	if random != nil {
		a.n = random.ExpFloat64()
	}
	return a
}

// next gives the time of the next message, never if there is none.
func (a *arrivals) next() time.Duration {
	at, ok := a.line.when(a.n)
	switch {
	case !ok:
		return never
	case a.random != nil:
		a.n += a.random.ExpFloat64()
	default:
		a.n++
	}
	return at
}
