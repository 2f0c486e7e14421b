package main

import "slices"

const (
	ours    = "headrace"
	noRatio = 0.0
)

// jobResult is what the servers needed for one job.
type jobResult struct {
	Job     job
	Name    string
	Title   string
	Servers []*serverResult
	Best    string            `json:",omitempty"` // the other library in Go that needs the least
	Failed  map[string]string `json:",omitempty"` // why a server has not done it
}

// serverResult is what one server needed, round by round.
type serverResult struct {
	Name   string
	Family family
	Turns  []figuresOf
	Median figuresOf
	ToRaw  float64   `json:",omitempty"` // CPU over that of the raw echo, the median over rounds
	Ratios []float64 `json:",omitempty"` // the same, round by round
	ToBest float64   `json:",omitempty"` // of Headrace: over the best other library in Go
}

func (r *jobResult) of(name string) *serverResult {
	for _, s := range r.Servers {
		if s.Name == name {
			return s
		}
	}
	return nil
}

func (r *jobResult) add(c *contender, f figuresOf) {
	s := r.of(c.name)
	if s == nil {
		s = &serverResult{Name: c.name, Family: c.of}
		r.Servers = append(r.Servers, s)
	}
	s.Turns = append(s.Turns, f)
}

func (r *jobResult) failed(name string) bool {
	_, failed := r.Failed[name]
	return failed
}

// fail leaves a server out of the rest of a job.
func (r *jobResult) fail(c *contender, err error) {
	if r.Failed == nil {
		r.Failed = make(map[string]string)
	}
	r.Failed[c.name] = err.Error()
	r.Servers = slices.DeleteFunc(r.Servers, func(s *serverResult) bool { return s.Name == c.name })
}

// need is what is compared: CPU, or memory.
func (r *jobResult) need(f *figuresOf) float64 {
	if r.Job.Kind == kindMemory {
		return f.Idle
	}
	return f.ServerCPU
}

// sum takes the medians, and the ratios within rounds.
func (r *jobResult) sum() {
	raw := r.of(rawName)
	var best *serverResult
	for _, s := range r.Servers {
		s.Median = figuresOf{
			Messages: uint64(median(s.Turns, func(f *figuresOf) float64 { return float64(f.Messages) })),
			Seconds:  median(s.Turns, func(f *figuresOf) float64 { return f.Seconds }), ServerCPU: median(s.Turns, func(f *figuresOf) float64 { return f.ServerCPU }),
			Cores: median(s.Turns, func(f *figuresOf) float64 { return f.Cores }), P50: median(s.Turns, func(f *figuresOf) float64 { return f.P50 }),
			P99: median(s.Turns, func(f *figuresOf) float64 { return f.P99 }), P999: median(s.Turns, func(f *figuresOf) float64 { return f.P999 }),
			Idle: median(s.Turns, func(f *figuresOf) float64 { return f.Idle }), After: median(s.Turns, func(f *figuresOf) float64 { return f.After }),
			Collected: median(s.Turns, func(f *figuresOf) float64 { return f.Collected }),
		}
		if raw != nil {
			s.Ratios = r.ratios(s, raw)
			s.ToRaw = medianOf(s.Ratios)
		}
		if s.Family == familyGo && s.Name != ours && (best == nil || r.need(&s.Median) < r.need(&best.Median)) {
			best = s
		}
	}
	if us := r.of(ours); us != nil && best != nil {
		r.Best, us.ToBest = best.Name, medianOf(r.ratios(us, best))
	}
}

// ratios are of a to b, in each round that both have done.
func (r *jobResult) ratios(a, b *serverResult) (ratios []float64) {
	for i := range min(len(a.Turns), len(b.Turns)) {
		if under := r.need(&b.Turns[i]); under > 0 {
			ratios = append(ratios, r.need(&a.Turns[i])/under)
		}
	}
	return ratios
}

func median(turns []figuresOf, of func(*figuresOf) float64) float64 {
	values := make([]float64, len(turns))
	for i := range turns {
		values[i] = of(&turns[i])
	}
	return medianOf(values)
}

// medianOf gives noRatio for none.
func medianOf(values []float64) float64 {
	if len(values) == 0 {
		return noRatio
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
