package bench

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/headrace/headrace/bench/host"
)

// Memory is what a server needs for connections that do nothing.
type Memory struct {
	Source string `json:"source"` // where it was looked up: a process, or metrics

	Before uint64 `json:"before"` // resident bytes without a connection of ours
	With   uint64 `json:"with"`   // at the last look at which the most were open
	Conns  int    `json:"conns"`  // how many that were
	After  uint64 `json:"after"`  // when all had been closed for a moment; 0: nobody has looked

	// PerConn is With less Before, for each of Conns. It is coarse for few connections:
	// resident memory comes in pages, and has the buffers, the garbage and the reserves
	// of the server in it.
	PerConn float64 `json:"perConn"`
	// Slope is the same by least squares over the looks while connections were opened,
	// so without what the first ones cost. Fit is how much of the growth it explains
	// (R²): 0 to 1. Both are 0 where there were less than five looks.
	Slope float64 `json:"slope"`
	Fit   float64 `json:"fit"`
}

// look is one look at the server.
type look struct {
	at       time.Duration // since the run began
	conns    int           // that we have open
	resident uint64
	gauge    float64 // connections by the server's own count; negative: it does not say
}

// memorySource says how much memory a server has.
type memorySource interface {
	look(ctx context.Context) (resident uint64, gauge float64, err error)
	name() string
	grain() time.Duration // how often it may be asked
}

// processMemory looks at a process of this machine.
type processMemory struct{ host.Process }

func (p processMemory) look(context.Context) (uint64, float64, error) {
	resident, err := p.Resident()
	return resident, -1, err
}

func (p processMemory) name() string       { return fmt.Sprintf("process %d", p.PID()) }
func (processMemory) grain() time.Duration { return 50 * time.Millisecond }

// looker looks at the server every now and then, from a goroutine of its own. Safe from
// any goroutine.
type looker struct {
	source memorySource // nil: only our own connections are counted
	conns  func() int
	began  time.Time

	mu    sync.Mutex
	looks []look
	every time.Duration
	err   error // of the last look that went wrong
}

// mostLooks bounds what is kept: then every other look is dropped, and they become half
// as frequent.
const mostLooks = 2000

func newLooker(source memorySource, began time.Time, conns func() int) *looker {
	l := &looker{source: source, conns: conns, began: began, every: 50 * time.Millisecond}
	if source != nil {
		l.every = source.grain()
	}
	return l
}

// look looks once. What it cannot see is left out.
func (l *looker) look(ctx context.Context) {
	one := look{gauge: -1}
	before := l.conns()
	if l.source != nil {
		resident, gauge, err := l.source.look(ctx)
		if err != nil {
			l.mu.Lock()
			l.err = err
			l.mu.Unlock()
			return
		}
		one.resident, one.gauge = resident, gauge
	}
	one.at, one.conns = time.Since(l.began), (before+l.conns())/2
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looks = append(l.looks, one)
	if len(l.looks) >= mostLooks {
		n := 0
		for i := 0; i < len(l.looks); i += 2 {
			l.looks[n] = l.looks[i]
			n++
		}
		l.looks = l.looks[:n]
		l.every *= 2
	}
}

// run looks until ctx ends.
func (l *looker) run(ctx context.Context) {
	for ctx.Err() == nil {
		l.look(ctx)
		l.mu.Lock()
		every := l.every
		l.mu.Unlock()
		sleepUntil(ctx, time.Now().Add(every))
	}
}

// all gives what was seen, and the last error.
func (l *looker) all() ([]look, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.looks), l.err
}

// memoryOf makes the figures of looks, the first of which was before any connection.
// opened is when the last connection was opened.
func memoryOf(looks []look, opened time.Duration) *Memory {
	if len(looks) < 2 {
		return nil
	}
	m := &Memory{Before: looks[0].resident}
	var ramp []look
	for _, k := range looks {
		if k.conns >= m.Conns {
			m.Conns, m.With = k.conns, k.resident
		}
		if k.at <= opened {
			ramp = append(ramp, k)
		}
	}
	if m.Conns > 0 {
		m.PerConn = (float64(m.With) - float64(m.Before)) / float64(m.Conns)
	}
	if len(ramp) >= leastLooks {
		m.Slope, m.Fit = leastSquares(ramp)
	}
	return m
}

// leastLooks is how many a slope needs.
const leastLooks = 5

// leastSquares gives bytes for each connection, and how well that fits (R²).
func leastSquares(looks []look) (slope, fit float64) {
	var meanX, meanY, xx, xy, yy float64
	n := float64(len(looks))
	for _, k := range looks {
		meanX += float64(k.conns) / n
		meanY += float64(k.resident) / n
	}
	for _, k := range looks {
		x, y := float64(k.conns)-meanX, float64(k.resident)-meanY
		xx, xy, yy = xx+x*x, xy+x*y, yy+y*y
	}
	if xx == 0 || yy == 0 {
		return 0, 0
	}
	return xy / xx, math.Min(1, xy*xy/(xx*yy))
}
