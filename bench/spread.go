package bench

import (
	"math/bits"
	"time"
)

// spread is a small histogram for what there are thousands of: 16 steps for each
// doubling from a microsecond to about a minute, so its quantiles are at most 6 % too
// high. 1.7 KB. The zero value serves. It has one writer.
type spread [spreadSteps * (spreadDoublings + 1)]uint32

const (
	spreadSteps     = 16
	spreadDoublings = 25
)

// add counts a time.
func (s *spread) add(d time.Duration) {
	us := uint64(max(0, d) / time.Microsecond)
	if us < spreadSteps {
		s[us]++
		return
	}
	doubling := bits.Len64(us) - 5 // us>>doubling is 16 to 31
	s[min(doubling*spreadSteps+int(us>>doubling), len(s)-1)]++
}

// at gives a quantile from 0 to 100, 0 where nothing was counted: the upper end of its
// step.
func (s *spread) at(quantile float64) time.Duration {
	var all uint64
	for _, n := range s {
		all += uint64(n)
	}
	rank := max(1, uint64(quantile/100*float64(all)+0.5))
	for i, n := range s {
		if uint64(n) >= rank {
			return stepEnd(i)
		}
		rank -= uint64(n)
	}
	return 0
}

// stepEnd is the upper end of a step.
func stepEnd(i int) time.Duration {
	if i < spreadSteps {
		return time.Duration(i+1) * time.Microsecond
	}
	doubling := i/spreadSteps - 1
	return time.Duration((i%spreadSteps+spreadSteps+1)<<doubling) * time.Microsecond
}
