package bench

import (
	"math"
	"time"
)

// mergeSeries adds the seconds of several clocks up: what a part has counted from 0.7 to
// 1.7 s after begin goes in proportion to seconds 0 and 1. Latencies cannot be added: of
// each second stand those of the part that had the highest.
func mergeSeries(parts []Part, begin time.Time) []Point {
	var sums []Point
	end := 0.0
	for _, p := range parts {
		from, _ := p.Result.counted()
		shift := from.Sub(begin).Seconds()
		for s, more := range wholeSeconds(p.Result.Series, shift) {
			if s == len(sums) {
				sums = append(sums, Point{At: float64(s + 1), Seconds: 1})
			}
			to := &sums[s]
			to.Conns += more.Conns
			to.addCounts(&more)
		}
		if n := len(p.Result.Series); n > 0 {
			end = max(end, p.Result.Series[n-1].At+shift)
		}
	}
	return endAt(sums, end)
}

// endAt gives the last second its true end. A rest that is hardly there goes to the
// second before.
func endAt(series []Point, end float64) []Point {
	n := len(series)
	if n == 0 {
		return nil
	}
	last := &series[n-1]
	last.At, last.Seconds = end, end-float64(n-1)
	if last.Seconds < 0.1 && n > 1 {
		rest := *last
		series = series[:n-1]
		series[n-2].join(&rest)
	}
	return series
}

// addCounts adds what can be added, and keeps the higher latencies.
func (p *Point) addCounts(more *Point) {
	p.Sent += more.Sent
	p.Received += more.Received
	p.Errors += more.Errors
	p.P50, p.P99, p.Max = max(p.P50, more.P50), max(p.P99, more.P99), max(p.Max, more.Max)
}

// join makes p longer by the point that follows.
func (p *Point) join(next *Point) {
	p.addCounts(next)
	p.At, p.Conns = next.At, next.Conns
	p.Seconds += next.Seconds
}

// wholeSeconds divides points, which are shifted by some seconds, 0 or more, among the
// seconds since 0.
func wholeSeconds(points []Point, shift float64) []Point {
	var all []Point
	for i := range points {
		p := points[i]
		p.At += shift
		from := max(0, p.At-p.Seconds)
		first := int(from + hair)
		last := max(first, int(math.Ceil(p.At-hair))-1)
		rest := p
		for s := first; s <= last; s++ {
			for len(all) <= s {
				all = append(all, Point{})
			}
			until := 1.0
			if s < last {
				until = (float64(s+1) - from) / (p.At - from)
			}
			some := rest.takeUntil(&p, until)
			all[s].addCounts(&some)
			all[s].Conns = p.Conns
		}
	}
	return all
}

// hair is as near to a whole second as to be it.
const hair = 1e-6

// takeUntil takes from the rest of a point what there is until a part of it, 0 to 1. In
// the end everything is taken: rounding loses nothing.
func (p *Point) takeUntil(whole *Point, until float64) Point {
	some := *whole
	take := func(all uint64, rest *uint64) uint64 {
		left := all - min(all, uint64(math.Round(until*float64(all))))
		if until >= 1 {
			left = 0
		}
		taken := *rest - min(*rest, left)
		*rest -= taken
		return taken
	}
	some.Sent = take(whole.Sent, &p.Sent)
	some.Received = take(whole.Received, &p.Received)
	some.Errors = take(whole.Errors, &p.Errors)
	return some
}

// Thin gives a series with so many points at most, each of which stands for several
// seconds if need be.
func Thin(series []Point, most int) []Point {
	if len(series) <= most {
		return series
	}
	each := (len(series) + most - 1) / most
	var thinned []Point
	for i := range series {
		if i%each == 0 {
			thinned = append(thinned, series[i])
		} else {
			thinned[len(thinned)-1].join(&series[i])
		}
	}
	return thinned
}
