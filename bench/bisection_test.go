package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// bisect runs a bisection against a judge, and gives the rates that were asked.
func bisect(t *testing.T, b *bisection, kept func(rate float64) bool) (asked []float64) {
	t.Helper()
	for {
		rate, ok := b.next()
		if !ok {
			return asked
		}
		if rate < b.least || rate > b.most || slices.Contains(asked, rate) || b.low > 0 && rate <= b.low || b.high > 0 && rate >= b.high {
			t.Fatalf("asked %v after %v, with bounds %v and %v", rate, asked, b.low, b.high)
		}
		asked = append(asked, rate)
		b.note(rate, kept(rate))
		if len(asked) > b.mostSteps() {
			t.Fatalf("%d steps of %d: %v", len(asked), b.mostSteps(), asked)
		}
	}
}

func TestBisectionAsks(t *testing.T) {
	for name, c := range map[string]struct {
		limit     float64
		asked     []float64
		low, high float64
	}{
		"between":       {1000, []float64{100, 200, 400, 800, 1600, 1131, 951.2}, 951.2, 1131},
		"at the lowest": {99, []float64{100}, 0, 100},
		"never":         {1e9, []float64{100, 200, 400, 800, 1600, 3000}, 3000, 0},
		"over a power":  {2000, []float64{100, 200, 400, 800, 1600, 3000, 2191, 1872}, 1872, 2191},
	} {
		b := bisection{least: 100, most: 3000, precision: 0.2}
		asked := bisect(t, &b, func(rate float64) bool { return rate <= c.limit })
		if !slices.Equal(asked, c.asked) || b.low != c.low || b.high != c.high {
			t.Errorf("%s: asked %v, found %v and %v", name, asked, b.low, b.high)
		}
	}
}

// Whatever the limit is, the bounds are on both sides of it and as close as was asked.
// Whatever the verdicts are, it ends.
func TestBisectionFinds(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 5000 {
		least := math.Exp(rng.Float64() * 10)
		b := bisection{least: least, most: least * (1.0001 + math.Exp(rng.Float64()*10)), precision: 0.005 + rng.Float64()*rng.Float64()}
		limit := least * math.Exp(rng.Float64()*12-1)
		chance := b
		bisect(t, &b, func(rate float64) bool { return rate <= limit })
		switch {
		case limit < b.least:
			if b.low != 0 || b.high != b.least {
				t.Fatalf("limit %v: %+v", limit, b)
			}
		case limit >= b.most:
			if b.low != b.most || b.high != 0 {
				t.Fatalf("limit %v: %+v", limit, b)
			}
		case b.low > limit || b.high <= limit || b.high > b.low*(1+b.precision):
			t.Fatalf("limit %v: %+v", limit, b)
		}
		bisect(t, &chance, func(float64) bool { return rng.IntN(2) == 0 })
	}
}
