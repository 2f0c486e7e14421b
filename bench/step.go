package bench

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Verdict is what a step says of its rate.
type Verdict string

// The verdicts.
const (
	Kept     Verdict = "kept"
	Broken   Verdict = "broken"
	ByClient Verdict = "client" // not kept, and the client may be why
)

// Step is a rate that was tried.
type Step struct {
	Rate     float64 `json:"rate"`     // messages a second that were asked for
	Achieved float64 `json:"achieved"` // messages a second that came back
	Seconds  float64 `json:"seconds"`  // that count
	P50      float64 `json:"p50"`      // milliseconds
	P99      float64 `json:"p99"`
	Max      float64 `json:"max"`
	Sent     uint64  `json:"sent"`
	Errors   uint64  `json:"errors"`
	Cores    float64 `json:"cores,omitempty"` // of the server, if its process was looked at
	Verdict  Verdict `json:"verdict"`
	Why      string  `json:"why"`
	Close    bool    `json:"close,omitempty"` // to a limit: with other luck the verdict were another
}

// step tries a rate, over connections that are all open and with nothing on its way.
// stopped says why there is no step.
func (s *searching) step(ctx context.Context, rate float64) (step Step, stopped string) {
	if end, ok := ctx.Deadline(); ok && time.Until(end) < s.plan.Warmup+s.plan.Step {
		return step, stoppedByTime
	}
	if err := s.settle(ctx); ctx.Err() != nil {
		return step, stoppedByTime
	} else if err != nil {
		return step, err.Error()
	}
	res := s.base
	s.result, s.total = &res, newRecorder()
	how := s.measure(ctx, stretch{
		rate: rate, warmup: s.plan.Warmup, duration: s.plan.Step, grace: s.plan.Drain, behind: patience(s.plan.SLO),
	})
	if ctx.Err() != nil {
		return step, stoppedByTime
	}
	if c := &s.total.Counts; c.Received+c.Lost < c.Sent {
		c.Lost = c.Sent - c.Received
	}
	s.finish(how.counted)
	clientDoubts := res.Doubts
	res.Doubts = nil
	res.Rate = rate
	s.results = append(s.results, &res)
	return judge(s.plan.SLO, &res, how, clientDoubts), ""
}

// judge gives the verdict on a step. clientDoubts is what the client itself may have done to
// it: then the server is not blamed for latencies, but it is for errors, and for what has
// not come back at all after all the time there was.
func judge(all []SLO, r *Result, how stretched, clientDoubts []string) Step {
	step := Step{
		Rate: r.Rate, Achieved: how.achieved(), Seconds: r.Seconds,
		P50: inMS(r.Latency.At(50)), P99: inMS(r.Latency.At(99)), Max: inMS(r.Latency.At(100)),
		Sent: r.Counts.Sent, Errors: r.Counts.Errors(), Verdict: Kept,
	}
	if r.Server != nil {
		step.Cores = r.Server.Cores
	}
	var slow, wrong, good []string
	for _, o := range all {
		if how.cut && r.Counts.Received == 0 {
			break // in the warm-up
		}
		kept, isClose, is := o.kept(r)
		step.Close = step.Close || isClose
		switch {
		case kept:
			good = append(good, is)
		case o.quant > 0 && !o.brokenByLoss(r):
			slow = append(slow, is)
		default:
			wrong = append(wrong, is)
		}
	}
	if how.cut {
		slow = append(slow, fmt.Sprintf("given up: %d messages were waiting", how.last.waiting()))
	} else if sent, back := how.fell(); sent-back > how.tolerated(sent) {
		if lost := float64(r.Counts.Lost); lost > 0 && sent-back-lost <= how.tolerated(sent) {
			wrong = append(wrong, fmt.Sprintf("%.0f of %.0f messages were lost", lost, sent))
		} else {
			slow = append(slow, fmt.Sprintf("the server fell behind: %.0f messages were sent, %.0f came back", sent, back))
		}
	}
	if n := r.Counts.Dropped; n > 0 {
		wrong = append(wrong, fmt.Sprintf("%d connections were dropped", n))
	}
	if n := r.Counts.NotSent; n > 0 {
		wrong = append(wrong, fmt.Sprintf("%d messages could not be sent", n))
	}
	switch {
	case len(wrong)+len(slow) == 0:
		step.Why = strings.Join(good, ", ")
	case len(wrong) == 0 && len(clientDoubts) > 0:
		step.Verdict = ByClient
		step.Why = strings.Join(append(slow, clientDoubts...), "; ")
	default:
		step.Verdict = Broken
		step.Why = strings.Join(append(wrong, slow...), "; ")
	}
	return step
}

// tolerated is how much less than what was sent may come back of a rate that is reached:
// a share, the messages of a moment, and some at least.
func (h stretched) tolerated(sent float64) float64 {
	const share, moment, some = 0.02, 0.1, 10 // moment in seconds
	took := (h.last.at - h.first.at).Seconds()
	return max(some, sent*max(share, moment/max(took, moment)))
}

// fell gives what was sent and what came back while what counts was sent.
func (h stretched) fell() (sent, back float64) {
	return float64(h.last.begun - h.first.begun), float64(h.last.back - h.first.back + h.last.gone - h.first.gone)
}

// achieved is how many messages came back in a second while what counts was sent.
func (h stretched) achieved() float64 {
	took := (h.last.at - h.first.at).Seconds()
	if took <= 0 {
		return 0
	}
	return float64(h.last.back-h.first.back) / took
}
