package bench

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// randomStages makes a time line by chance, with steps, ramps and times without a message.
func randomStages(rng *rand.Rand) []Stage {
	value := func() float64 { return float64(rng.IntN(4)) / 3 * math.Round(rng.ExpFloat64()*1000) }
	stages := make([]Stage, 1+rng.IntN(6))
	for i := range stages {
		s := &stages[i]
		s.For = time.Duration(1 + rng.Int64N(int64(20*time.Second)))
		s.Rate, s.Conns = Span{value(), value()}, Span{math.Round(value()), math.Round(value())}
		if rng.IntN(3) == 0 {
			s.Rate.To = s.Rate.From
		}
	}
	return stages
}

// The messages that are due until any moment are as many as the integral of the rate, by
// less than one, and none is due in a phase without.
func TestTimelineGivesTheIntegralOfItsRate(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		line := newTimeline(randomStages(rng))
		var at []time.Duration
		for a := newArrivals(line, nil); ; {
			next := a.next()
			if next == never {
				break
			}
			if len(at) > 0 && next < at[len(at)-1] {
				t.Fatalf("%+v: message %d is due before the one before it", line.spans, len(at))
			}
			if s := line.spans[line.phase(next)]; s.rate == (Span{}) {
				t.Fatalf("%+v: message %d is due at %v, in a phase without any", line.spans, len(at), next)
			}
			at = append(at, next)
		}
		check := func(until time.Duration) {
			n := 0
			for n < len(at) && at[n] < until {
				n++
			}
			if want := integral(line, until); math.Abs(float64(n)-want) > 0.51 {
				t.Fatalf("%+v: %d messages are due until %v, the integral is %v", line.spans, n, until, want)
			}
		}
		for range 20 {
			check(time.Duration(rng.Int64N(int64(line.end()))))
		}
		for _, s := range line.spans {
			check(s.to)
		}
	}
}

// integral is the area under the rate, added up phase by phase.
func integral(line *timeline, until time.Duration) (sum float64) {
	for _, s := range line.spans {
		if until <= s.from {
			break
		}
		part := min(1, float64(until-s.from)/float64(s.to-s.from))
		sum += part * (s.to - s.from).Seconds() * (s.rate.From + part*(s.rate.To-s.rate.From)/2)
	}
	return sum
}

func TestTimelineRandomArrivals(t *testing.T) {
	line := newTimeline([]Stage{{For: 100 * time.Second, Rate: Span{0, 1000}}})
	n, early := 0, 0
	for a := newArrivals(line, rand.New(rand.NewPCG(1, 2))); ; n++ {
		at := a.next()
		if at == never {
			break
		}
		if at < 50*time.Second {
			early++
		}
	}
	if !near(uint64(n), 50_000, 0.05) || !near(uint64(early), 12_500, 0.05) {
		t.Errorf("%d messages, %d in the first half; 50000 and a quarter of them are due", n, early)
	}
}

func TestTimelineConnections(t *testing.T) {
	line := newTimeline([]Stage{
		{For: 10 * time.Second, Conns: Span{0, 500}},
		{For: 10 * time.Second, Conns: Span{500, 500}},
		{For: 10 * time.Second, Conns: Span{100, 0}},
	})
	for at, want := range map[time.Duration]int{
		-time.Second: 0, 0: 0, 5 * time.Second: 250, 10 * time.Second: 500, 19 * time.Second: 500,
		20 * time.Second: 100, 25 * time.Second: 50, 30 * time.Second: 0, time.Hour: 0,
	} {
		if got := line.conns(at); got != want {
			t.Errorf("after %v there are to be %d connections, not %d", at, want, got)
		}
	}
}
