package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/engine"
)

// Scenario is a plan: connections that come and go, messages of several kinds over
// them, and what a bad day brings besides, in phases on a time line. ParseScenario
// reads one from a file; ScenarioExample explains the keys.
type Scenario struct {
	Target
	Messages []Message
	Phases   []Stage
	Backoff  Backoff     // zero: 100 ms to 5 s
	Random   bool        // messages come independently of each other (Poisson), not evenly
	FailIf   []Threshold // for the whole run

	// Seed decides everything that is left to chance: which connections are disturbed,
	// which message is next. Zero takes one by chance; the result tells it.
	Seed uint64

	Loops int // event loops of the client; zero: one less than processors
}

// Message is one kind of message.
type Message struct {
	Name   string
	Weight float64 // how often it is sent, against the other kinds; zero is 1

	Template Template // what is sent, as text
	Sizes    *Sizes   // instead: random bytes, binary unless Text
	Text     bool

	Expect Expectation
	Within time.Duration // an answer that comes later is lost; zero is 5 s
}

// Stage is one phase of the time line. What it disturbs on purpose (Slow, Resets,
// Reconnect) is counted apart from what goes wrong.
type Stage struct {
	Name string
	For  time.Duration

	Conns Span // how many connections are open
	Rate  Span // messages a second, over all connections

	Slow      *Slow
	Resets    float64 // this share of the connections breaks off, and comes back at once
	Reconnect *Reconnect

	FailIf []Threshold
}

// Span is a number that goes evenly from one value to another during a phase.
type Span struct{ From, To float64 }

// at gives the value after a part of the phase, 0 to 1.
func (s Span) at(part float64) float64 { return s.From + (s.To-s.From)*part }

// Slow has some connections read slowly while the phase lasts.
type Slow struct {
	Share float64
	Rate  int // bytes of payload a second; 0: they read nothing
}

// Reconnect closes some connections at the beginning of the phase. Each comes back at a
// moment of its own within some time; 0: all at once.
type Reconnect struct {
	Share  float64
	Within time.Duration
}

// Backoff is how long a connection that was refused, or ended by the server, waits before
// it tries again: Least, then twice as long after each failure, up to Most, and of that a
// part by chance, from a half to the whole. Where both are the same it is always that.
type Backoff struct{ Least, Most time.Duration }

// Bounds of a scenario.
const (
	maxStages       = 100
	maxMessageKinds = 32
	maxScenarioTime = 24 * time.Hour
	maxScenarioRate = 1_000_000
	maxScenarioConn = 1_000_000
	maxScenarioSize = 16 << 20
	maxWithin       = 10 * time.Minute
	maxNameLength   = 40
)

// wrongError is something wrong with a scenario.
type wrongError struct {
	where string // such as phases[2].rate
	what  string
}

func (e *wrongError) Error() string { return e.where + ": " + e.what }

// Check implements Job.
func (s Scenario) Check() error {
	if s.URL == "" {
		return errors.New("no url: write url: ws://host:port/path into the scenario, or give one on the command line")
	}
	if err := checkPlaces(s.URL); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if err := s.Target.check(); err != nil {
		return err
	}
	for _, t := range s.FailIf {
		if err := t.Fits(s); err != nil {
			return fmt.Errorf("fail if: %w", err)
		}
	}
	return s.check()
}

// check looks at everything but the target.
func (s *Scenario) check() error {
	var found *wrongError
	wrong := func(bad bool, where, format string, a ...any) {
		if bad && found == nil {
			found = &wrongError{where, fmt.Sprintf(format, a...)}
		}
	}
	wrong(len(s.Messages) == 0, "messages", "there must be one at least")
	wrong(len(s.Messages) > maxMessageKinds, "messages", "at most %d kinds", maxMessageKinds)
	wrong(len(s.Phases) == 0, "phases", "there must be one at least")
	wrong(len(s.Phases) > maxStages, "phases", "at most %d", maxStages)
	wrong(s.Backoff.Least < 0 || s.Backoff.Least > s.Backoff.Most || s.Backoff.Most > maxWithin, "backoff", "the first time is the shorter one, and the other at most %v", maxWithin)
	for i := range s.Messages {
		s.Messages[i].check(wrong, fmt.Sprintf("messages[%d]", i))
		for j := range i {
			wrong(s.Messages[j].Name == s.Messages[i].Name, fmt.Sprintf("messages[%d].name", i), "%q is the name of another message", s.Messages[i].Name)
		}
	}
	total, most := time.Duration(0), 0.0
	for i := range s.Phases {
		where := fmt.Sprintf("phases[%d]", i)
		s.Phases[i].check(wrong, where)
		for j := range i {
			wrong(s.Phases[j].Name == s.Phases[i].Name, where+".name", "%q is the name of another phase", s.Phases[i].Name)
		}
		total += s.Phases[i].For
		wrong(total > maxScenarioTime, where+".for", "all phases together take more than %v", maxScenarioTime)
		most = max(most, s.Phases[i].Conns.From, s.Phases[i].Conns.To)
	}
	for i, t := range s.FailIf { // of which process is known later
		err := t.fits(measures{messages: true, handshakes: true, memory: true})
		wrong(err != nil, fmt.Sprintf("fail if[%d]", i), "%v", err)
	}
	wrong(most == 0, "phases[0].connections", "no phase has a connection: say how many there are, such as 100 or 0..500")
	if found == nil {
		return nil
	}
	return found
}

// check looks at one kind of message.
func (m *Message) check(wrong func(bad bool, where, format string, a ...any), where string) {
	checkName(wrong, where, m.Name)
	wrong(m.Weight < 0 || m.Weight > 1e6, where+".weight", "it is more than 0 and at most 1000000")
	wrong(m.Within < 0 || m.Within > maxWithin, where+".within", "it is more than 0 and at most %v", maxWithin)
	if m.Sizes == nil {
		wrong(len(m.Template.text) > 1<<20, where+".send", "a text is at most 1 MiB long")
		return
	}
	wrong(m.Sizes.Min < m.least(), where+".send.size", "a message needs %d bytes to be known again", m.least())
	wrong(m.Sizes.Max > maxScenarioSize, where+".send.size", "at most %d MiB", maxScenarioSize>>20)
}

// check looks at one phase.
func (p *Stage) check(wrong func(bad bool, where, format string, a ...any), where string) {
	checkName(wrong, where, p.Name)
	share := func(key string, v float64) {
		wrong(v <= 0 || v > 1, where+"."+key+".share", "it is more than 0%% and at most 100%%")
		wrong(p.Conns.From < 1, where+"."+key, "there are no connections at the beginning of this phase")
	}
	for i, t := range p.FailIf {
		err := t.fits(measures{messages: true})
		wrong(err != nil, fmt.Sprintf("%s.fail if[%d]", where, i), "%v", err)
	}
	wrong(p.For <= 0, where+".for", "it is more than 0")
	wrong(min(p.Conns.From, p.Conns.To) < 0 || max(p.Conns.From, p.Conns.To) > maxScenarioConn, where+".connections", "there are 0 to %d", maxScenarioConn)
	wrong(min(p.Rate.From, p.Rate.To) < 0 || max(p.Rate.From, p.Rate.To) > maxScenarioRate, where+".rate", "it is 0 to %d messages a second", maxScenarioRate)
	wrong(p.Rate != Span{} && p.Conns == Span{}, where+".rate", "there are no connections in this phase to send on")
	if p.Slow != nil {
		share("slow readers", p.Slow.Share)
		wrong(p.Slow.Rate < 0 || p.Slow.Rate > 1<<30, where+".slow readers.read", "it is nothing, or up to 1 GiB a second")
	}
	if p.Resets != 0 {
		share("resets", p.Resets)
	}
	if p.Reconnect != nil {
		share("reconnect", p.Reconnect.Share)
		wrong(p.Reconnect.Within < 0 || p.Reconnect.Within > maxWithin, where+".reconnect.within", "it is 0s to %v", maxWithin)
		wrong(p.Reconnect.Within > p.For, where+".reconnect.within", "it is longer than the phase (%v)", p.For)
	}
}

func checkName(wrong func(bad bool, where, format string, a ...any), where, name string) {
	wrong(name == "" || len(name) > maxNameLength, where+".name", "a name has 1 to %d bytes", maxNameLength)
}

func (p *Scenario) withDefaults() *Scenario {
	s := *p
	s.Messages = append([]Message(nil), p.Messages...)
	for i := range s.Messages {
		m := &s.Messages[i]
		if m.Weight == 0 {
			m.Weight = 1
		}
		if m.Within == 0 {
			m.Within = 5 * time.Second
		}
	}
	if s.Backoff == (Backoff{}) {
		s.Backoff = Backoff{100 * time.Millisecond, 5 * time.Second}
	}
	if s.Seed == 0 {
		s.Seed = newSeed()
	}
	return &s
}

// mostConns is how many connections are open at most.
func (p *Scenario) mostConns() int {
	most := 0.0
	for i := range p.Phases {
		most = max(most, p.Phases[i].Conns.From, p.Phases[i].Conns.To)
	}
	return int(most)
}

// mostRate is how many messages are sent in a second at most.
func (p *Scenario) mostRate() (most float64) {
	for i := range p.Phases {
		most = max(most, p.Phases[i].Rate.From, p.Phases[i].Rate.To)
	}
	return most
}

// Summary says in one line what the scenario is going to do.
func (s *Scenario) Summary() string {
	line := newTimeline(s.Phases)
	return fmt.Sprintf("%s in %v, up to %s, %s of messages, up to %.0f of them a second and about %.0f in all",
		plural(len(s.Phases), "phase"), line.end(), plural(s.mostConns(), "connection"), plural(len(s.Messages), "kind"), s.mostRate(), line.all)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Run implements Job.
func (s Scenario) Run(ctx context.Context, tell func(Progress)) (*Result, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	plan := s.withDefaults()
	result := &Result{Job: "run", Conns: plan.mostConns(), Sizes: plan.sizes(), Seed: plan.Seed}
	se, err := newSession(&plan.Target, plan.Loops, plan.mostConns(), result, tell)
	if err != nil {
		return nil, err
	}
	defer se.close()
	r := &scenarioRun{session: se, plan: plan, play: newPlay(plan)}
	r.play.crowd = newCrowd(r.play, se.fleet)
	if first := int(plan.Phases[0].Conns.From); first > 0 {
		r.play.crowd.begin(first)
		handler := func(i int) engine.Handler { return actorHandler{r.play, i} }
		if err := se.connect(ctx, first, Opening{AtOnce: dialsAtOnce}, handler); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return r.perform(ctx)
}
