package bench

import "github.com/HdrHistogram/hdrhistogram-go"

// fanFigures is what a recorder holds besides in a Fanout. Loop-only, as that.
type fanFigures struct {
	first, median, last, skew *hdrhistogram.Histogram // for each publish, or when it had reached everybody

	complete  uint64 // publishes that have reached everybody
	owed      uint64 // deliveries that follow from the publishes
	gaps      uint64 // deliveries that are missing before others
	cutOff    uint64 // deliveries missing behind the last, of subscribers that have ended
	conflated uint64 // publishes that the server says to have left out
	strayed   uint64 // deliveries for another room
	other     uint64 // messages without a publish
	refused   uint64 // publishes that the server has refused
	gaveUp    uint64 // publishes that a closed loop has waited for too long
}

func newFanFigures() *fanFigures {
	return &fanFigures{first: newHistogram(), median: newHistogram(), last: newHistogram(), skew: newHistogram()}
}

// fanned gives the figures of a Fanout in a recorder, made with their first use.
func (r *recorder) fanned() *fanFigures {
	if r.fan == nil {
		r.fan = newFanFigures()
	}
	return r.fan
}

func (f *fanFigures) add(more *fanFigures) {
	f.first.Merge(more.first)
	f.median.Merge(more.median)
	f.last.Merge(more.last)
	f.skew.Merge(more.skew)
	f.complete += more.complete
	f.owed += more.owed
	f.gaps += more.gaps
	f.cutOff += more.cutOff
	f.conflated += more.conflated
	f.strayed += more.strayed
	f.other += more.other
	f.refused += more.refused
	f.gaveUp += more.gaveUp
}
