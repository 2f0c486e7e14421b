package bench

import (
	"math"
	"slices"
)

// Interval is a median, and where the true one lies with a confidence that holds however
// the values are spread: between two of the values themselves, by their rank.
type Interval struct {
	Median     float64 `json:"median"`
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Confidence float64 `json:"confidence"` // 0.95 or more; less where there are less than 6 values
}

// wanted is the confidence that an interval has at least, if there are values enough.
const wanted = 0.95

// interval makes one. There must be a value at least. It does not retain values.
func interval(values []float64) Interval {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	// The true median is below the k-th value only if less than k values are below it,
	// and each is with a chance of a half: k is as high as that allows.
	k, confidence := 1, 1-2*tail(n, 0)
	for k < n/2 && 1-2*tail(n, k) >= wanted {
		confidence = 1 - 2*tail(n, k)
		k++
	}
	return Interval{
		Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Low: sorted[k-1], High: sorted[n-k], Confidence: max(0, confidence),
	}
}

// tail is the chance that at most k of n throws of a coin are heads.
func tail(n, k int) (p float64) {
	for i := 0; i <= k; i++ {
		all, _ := math.Lgamma(float64(n + 1))
		heads, _ := math.Lgamma(float64(i + 1))
		tails, _ := math.Lgamma(float64(n - i + 1))
		p += math.Exp(all - heads - tails - float64(n)*math.Ln2)
	}
	return p
}
