package bench

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The interval has the true median in it as often as it says, for values however they
// are spread, and says so little as it must.
func TestIntervalCovers(t *testing.T) {
	spreads := map[string]func(*rand.Rand) float64{ // with a median of 1
		"log-normal": func(r *rand.Rand) float64 { return math.Exp(0.1 * r.NormFloat64()) },
		"skewed":     func(r *rand.Rand) float64 { return 1 + 0.1*(r.ExpFloat64()-math.Ln2) },
		"far out":    func(r *rand.Rand) float64 { return 1 + 0.01*math.Tan(math.Pi*(r.Float64()-0.5)) },
	}
	for n, confidence := range map[int]float64{
		3: 0.75, 5: 0.9375, 6: 0.96875, 8: 0.9921875, 9: 0.9609375, 20: 0.9586105, 30: 0.9572260,
	} {
		for name, draw := range spreads {
			const tries = 3000
			rng := rand.New(rand.NewPCG(uint64(n), 3))
			covered := 0
			values := make([]float64, n)
			for range tries {
				for i := range values {
					values[i] = draw(rng)
				}
				v := interval(values)
				if v.Low <= 1 && v.High >= 1 {
					covered++
				}
				if math.Abs(v.Confidence-confidence) > 1e-6 || v.Low > v.Median || v.Median > v.High {
					t.Fatalf("%d values: %+v, its confidence is %v", n, v, confidence)
				}
			}
			// Four standard deviations of so many tries.
			if got, slack := float64(covered)/tries, 4*math.Sqrt(confidence*(1-confidence)/tries); math.Abs(got-confidence) > slack {
				t.Errorf("%s, %d values: covers in %.4f of tries, says %.4f", name, n, got, confidence)
			}
		}
	}
}

func TestIntervalOfFew(t *testing.T) {
	if v := interval([]float64{3}); v != (Interval{3, 3, 3, 0}) {
		t.Errorf("%+v", v)
	}
	if v := interval([]float64{5, 1, 4, 2, 3, 6}); v.Median != 3.5 || v.Low != 1 || v.High != 6 {
		t.Errorf("%+v", v)
	}
}
