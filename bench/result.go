package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/headrace/headrace/bench/host"
)

// Result is what a run has measured. It goes to JSON and back.
type Result struct {
	Version int       `json:"version"` // of this format
	Job     string    `json:"job"`
	URL     string    `json:"url"`
	Started time.Time `json:"started"`
	Counted time.Time `json:"counted,omitzero"` // since when it counts

	Conns    int     `json:"conns"`  // asked for
	Opened   int     `json:"opened"` // of these, or in all where they come and go
	Sizes    string  `json:"sizes,omitempty"`
	Rate     float64 `json:"rate,omitempty"`     // asked for; 0: closed loop
	InFlight int     `json:"inFlight,omitempty"` // closed loop
	Seconds  float64 `json:"seconds"`            // that count

	Counts    Counts            `json:"counts"`
	Latency   Histogram         `json:"latency"`
	Lag       Histogram         `json:"lag"`       // from due to sent: the client's own lateness
	Handshake Histogram         `json:"handshake"` // of the connections
	Refused   map[string]uint64 `json:"refused,omitempty"`
	Ended     map[string]uint64 `json:"ended,omitempty"` // why connections have ended
	Series    []Point           `json:"series"`

	// What a scenario has besides.
	Seed      uint64    `json:"seed,omitempty"` // gives the same choices again
	Phases    []Phase   `json:"phases,omitempty"`
	Kinds     []Kind    `json:"kinds,omitempty"` // of messages
	Disturbed *OwnDoing `json:"disturbed,omitempty"`
	FailIf    []string  `json:"failIf,omitempty"`  // conditions of the whole; each phase has its own
	Unasked   uint64    `json:"unasked,omitempty"` // messages that answer none of ours

	Summary *Summary     `json:"summary,omitempty"` // what the text report says first, of a job that is not about messages
	Idle    *IdleResult  `json:"idle,omitempty"`
	Storm   *StormResult `json:"storm,omitempty"`

	Client   Client        `json:"client"`
	Server   *Usage        `json:"server,omitempty"` // if its process was looked at
	Machine  host.Machine  `json:"machine"`
	Fanout   *FanoutResult `json:"fanout,omitempty"`
	Search   *Found        `json:"search,omitempty"`   // job search
	Compare  *Compared     `json:"compare,omitempty"`  // job compare
	Findings []string      `json:"findings,omitempty"` // what the job has found, in words
	Failed   []string      `json:"failed,omitempty"`   // conditions of a scenario that hold, and what was to be found and was not
	Tables   []Table       `json:"tables,omitempty"`   // what the job has besides, for the reports
	Plots    []Plot        `json:"plots,omitempty"`
	Doubts   []string      `json:"doubts,omitempty"` // why the figures may not be the server's

	Interrupted bool     `json:"interrupted,omitempty"` // it was ended before its time
	Parts       []Origin `json:"parts,omitempty"`       // of what it was merged

	byChance bool // when messages are due
}

const resultVersion = 1

// Table is figures that only this job has, as they are shown.
type Table struct {
	Title   string     `json:"title"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

// Plot is a curve that only this job has.
type Plot struct {
	Title string `json:"title"`
	X     string `json:"x"` // what stands on the axis, with its unit
	Y     string `json:"y"`
	LogY  bool   `json:"logY,omitempty"`
	Lines []Line `json:"lines"`
}

// Line is one line of a Plot: points from left to right.
type Line struct {
	Name string    `json:"name"`
	X    []float64 `json:"x"`
	Y    []float64 `json:"y"`
}

// Point is one second of a run, or what is left of one. The last may be the time behind
// Result.Seconds, in which nothing was sent that counts: what came back late, and what was
// given up as lost.
type Point struct {
	At       float64 `json:"at"`      // its end, in seconds since the first that counts
	Seconds  float64 `json:"seconds"` // how long it was
	Sent     uint64  `json:"sent"`
	Received uint64  `json:"received"`
	P50      float64 `json:"p50"` // milliseconds
	P99      float64 `json:"p99"`
	Max      float64 `json:"max"`
	Conns    int     `json:"conns"`
	Errors   uint64  `json:"errors"`
}

// Client is the load tester's own part.
type Client struct {
	Cores   float64 `json:"cores"`   // processors in use, on average
	Loops   int     `json:"loops"`   // event loops
	Allowed int     `json:"allowed"` // processors that there are
	Memory  uint64  `json:"memory"`  // resident bytes at the end
}

// Histogram is an HdrHistogram of nanoseconds that goes to JSON in the compressed
// format that all of its implementations read (V2, base64).
type Histogram struct{ *hdrhistogram.Histogram }

// MarshalJSON implements json.Marshaler.
func (h Histogram) MarshalJSON() ([]byte, error) {
	if h.Histogram == nil {
		return []byte("null"), nil
	}
	b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, err
	}
	return json.Marshal(string(b))
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *Histogram) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		h.Histogram = nil
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if err := checkHistogram(s); err != nil {
		return fmt.Errorf("a histogram of the result cannot be read: %w", err)
	}
	decoded, err := hdrhistogram.Decode([]byte(s))
	if err != nil {
		return fmt.Errorf("a histogram of the result cannot be read: %w", err)
	}
	if decoded.TotalCount() > mostValues {
		return fmt.Errorf("a histogram of the result holds %d values", decoded.TotalCount())
	}
	h.Histogram = decoded
	return nil
}

// At gives a quantile from 0 to 100 as a time, 0 for an empty histogram.
func (h Histogram) At(quantile float64) time.Duration {
	if h.Histogram == nil || h.TotalCount() == 0 {
		return 0
	}
	return time.Duration(h.ValueAtQuantile(quantile))
}

// Throughput is how many messages came back in a second.
func (r *Result) Throughput() float64 {
	if r.Seconds == 0 {
		return 0
	}
	return float64(r.Counts.Received) / r.Seconds
}

// doubt looks at what the client itself did to the figures.
func (r *Result) doubt() {
	say := func(format string, a ...any) { r.Doubts = append(r.Doubts, fmt.Sprintf(format, a...)) }
	if lag, latency := r.Lag.At(99), r.Latency.At(99); lag > time.Millisecond && lag > latency/5 {
		of := ", and nothing came back"
		if latency > 0 {
			of = fmt.Sprintf(", of a p99 of %v", Round(latency))
		}
		say("the client sent late: 1 in 100 messages more than %v after it was due%s", Round(lag), of)
	}
	if use := r.Client.Cores; use > 0.85*float64(r.Client.Loops) && use > 0.85 {
		say("the client was busy: %.2f processors of %d loops", use, r.Client.Loops)
	}
	if r.Rate > 0 {
		due := r.Counts.Sent
		if r.Disturbed != nil { // what our own doing kept from being sent was due as well
			due += r.Disturbed.Counts.NotSent
		}
		if asked := r.Rate * r.Seconds; float64(due) < asked-r.chance(asked) {
			say("the rate asked for was not reached: %s of %s messages a second were sent", FormatRate(float64(due)/r.Seconds), FormatRate(r.Rate))
		}
	}
}

// chance is how many messages less than what was asked for say nothing: 2 %, one of each
// loop, which begins at a moment of its own, and three standard deviations where chance
// says when a message is due.
func (r *Result) chance(asked float64) float64 {
	few := max(0.02*asked, float64(r.Client.Loops))
	if r.byChance {
		few = max(few, 3*math.Sqrt(asked))
	}
	return few
}

// doubtOpened says that the load was on fewer connections than asked for.
func (r *Result) doubtOpened() {
	if n := r.Refusals(); float64(n) > 0.01*float64(r.Conns) {
		r.Doubts = append(r.Doubts, fmt.Sprintf("%d of %d connections were refused: the figures are of fewer than was asked for", n, r.Conns))
	}
}

// Interrupt notes that the run of a job was ended before its time.
func (r *Result) Interrupt(j Job) {
	r.Interrupted = true
	doubt := fmt.Sprintf("the run was interrupted after %.1f s", r.Seconds)
	if of := counts(j); of > 0 {
		doubt += fmt.Sprintf(" of %v", of)
	}
	r.Doubts = append([]string{doubt}, r.Doubts...)
}

// counts is how long the part of a job is that counts; 0: nobody knows before.
func counts(j Job) (all time.Duration) {
	switch p := j.(type) {
	case Echo:
		return p.Duration
	case Fanout:
		return p.Duration
	case Storm:
		return p.Duration
	case Idle:
		return p.Duration
	case *Scenario:
		return counts(*p)
	case Scenario:
		for i := range p.Phases {
			all += p.Phases[i].For
		}
	}
	return all
}

// Count is how many times there are.
func (h Histogram) Count() int64 {
	if h.Histogram == nil {
		return 0
	}
	return h.TotalCount()
}
