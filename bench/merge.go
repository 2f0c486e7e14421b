package bench

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/bench/host"
)

// Part is the result of one of several load testers that have run together.
type Part struct {
	Name   string // what it is called in the report
	Result *Result
}

// Origin is what a merged result remembers of a part.
type Origin struct {
	Name    string    `json:"name"`
	Started time.Time `json:"started"`
}

// Merge makes one result of what several load testers have measured together: counts and
// rates are added, histograms merged, and the seconds of their clocks added up. What is
// doubtful in a part is doubtful in the whole. So are the figures that only a fan-out has.
// Where all parts went through the same scenario, its phases and kinds of messages are one,
// and its conditions are judged anew. The other tables and plots are kept by part. Only an echo, a fan-out and a scenario can be divided among machines.
func Merge(parts []Part) (*Result, error) {
	if err := mergeable(parts); err != nil {
		return nil, err
	}
	first := parts[0].Result
	sum := &Result{
		Version: resultVersion, Job: first.Job, URL: first.URL, Started: first.Started,
		Sizes: first.Sizes, InFlight: first.InFlight, Machine: mergeMachines(parts),
		Latency: Histogram{newHistogram()}, Lag: Histogram{newHistogram()}, Handshake: Histogram{newHistogram()},
		Refused: map[string]uint64{}, Ended: map[string]uint64{},
		Fanout: mergeFanouts(parts),
	}
	sum.Counted, _ = first.counted()
	sum.mergeScenario(parts)
	for _, p := range parts {
		sum.take(p)
	}
	sum.Server = mergeServers(parts, sum)
	sum.Series = mergeSeries(parts, sum.Counted)
	own := []Table{partsTable(parts)}
	if f := sum.Fanout; f != nil {
		own = append(own, f.orders(sum), f.deliveries(sum))
		sum.Plots = append([]Plot{f.byPercentile(sum)}, sum.Plots...)
	}
	if len(sum.Phases) > 0 {
		own = append(own, sum.scenarioTables()...)
		sum.judge()
	}
	sum.Tables = append(own, sum.Tables...)
	sum.doubtParts(parts)
	return sum, nil
}

// mergeable says why parts cannot be one result.
func mergeable(parts []Part) error {
	if len(parts) < 2 {
		return errors.New("to merge are two results at least")
	}
	a := parts[0]
	if job := a.Result.Job; !slices.Contains([]string{"echo", "fanout", "run"}, job) {
		return fmt.Errorf("results of %s cannot be merged: only those of echo, fanout and run can", printable(job))
	}
	for _, b := range parts[1:] {
		for _, have := range []struct{ what, a, b string }{
			{"the job", a.Result.Job, b.Result.Job},
			{"the load", a.Result.Loop(), b.Result.Loop()},
			{"the version of wsbench", a.Result.Machine.Version, b.Result.Machine.Version},
		} {
			if have.a != have.b {
				return fmt.Errorf("they are no parts of one run: %s is %s in %s and %s in %s", have.what, printable(have.a), a.Name, printable(have.b), b.Name)
			}
		}
	}
	for i, b := range parts {
		for _, a := range parts[:i] {
			if a.Result.Started.Equal(b.Result.Started) && a.Result.Counts == b.Result.Counts {
				return fmt.Errorf("%s and %s are the same part", a.Name, b.Name)
			}
			if twice, ok := shared(a.origins(), b.origins()); ok {
				return fmt.Errorf("%s and %s both hold %s", a.Name, b.Name, printable(twice.Name))
			}
		}
	}
	if begin, end := overlap(parts); !begin.Before(end) {
		return errors.New("they are no parts of one run: there is no moment at which all of them counted (let them begin together with --start-at, and set their clocks)")
	}
	return nil
}

// origins are the runs that a part has measured: one, if it is not merged itself.
func (p Part) origins() []Origin {
	if len(p.Result.Parts) > 0 {
		return p.Result.Parts
	}
	return []Origin{{p.Name, p.Result.Started}}
}

// shared gives a run that is in both.
func shared(a, b []Origin) (Origin, bool) {
	for _, o := range b {
		if slices.ContainsFunc(a, func(x Origin) bool { return x.Started.Equal(o.Started) }) {
			return o, true
		}
	}
	return Origin{}, false
}

// overlap is when all parts counted.
func overlap(parts []Part) (begin, end time.Time) {
	for i, p := range parts {
		from, until := p.Result.counted()
		if i == 0 || from.After(begin) {
			begin = from
		}
		if i == 0 || until.Before(end) {
			end = until
		}
	}
	return begin, end
}

// counted is the part of a run that counts.
func (r *Result) counted() (from, until time.Time) {
	from = r.Counted
	if from.IsZero() {
		from = r.Started
	}
	return from, from.Add(seconds(r.Seconds))
}

// Loop says what kind of load it was: an open loop, or a closed one.
func (r *Result) Loop() string {
	if r.Rate > 0 {
		return "an open loop"
	}
	return "a closed loop"
}

// take adds a part.
func (r *Result) take(p Part) {
	q := p.Result
	r.Conns += q.Conns
	r.Opened += q.Opened
	r.Unasked += q.Unasked
	r.Parts = append(r.Parts, p.origins()...)
	r.Interrupted = r.Interrupted || q.Interrupted
	r.Rate += q.Rate
	r.Seconds = max(r.Seconds, q.Seconds)
	r.Counts.add(&q.Counts)
	r.Latency.merge(q.Latency)
	r.Lag.merge(q.Lag)
	r.Handshake.merge(q.Handshake)
	addReasons(r.Refused, q.Refused)
	addReasons(r.Ended, q.Ended)
	r.Client.Cores += q.Client.Cores
	r.Client.Loops += q.Client.Loops
	r.Client.Allowed += q.Client.Allowed
	r.Client.Memory += q.Client.Memory
	if q.Started.Before(r.Started) {
		r.Started = q.Started
	}
	if from, _ := q.counted(); from.Before(r.Counted) {
		r.Counted = from
	}
	for _, t := range q.Tables {
		if len(r.Phases) > 0 && isOfScenario(t) {
			continue // it is merged
		}
		t.Title = p.Name + ": " + t.Title
		r.Tables = append(r.Tables, t)
	}
	for _, x := range q.Plots {
		x.Title = p.Name + ": " + x.Title
		r.Plots = append(r.Plots, x)
	}
	for _, d := range q.Doubts {
		r.Doubts = append(r.Doubts, p.Name+": "+d)
	}
	for _, d := range q.Failed {
		if len(r.Phases) > 0 && q.hasConditions() {
			break // they are judged anew
		}
		r.Failed = append(r.Failed, p.Name+": "+d)
	}
}

func (h Histogram) merge(from Histogram) {
	if from.Histogram != nil {
		h.Merge(from.Histogram)
	}
}

func addReasons(to, from map[string]uint64) {
	for why, n := range from {
		to[why] += n
	}
}

// doubtParts looks at how well the parts go together.
func (r *Result) doubtParts(parts []Part) {
	say := func(format string, a ...any) { r.Doubts = append(r.Doubts, fmt.Sprintf(format, a...)) }
	begin, end := overlap(parts)
	if together := end.Sub(begin); together < seconds(0.95*r.Seconds) {
		say("the parts ran together for %v of %v only: their rates were never all there at once for the rest", Round(together), Round(seconds(r.Seconds)))
	}
	if all := distinct(parts, func(r *Result) string { return r.Sizes }); len(all) > 1 {
		say("the parts have sent messages of different sizes: %s", strings.Join(all, " and "))
	}
	if all := distinct(parts, func(r *Result) string { return fmt.Sprint(r.InFlight) }); len(all) > 1 {
		say("the parts have had different numbers in flight: %s", strings.Join(all, " and "))
	}
	if all := distinct(parts, func(r *Result) string { return r.URL }); len(all) > 1 {
		r.URL = strings.Join(all, " and ")
		say("the parts were run against different URLs: %s", r.URL)
	}
	if r.Job == "run" && len(r.Phases) == 0 {
		say("the parts have not gone through the same phases with the same messages: those of each stand apart")
	}
}

// distinct gives what there is, in the order of the parts.
func distinct(parts []Part, of func(*Result) string) (all []string) {
	for _, p := range parts {
		if s := of(p.Result); !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// mergeFanouts gives what only a fan-out has; nil if a part has none.
func mergeFanouts(parts []Part) *FanoutResult {
	sum := &FanoutResult{
		First: Histogram{newHistogram()}, Median: Histogram{newHistogram()}, Last: Histogram{newHistogram()}, Skew: Histogram{newHistogram()},
	}
	for i, p := range parts {
		f := p.Result.Fanout
		if f == nil {
			return nil
		}
		if i == 0 {
			sum.Preset = f.Preset
		}
		sum.Subscribers += f.Subscribers
		sum.Publishers += f.Publishers
		sum.Rooms = max(sum.Rooms, f.Rooms)
		sum.Complete += f.Complete
		sum.Incomplete += f.Incomplete
		sum.Expected += f.Expected
		sum.Conflated += f.Conflated
		sum.Gaps += f.Gaps
		sum.Unfinished += f.Unfinished
		sum.CutOff += f.CutOff
		sum.Strayed += f.Strayed
		sum.Other += f.Other
		sum.Refused += f.Refused
		sum.GaveUp += f.GaveUp
		sum.Refusal = cmp.Or(sum.Refusal, f.Refusal)
		sum.First.merge(f.First)
		sum.Median.merge(f.Median)
		sum.Last.merge(f.Last)
		sum.Skew.merge(f.Skew)
		sum.Slowest = append(sum.Slowest, f.Slowest...)
		sum.Missing = append(sum.Missing, f.Missing...)
	}
	sum.Slowest, sum.Missing = worstOf(sum.Slowest, sum.Missing)
	return sum
}

// mergeMachines gives the machine if there was one, else what there was in sum.
func mergeMachines(parts []Part) host.Machine {
	m := parts[0].Result.Machine
	if len(distinct(parts, func(r *Result) string { return fmt.Sprint(r.Machine) })) == 1 {
		return m
	}
	about := func(of func(*host.Machine) string) string {
		return strings.Join(distinct(parts, func(r *Result) string { return of(&r.Machine) }), ", ")
	}
	m.Processor = about(func(m *host.Machine) string { return m.Processor })
	m.Kernel = about(func(m *host.Machine) string { return m.Kernel })
	m.Go = about(func(m *host.Machine) string { return m.Go })
	m.Processors, m.Memory = 0, 0
	for _, p := range parts {
		m.Processors += p.Result.Machine.Processors
		m.Memory += p.Result.Machine.Memory
	}
	return m
}

// mergeServers gives what the server's processes have used, each counted once, for the
// messages and connections of all parts.
func mergeServers(parts []Part, sum *Result) *Usage {
	byPID := map[int]*Usage{}
	for _, p := range parts {
		u := p.Result.Server
		if u == nil {
			continue
		}
		have, ok := byPID[u.PID]
		if !ok {
			clone := *u
			byPID[u.PID] = &clone
			continue
		}
		have.Cores = max(have.Cores, u.Cores)
		have.Memory = max(have.Memory, u.Memory)
		have.MemoryBefore = min(have.MemoryBefore, u.MemoryBefore)
	}
	if len(byPID) == 0 {
		return nil
	}
	all := &Usage{}
	for _, u := range slices.SortedFunc(maps.Values(byPID), func(a, b *Usage) int { return cmp.Compare(a.PID, b.PID) }) {
		all.PID = cmp.Or(all.PID, u.PID)
		all.Cores += u.Cores
		all.Memory += u.Memory
		all.MemoryBefore += u.MemoryBefore
	}
	if sum.Counts.Received > 0 {
		all.MicrosPerMessage = all.Cores * sum.Seconds * 1e6 / float64(sum.Counts.Received)
	}
	if n := sum.Handshake.TotalCount(); n > 0 && all.Memory > all.MemoryBefore {
		all.MemoryPerConn = float64(all.Memory-all.MemoryBefore) / float64(n)
	}
	return all
}

// partsTable has a row for each part.
func partsTable(parts []Part) Table {
	t := Table{Title: "parts", Columns: []string{"part", "connections", "sent", "back", "/s", "p50", "p99", "max", "send lag p99", "client"}}
	for _, p := range parts {
		r := p.Result
		t.Rows = append(t.Rows, []string{
			p.Name, fmt.Sprint(r.Conns), fmt.Sprint(r.Counts.Sent), fmt.Sprint(r.Counts.Received), fmt.Sprintf("%.0f", r.Throughput()),
			fmt.Sprint(Round(r.Latency.At(50))), fmt.Sprint(Round(r.Latency.At(99))), fmt.Sprint(Round(r.Latency.At(100))),
			fmt.Sprint(Round(r.Lag.At(99))), fmt.Sprintf("%.2f of %d", r.Client.Cores, r.Client.Allowed),
		})
	}
	return t
}
