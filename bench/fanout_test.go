package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

// relay is a server that sends each message to all others of the room: ?room= of the
// URL. to, if not nil, is how it sends one to a attendee, the n-th from 0 on.
type relay struct {
	to      func(m *attendee, n int, p []byte)
	said    func(m *attendee, p []byte) bool // true: the message is for the server only
	members []*attendee                      // of one loop
	loop    atomic.Pointer[engine.Loop]
}

type attendee struct {
	conn       *engine.Conn
	room, name string
	joined     bool
	n          int
	held       []byte
}

func (m *attendee) say(p []byte) { _ = m.conn.Reply(engine.Text, p) }

func (s *relay) endpoint() engine.Endpoint {
	return engine.Endpoint{
		Admit: func(r *engine.Request) error {
			r.SetUser(&attendee{room: r.Query().Get("room"), name: r.Query().Get("name"), joined: true})
			return nil
		},
		Handler: engine.HandlerFuncs{
			Open: func(c *engine.Conn) {
				m := c.User().(*attendee)
				m.conn = c
				s.loop.Store(c.Loop())
				s.members = append(s.members, m)
			},
			Message: func(c *engine.Conn, op engine.Op, p []byte) {
				if s.said != nil && s.said(c.User().(*attendee), p) {
					return
				}
				s.send(c.User().(*attendee), op, p)
			},
			Close: func(c *engine.Conn, _ engine.CloseInfo) {
				s.members = slices.DeleteFunc(s.members, func(m *attendee) bool { return m.conn == c })
			},
		},
	}
}

func (s *relay) send(from *attendee, op engine.Op, p []byte) {
	for _, m := range slices.Clone(s.members) {
		switch {
		case m == from || m.room != from.room || !m.joined:
		case s.to != nil && m.name != "":
			m.n++
			s.to(m, m.n-1, p)
		default:
			_ = m.conn.Reply(op, p)
		}
	}
}

// ample is how long a run waits at most for what comes in any case.
const ample = 30 * time.Second

// fanout runs a plan of 5 subscribers, named 0 to 4, if it says nothing else.
func fanout(t *testing.T, s *relay, p Fanout) *Result {
	t.Helper()
	r, err := tryFanout(t, s, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryFanout(t *testing.T, s *relay, p Fanout) (*Result, error) {
	t.Helper()
	url := serve(t, s.endpoint())
	p.URL = url
	if p.SubscribeURL == "" {
		p.SubscribeURL = url + "?name={i}"
	}
	if p.PublishURL != "" {
		p.PublishURL = url + p.PublishURL
	}
	if p.Subscribers == 0 {
		p.Subscribers = 5
	}
	if p.Sizes == (Sizes{}) {
		p.Sizes = Sizes{Min: fanStamp, Max: 200}
	}
	if p.Duration == 0 {
		p.Duration = 250 * time.Millisecond
	}
	p.Loops, p.Settle = 2, 50*time.Millisecond
	return p.Run(context.Background(), nil)
}

// whole says whether every publish has come to each of so many, once and in order.
func whole(r *Result, receivers uint64) error {
	f, c := r.Fanout, &r.Counts
	switch {
	case c.Sent == 0:
		return fmt.Errorf("nothing was sent")
	case c.Errors() != 0 || len(r.Refused) != 0:
		return fmt.Errorf("%+v, ended %v, refused %v", c, r.Ended, r.Refused)
	case c.Received != c.Sent*receivers || f.Expected != c.Received || f.Complete != c.Sent || f.Incomplete != 0 || f.Gaps != 0:
		return fmt.Errorf("of %d publishes to %d each: %+v", c.Sent, receivers, f)
	}
	for _, h := range []Histogram{f.First, f.Median, f.Last, f.Skew} {
		if h.TotalCount() != int64(c.Sent) {
			return fmt.Errorf("a histogram has %d of %d publishes", h.TotalCount(), c.Sent)
		}
	}
	if r.Latency.TotalCount() != int64(c.Received) || f.First.At(50) > f.Median.At(50) || f.Median.At(50) > f.Last.At(50) {
		return fmt.Errorf("latencies: %v %v %v of %d", f.First.At(50), f.Median.At(50), f.Last.At(50), r.Latency.TotalCount())
	}
	return nil
}

func TestFanoutOfAHealthyServer(t *testing.T) {
	inJSON := func(m *attendee, _ int, p []byte) {
		inner, _ := json.Marshal(map[string]string{"text": `"` + string(p) + `"`})
		outer, _ := json.Marshal(map[string]string{"event": string(inner)})
		m.say(outer)
	}
	for name, c := range map[string]struct {
		to        func(*attendee, int, []byte)
		plan      Fanout
		receivers uint64
	}{
		"constant":    {plan: Fanout{Rate: 500, Publishers: 3, Warmup: 200 * time.Millisecond}, receivers: 5},
		"poisson":     {plan: Fanout{Rate: 500, Poisson: true}, receivers: 5},
		"closed loop": {plan: Fanout{InFlight: 4, Publishers: 2}, receivers: 5},
		"binary":      {plan: Fanout{Rate: 200, Binary: true}, receivers: 5},
		"long":        {plan: Fanout{InFlight: 1, Sizes: Sizes{Min: 200 << 10, Max: 200 << 10}}, receivers: 5},
		"alone":       {plan: Fanout{Rate: 200, Subscribers: 1}, receivers: 1},
		"wrapped":     {to: inJSON, plan: Fanout{Rate: 300, Publish: `a {"s":"{stamp}"} {n} {i}`}, receivers: 5},
		"rooms":       {plan: Fanout{Rate: 500, Subscribers: 12, SubscribeURL: "?room={i%3}", PublishURL: "?room={i%3}"}, receivers: 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &relay{to: c.to}
			p := c.plan
			p.Grace, p.Patience = ample, ample
			if p.SubscribeURL != "" {
				url := serve(t, s.endpoint())
				p.SubscribeURL, p.PublishURL = url+p.SubscribeURL, url+p.PublishURL
				p.URL, p.Sizes, p.Duration, p.Loops = url, Sizes{Min: 100, Max: 100}, 250*time.Millisecond, 2
				r, err := p.Run(context.Background(), nil)
				if err != nil || whole(r, c.receivers) != nil || r.Fanout.Rooms != 3 || r.Fanout.Publishers != 3 {
					t.Fatalf("%v, %v: %+v", err, whole(r, c.receivers), r.Fanout)
				}
				return
			}
			r := fanout(t, s, p)
			if err := whole(r, c.receivers); err != nil {
				t.Error(err)
			}
			if p.Rate > 0 && !near(r.Counts.Sent, p.Rate*0.25, 0.4) {
				t.Errorf("%d were sent at %v a second", r.Counts.Sent, p.Rate)
			}
		})
	}
}

// What a server does wrong to one subscriber is found, in that number.
func TestFanoutFindsWhatIsWrong(t *testing.T) {
	const victim = 3
	for name, c := range map[string]struct {
		do    func(m *attendee, p []byte) // instead of sending 1 in 50 to the victim
		wrong func(r *Result) uint64
		lost  bool // it does not come as well
	}{
		"dropped": {func(*attendee, []byte) {}, func(r *Result) uint64 { return r.Fanout.Gaps + r.Fanout.Unfinished }, true},
		"doubled": {func(m *attendee, p []byte) { m.say(p); m.say(p) }, func(r *Result) uint64 { return r.Counts.Duplicated }, false},
		"corrupt": {func(m *attendee, p []byte) { p = slices.Clone(p); p[len(p)-1] ^= 1; m.say(p) }, func(r *Result) uint64 { return r.Counts.Corrupt }, true},
		"reordered": {func(m *attendee, p []byte) { m.held = slices.Clone(p) }, func(r *Result) uint64 {
			return r.Counts.Reordered + r.Fanout.Unfinished // what is held at the end never comes
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var done atomic.Uint64
			r := fanout(t, &relay{to: func(m *attendee, n int, p []byte) {
				if m.name == fmt.Sprint(victim) && n%50 == 7 {
					done.Add(1)
					c.do(m, p)
					return
				}
				m.say(p)
				if m.held != nil {
					m.say(m.held)
					m.held = nil
				}
			}}, Fanout{Rate: 1000, Sizes: Sizes{Min: 100, Max: 100}, Grace: time.Second})
			n := done.Load()
			if got := c.wrong(r); n < 3 || got != n {
				t.Errorf("%d are found, want %d: %+v %+v", got, n, r.Counts, r.Fanout)
			}
			f := r.Fanout
			if c.lost && (r.Counts.Lost != n || f.Incomplete != n || r.Counts.Received != f.Expected-n || f.Missing[0].Number != victim || f.Missing[0].Missed != n || len(f.Missing) != 1) {
				t.Errorf("%d are missing: %+v %+v", n, r.Counts, f)
			}
			if !c.lost && r.Counts.Lost != f.Unfinished {
				t.Errorf("%d are lost", r.Counts.Lost)
			}
		})
	}
}

func TestFanoutNamesTheSlow(t *testing.T) {
	t.Parallel()
	const delay = 300 * time.Millisecond
	r := fanout(t, &relay{to: func(m *attendee, _ int, p []byte) {
		if m.name != "3" {
			m.say(p)
			return
		}
		p = slices.Clone(p)
		time.AfterFunc(delay, func() { _ = m.conn.Send(engine.Text, p) })
	}}, Fanout{Rate: 100, Duration: 800 * time.Millisecond, Grace: ample})
	f := r.Fanout
	// AfterFunc calls on goroutines of their own, so their order is not sure.
	if r.Counts.Lost != 0 || f.Skew.At(50) < delay/2 || f.Last.Min() < int64(delay)*99/100 || f.Slowest[0].Number != 3 || f.Slowest[0].P50 < 300 {
		t.Errorf("skew %v, last %v, slowest %+v, %+v", f.Skew.At(50), f.Last.Min(), f.Slowest, r.Counts)
	}
	limit, _ := ParseThreshold("last-p50>200ms")
	if crossed, is := limit.Crossed(r); !crossed {
		t.Error(is)
	}
	limit, _ = ParseThreshold("median-p50>55s")
	if crossed, is := limit.Crossed(r); crossed {
		t.Error(is)
	}
}

// A server that leaves out older messages explains as many gaps as it says, and no more.
func TestFanoutConflated(t *testing.T) {
	for name, says := range map[string]int{"as many": 4, "one too few": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := fanout(t, &relay{to: func(m *attendee, n int, p []byte) {
				if n%5 == 4 {
					m.say(fmt.Appendf(nil, `{"skipped": %d,"data":"%s"}`, says, p))
				}
			}}, Fanout{Rate: 1000, Publishers: 2, Skipped: `"skipped":`, Grace: 500 * time.Millisecond})
			f := r.Fanout
			short := r.Counts.Received * uint64(4-says)
			if r.Counts.Received < 50 || f.Conflated != r.Counts.Received*uint64(says) || f.Expected < 5*r.Counts.Received {
				t.Errorf("%+v %+v", r.Counts, f)
			}
			// Up to 4 for each subscriber are left out when the last comes, and those may be of either publisher.
			if rest := f.Expected - 5*r.Counts.Received; rest > 4*5 || r.Counts.Lost != short+rest || f.Gaps+f.Unfinished != r.Counts.Lost {
				t.Errorf("%d left, %d explained too few: %+v %+v", rest, short, r.Counts, f)
			}
		})
	}
}

func TestFanoutOfAnotherRoom(t *testing.T) {
	t.Parallel()
	r := fanout(t, &relay{}, Fanout{Rate: 300, Subscribers: 6, Rooms: 2, Grace: ample})
	// The server knows of no rooms, so each publish comes to 3 that expect it and 3 that don't.
	if f := r.Fanout; f.Complete != r.Counts.Sent || f.Strayed != 3*r.Counts.Sent || r.Counts.Corrupt != f.Strayed || r.Counts.Lost != 0 {
		t.Errorf("%+v %+v", r.Counts, f)
	}
}

// joins is a server of which one must ask to be a attendee, with "join".
func joins(answer string) *relay {
	return &relay{said: func(m *attendee, p []byte) bool {
		if string(p) != "join "+m.name {
			return false
		}
		if answer != "" {
			m.say([]byte(answer))
		}
		m.joined = true
		return true
	}}
}

func TestFanoutWaitsForAcks(t *testing.T) {
	t.Parallel()
	ack, _ := ParsePattern("/^welcome [a-z]+$/")
	plan := Fanout{Rate: 300, Subscribe: []string{"join {i}"}, Ack: ack, AckTimeout: ample, Grace: ample}
	if err := whole(fanout(t, joins("welcome friend"), plan), 5); err != nil {
		t.Error(err)
	}
	for answer, want := range map[string]string{
		"":       "5 of 5 subscribers had no answer that holds /^welcome [a-z]+$/ within 100ms of the last connection; none got any message",
		"go off": "the first message that one got instead is go off",
	} {
		plan.AckTimeout = 100 * time.Millisecond
		if answer != "" {
			plan.AckTimeout = 3 * time.Second // it comes for sure
		}
		if _, err := tryFanout(t, joins(answer), plan); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", answer, err)
		}
	}
	plan.AckTimeout = ample
	plan.Refused, _ = ParsePattern("go")
	if _, err := tryFanout(t, joins("go off"), plan); err == nil || !strings.Contains(err.Error(), "refused to subscribe: go off") {
		t.Error(err)
	}
	closes := &relay{said: func(m *attendee, _ []byte) bool { return m.conn.Close(engine.ClosePolicyViolation, "no") == nil }}
	if _, err := tryFanout(t, closes, plan); err == nil || !strings.Contains(err.Error(), "before it was ready: closed with 1008") {
		t.Error(err)
	}
}

// A subscriber that the server closes takes nothing from the others.
func TestFanoutOfAnEndedSubscriber(t *testing.T) {
	t.Parallel()
	r := fanout(t, &relay{to: func(m *attendee, n int, p []byte) {
		if m.name == "2" && n == 20 {
			_ = m.conn.Close(engine.CloseTryAgainLater, "too slow")
			return
		}
		m.say(p)
	}}, Fanout{InFlight: 1, Patience: 300 * time.Millisecond, Duration: time.Second, Grace: time.Second})
	f := r.Fanout
	if r.Counts.Dropped != 1 || r.Ended["closed with 1013 too slow"] != 1 || f.Gaps != 0 || f.Unfinished != 0 || f.CutOff < 1 || r.Counts.Lost != f.CutOff {
		t.Errorf("%+v %+v ended %v", r.Counts, f, r.Ended)
	}
	for _, s := range f.Slowest {
		if s.Number == 2 && (!s.Ended || s.Received != 20) || s.Number != 2 && (s.Ended || s.Received != r.Counts.Sent || s.Missed != 0) {
			t.Errorf("of %d: %+v", r.Counts.Sent, s)
		}
	}
	if f.Complete+f.Incomplete != r.Counts.Sent || f.Incomplete < 1 || f.Complete <= 20 {
		t.Errorf("%d complete, %d not", f.Complete, f.Incomplete)
	}
}

// A closed loop goes on when a publish does not reach everybody, and says so.
func TestFanoutClosedLoopGivesUp(t *testing.T) {
	t.Parallel()
	r := fanout(t, &relay{to: func(m *attendee, n int, p []byte) {
		if m.name != "1" || n != 10 {
			m.say(p)
		}
	}}, Fanout{Patience: 200 * time.Millisecond, Duration: 2 * time.Second, Grace: 500 * time.Millisecond})
	if f := r.Fanout; f.GaveUp < 1 || f.Gaps != 1 || r.Counts.Sent < 12 || f.Incomplete < 1 || !strings.Contains(fmt.Sprint(r.Doubts), "in vain for") {
		t.Errorf("%+v %+v %v", r.Counts, f, r.Doubts)
	}
}

// Whoever stops a run early has what was measured.
func TestFanoutEndsEarly(t *testing.T) {
	t.Parallel()
	url := serve(t, (&relay{}).endpoint())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	plan := Fanout{
		Target: Target{URL: url}, Subscribers: 3, Sizes: Sizes{Min: 50, Max: 50}, Rate: 300, Duration: time.Hour,
		Settle: time.Millisecond, Loops: 1, Grace: ample,
	}
	r, err := plan.Run(ctx, func(p Progress) {
		if p.Sent > 0 {
			cancel()
		}
	})
	if err == nil {
		err = whole(r, 3)
	}
	if err != nil {
		t.Error(err)
	}
	if _, err := plan.Run(canceled(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
