package bench

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// end closes what is left, and makes the result.
func (r *stormRun) end() (*Result, error) {
	r.close()
	r.late(r.with(r.job.lanes.rest()))
	s, res := r.storm, r.result
	s.Closing = Histogram{newHistogram()}
	for _, d := range r.job.lanes.all() {
		s.Closed, s.Unclean, s.Left = s.Closed+d.closed, s.Unclean+d.unclean, s.Left+d.left
		s.Closing.Merge(d.closing)
	}
	s.Dropped, s.MostOpen = r.lives.Dropped, int(r.job.most.Load())
	if s.Opened == 0 && s.Refused > 0 && s.Kinds[refusedByTCP]+s.Kinds[refusedOther] == s.Refused {
		return nil, fmt.Errorf("no handshake got through: %w", r.last)
	}
	if s.Asked == 0 {
		return nil, errors.New("the run was ended before it began to count")
	}
	res.Conns = s.MostOpen
	r.collect(r.counted)
	res.Counts, res.Latency, res.Lag, res.Ended = r.lives.Counts, Histogram{r.lives.latency}, r.lag, r.lives.reasons
	s.PerSecond = float64(s.Opened) / max(res.Seconds, 1e-9)
	r.doubtStorm()
	res.Summary = &Summary{Lines: s.lines(res), Latency: "echo", Lag: "start lag"}
	res.Tables = append(res.Tables, s.tables()...)
	res.Plots = append(res.Plots, stormPlots(res.Series)...)
	return res, nil
}

// doubtStorm looks for what is not the server's doing.
func (r *stormRun) doubtStorm() {
	s, res := r.storm, r.result
	say := func(format string, a ...any) { res.Doubts = append(res.Doubts, fmt.Sprintf(format, a...)) }
	if n := s.Kinds[refusedPorts]; n > 0 {
		say("%d handshakes found no local port: %s", n, portAdvice(len(r.plan.LocalAddrs)))
	}
	if n := s.Kinds[refusedFiles]; n > 0 {
		say("%d handshakes found no descriptor: raise RLIMIT_NOFILE (ulimit -n), or lower max-open and max-dialing", n)
	}
	for _, why := range slices.Sorted(maps.Keys(s.NotBegunFor)) {
		say("%d of %d handshakes were due and not begun: %s", s.NotBegunFor[why], s.Asked, why)
	}
	if lag, took := r.lag.At(99), res.Handshake.At(99); lag > time.Millisecond && lag > took/5 {
		say("the client began late: 1 in 100 handshakes more than %v after it was due, of a p99 of %v", Round(lag), Round(took))
	}
	if use := res.Client.Cores; use > 0.85*float64(res.Client.Allowed) {
		say("the client was busy: %.2f of %d processors", use, res.Client.Allowed)
	}
	if s.Interrupted > 0 {
		say("%d handshakes were given up: the run was ended", s.Interrupted)
	}
}

func (s *StormResult) lines(r *Result) []string {
	say := fmt.Sprintf
	how := say("closed loop, %d at once", s.AtOnce)
	if s.Rate > 0 {
		how = say("open loop, %.0f handshakes/s", s.Rate)
	}
	life := "connections stay open"
	switch {
	case s.Churn && s.Hold > 0:
		life = say("each connection makes one echo, and closes after %v", s.Hold)
	case s.Churn:
		life = "each connection makes one echo, and closes"
	case s.Hold > 0:
		life = say("each connection closes after %v", s.Hold)
	}
	all := []string{
		say("%s; %s; %.1f s counted", how, life, r.Seconds), "",
		say("handshakes  %d asked for: %d opened (%.0f /s), %d refused, %d not begun", s.Asked, s.Opened, s.PerSecond, s.Refused, s.NotBegun),
		say("connections %d closed by us, %d of ours not answered, %d dropped by the server, %d left open; %d at most at once", s.Closed, s.Unclean, s.Dropped, s.Left, s.MostOpen),
	}
	if c := r.Counts; s.Churn {
		all = append(all, say("echoes      %d sent, %d back, %d corrupt, %d lost", c.Sent, c.Received, c.Corrupt, c.Lost))
	}
	return all
}

func (s *StormResult) tables() (all []Table) {
	if s.Refused > 0 {
		t := Table{Title: "Refusals", Columns: []string{"kind", "handshakes", "of those asked for"}}
		for _, kind := range kinds {
			if n := s.Kinds[kind.name]; n > 0 {
				t.Rows = append(t.Rows, []string{kind.says, fmt.Sprint(n), share(n, s.Asked)})
			}
		}
		if a := s.RetryAfter; a != nil {
			t.Rows = append(t.Rows, []string{fmt.Sprintf("with Retry-After, %.0f to %.0f s", a.Min, a.Max), fmt.Sprint(a.Seen), share(a.Seen, s.Asked)})
		}
		all = append(all, t)
	}
	p := s.Ports
	t := Table{Title: "Local ports", Columns: []string{"", "number"}}
	t.Rows = append(t.Rows,
		[]string{"for one address of the server", fmt.Sprint(p.each() * p.Addresses)},
		[]string{"addresses that connections come from", fmt.Sprint(p.Addresses)})
	if p.WaitingBefore >= 0 && p.WaitingAfter >= 0 {
		t.Rows = append(t.Rows, []string{"sockets in TIME_WAIT on this machine, before and after", fmt.Sprintf("%d, %d", p.WaitingBefore, p.WaitingAfter)})
	}
	return append(all, t)
}

// kinds are what refusals are called.
var kinds = []struct{ name, says string }{
	{refusedByStatus, "answered, but not with 101"},
	{refusedByTCP, "TCP: nobody listens, or it hung up"},
	{refusedTimeout, "no answer in time"},
	{refusedByTLS, "TLS"},
	{refusedPorts, "no local port (this machine)"},
	{refusedFiles, "no descriptor (this machine)"},
	{refusedOther, "others"},
}

func share(n, of uint64) string { return fmt.Sprintf("%.2f %%", 100*float64(n)/float64(max(1, of))) }

// stormPlots draws the series.
func stormPlots(series []Point) []Plot {
	begun, opened, wrong, open := Line{Name: "begun"}, Line{Name: "opened"}, Line{Name: "refused, dropped or not begun"}, Line{Name: "open"}
	for _, p := range series {
		per := max(p.Seconds, 1e-3)
		begun.grow(p.At, float64(p.Sent)/per)
		opened.grow(p.At, float64(p.Received)/per)
		wrong.grow(p.At, float64(p.Errors)/per)
		open.grow(p.At, float64(p.Conns))
	}
	return []Plot{
		{Title: "Handshakes over time", X: "seconds", Y: "handshakes/s", Lines: []Line{begun, opened, wrong}},
		{Title: "Connections over time", X: "seconds", Y: "connections", Lines: []Line{open}},
	}
}
