package bench

import (
	"math"
	"strconv"
)

// bisection looks for the highest rate that is kept, given that all below it are kept
// and all above it are not: it begins at the lowest, doubles until a rate is not kept,
// and halves what is between (by ratio) until that is less than the precision.
type bisection struct {
	least, most float64
	precision   float64 // 0.05: the two bounds differ by 5 % at most
	low         float64 // the highest that was kept; 0: none yet
	high        float64 // the lowest that was not; 0: none yet
}

// next gives the rate to try. ok false: it is found, and low and high are the answer:
// without low even the lowest is not kept, without high the highest is.
func (b *bisection) next() (rate float64, ok bool) {
	switch {
	case b.low == 0:
		return b.least, b.high == 0
	case b.high == 0:
		return min(2*b.low, b.most), b.low < b.most
	case b.high <= b.low*(1+b.precision):
		return 0, false
	}
	middle := math.Sqrt(b.low * b.high)
	if round := fourDigits(middle); round > b.low && round < b.high {
		middle = round
	}
	return middle, middle > b.low && middle < b.high
}

// note takes the verdict on what next gave.
func (b *bisection) note(rate float64, kept bool) {
	if kept {
		b.low = rate
	} else {
		b.high = rate
	}
}

// fourDigits rounds to what people read.
func fourDigits(v float64) float64 {
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	return rounded
}

// mostSteps is how many rates are tried at most.
func (b *bisection) mostSteps() int {
	growing := math.Ceil(math.Log2(b.most / b.least))
	halving := math.Ceil(math.Log2(math.Log(2) / math.Log1p(b.precision)))
	return int(growing + max(0, halving) + 2)
}
