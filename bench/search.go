package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Search is a plan: the highest rate of an open loop at which the server keeps its SLOs,
// found by steps of Echo over the same connections.
type Search struct {
	Target
	Opening
	Conns   int
	Text    bool
	Sizes   Sizes
	Poisson bool

	SLO       []SLO
	Min, Max  float64       // messages a second between which to search; zero means 100 and 1,000,000
	Precision float64       // how close the bounds get, as a share; zero means 0.05
	Warmup    time.Duration // of each step
	Step      time.Duration // what counts of each step

	// Repeats is how often at most a rate is tried whose verdict is close to a limit, or
	// breaks an SLO for the first time: the majority holds. It is odd; zero means 3.
	Repeats int

	MaxTime time.Duration // for all steps and what is waited for after each; zero means 10 min
	Drain   time.Duration // how long messages may come back after a step; zero means 10 s
	Loops   int           // event loops of the client; zero: one less than processors
}

// Check implements Job.
func (p Search) Check() error {
	_, err := p.withDefaults()
	return err
}

func (p *Search) withDefaults() (Search, error) {
	s := *p
	setIfZero(&s.Min, 100)
	setIfZero(&s.Max, 1e6)
	setIfZero(&s.Precision, 0.05)
	setIfZero(&s.Repeats, 3)
	setIfZero(&s.MaxTime, 10*time.Minute)
	setIfZero(&s.Drain, 10*time.Second)
	switch {
	case len(s.SLO) == 0:
		return s, errors.New("an SLO must say what is to be kept, such as p99<20ms")
	case s.Min < 1 || s.Max > maxRate || s.Min >= s.Max:
		return s, fmt.Errorf("the rates to search between are 1 to %d messages a second, and the first is the smaller one", int(maxRate))
	case s.Precision < 0.005 || s.Precision > 1:
		return s, errors.New("a precision is 0.5% to 100%")
	case s.Repeats < 1 || s.Repeats%2 == 0:
		return s, errors.New("a rate is tried an odd number of times at most, so that there is a majority")
	case s.MaxTime < s.Warmup+s.Step:
		return s, fmt.Errorf("%v in all are not enough for a step of %v", s.MaxTime, s.Warmup+s.Step)
	case s.Drain < 0:
		return s, errors.New("the time for messages to come back is not less than 0")
	}
	_, err := s.echo()
	return s, err
}

func setIfZero[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// echo is the plan of a step at the lowest rate.
func (p *Search) echo() (Echo, error) {
	e := Echo{
		Target: p.Target, Opening: p.Opening, Conns: p.Conns, Text: p.Text, Sizes: p.Sizes,
		Rate: p.Min, Poisson: p.Poisson, Warmup: p.Warmup, Duration: p.Step, Loops: p.Loops,
	}
	return e.withDefaults()
}

// Run implements Job.
func (p Search) Run(ctx context.Context, tell func(Progress)) (*Result, error) {
	plan, err := p.withDefaults()
	if err != nil {
		return nil, err
	}
	echo, err := plan.echo()
	if err != nil {
		return nil, err
	}
	s := &searching{plan: &plan, bounds: bisection{least: plan.Min, most: plan.Max, precision: plan.Precision}, tell: tell}
	base := &Result{Job: "search", Conns: plan.Conns, Sizes: plan.Sizes.String()}
	if s.echoRun, err = echo.begin(ctx, base, s.told); err != nil {
		return nil, err
	}
	defer s.close()
	s.base, s.one = *base, s.step
	limited, cancel := context.WithTimeout(ctx, plan.MaxTime)
	defer cancel()
	s.stopped = s.search(limited)
	if ctx.Err() != nil {
		s.stopped = stoppedByUser
	}
	if len(s.steps) == 0 && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return s.report()
}

// searching is a search under way.
type searching struct {
	*echoRun
	plan   *Search
	tell   func(Progress)
	base   Result // what the results of all steps have in common
	bounds bisection
	one    func(ctx context.Context, rate float64) (step Step, stopped string)

	steps   []Step
	results []*Result // of each step
	limits  Verdict   // why bounds.high was not kept
	stopped string    // why the search has ended before it was through
}

// Why a search ends before it is through.
const (
	stoppedByUser = "it was stopped"
	stoppedByTime = "its time was over"
)

// told says where the search stands, with what the step says.
func (s *searching) told(p Progress) {
	if s.tell == nil {
		return
	}
	if p.Phase != "connecting" {
		between := fmt.Sprintf("from %s on", short(s.plan.Min))
		switch b := s.bounds; {
		case b.low > 0 && b.high > 0:
			between = fmt.Sprintf("%s..%s", short(b.low), short(b.high))
		case b.low > 0:
			between = fmt.Sprintf("over %s", short(b.low))
		}
		p.Phase = fmt.Sprintf("step %d (%s): %s/s, %s", len(s.steps)+1, between, short(p.Asked), p.Phase)
	}
	s.tell(p)
}

// search tries rates until the bounds are close. It says why if it did not get so far.
func (s *searching) search(ctx context.Context) (stopped string) {
	for {
		rate, ok := s.bounds.next()
		if !ok {
			return ""
		}
		verdict, stopped := s.try(ctx, rate)
		if stopped != "" {
			return stopped
		}
		s.bounds.note(rate, verdict == Kept)
		if verdict != Kept {
			s.limits = verdict
		}
	}
}

// try finds the verdict on a rate: that of one step where it is clear, of the majority
// of several where it is not.
func (s *searching) try(ctx context.Context, rate float64) (verdict Verdict, stopped string) {
	count := map[Verdict]int{}
	need := s.plan.Repeats/2 + 1
	for {
		step, stopped := s.one(ctx, rate)
		if stopped != "" {
			return "", stopped
		}
		s.steps = append(s.steps, step)
		count[step.Verdict]++
		first := len(s.steps) == 1 || s.steps[len(s.steps)-2].Rate != rate
		isClear := !step.Close && (step.Verdict == Kept || s.bounds.high > 0)
		switch not := count[Broken] + count[ByClient]; {
		case first && isClear:
			return step.Verdict, ""
		case count[Kept] >= need:
			return Kept, ""
		case not >= need && count[ByClient] >= count[Broken]:
			return ByClient, ""
		case not >= need:
			return Broken, ""
		}
	}
}
