package engine

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/simwire"
)

// simLivesPerSeed is how many lives share one simulated server.
const simLivesPerSeed = 250

// simMaxFailures is how many failures a world reports before it stops.
const simMaxFailures = 5

// simWorld is one run: a server on simulated loops, and the lives on it.
type simWorld struct {
	seed      uint64
	rng       *rand.Rand
	sim       *simwire.Sim
	srv       *Server
	cfg       Config
	endpoints []*simEndpoint
	lives     []*simLife
	open      []*simLife // between OnOpen and OnClose
	label     int
	pending   []func()        // workers on their way
	deflater  *codec.Deflater // of the peers
	failures  []string

	// how this world is
	http      bool          // with HandleHTTP
	cfgStalls bool          // the clock jumps
	cut       bool          // ends by a stop, not by a shutdown
	chatty    float64       // how likely a callback does one more thing
	gap       time.Duration // the most between the beginnings of two lives
	meddlers  int           // goroutines outside of the loops
	shutdown  int           // the life with which the shutdown begins; -1: after all
	inAdmit   bool          // it begins in Admit
	lateness  bool          // some messages have a deadline

	draining    bool
	drainedAt   time.Duration // when the shutdown began
	drainedIdle time.Duration // Stalled then
	over        bool
	since       map[*Conn]simSpan
}

// simEndpoint is an endpoint of a world.
type simEndpoint struct {
	Endpoint
	path string
}

// simSpan is how long a connection is in a phase that must end.
type simSpan struct {
	handshake bool
	queued    int // while the peer is let take it
	from      time.Duration
	stalled   time.Duration
}

func newSimWorld(seed uint64, log io.Writer) *simWorld {
	w := &simWorld{seed: seed, since: make(map[*Conn]simSpan), deflater: codec.NewDeflater(1)}
	// The settings come from a source of their own, because the Sim wants some.
	rng := rand.New(rand.NewPCG(seed, 0xc0ffee))
	pick := func(ds ...time.Duration) time.Duration { return ds[rng.IntN(len(ds))] }
	w.http = rng.IntN(8) == 0
	w.cfgStalls = rng.IntN(4) == 0
	w.cut = rng.IntN(5) == 0
	w.chatty = []float64{0, 0.2, 0.4, 0.6}[rng.IntN(4)]
	w.gap = pick(0, 100*time.Microsecond, 2*time.Millisecond, 30*time.Millisecond)
	w.meddlers = rng.IntN(3)
	w.shutdown = -1
	if rng.IntN(3) == 0 {
		w.shutdown = simLivesPerSeed/2 + rng.IntN(simLivesPerSeed/2)
		w.inAdmit = rng.IntN(2) == 0
	}
	cfg := Config{
		Loops:             1 + rng.IntN(3),
		MaxConns:          100000,
		HandshakeTimeout:  pick(1*time.Second, 3*time.Second, 15*time.Second),
		CloseTimeout:      pick(2*time.Second, 5*time.Second),
		MaxHandshakeBytes: []int{1 << 10, 4 << 10, 16 << 10}[rng.IntN(3)],
		ReadBuffer:        []int{1 << 10, 16 << 10, 256 << 10}[rng.IntN(3)],
		Logger:            slog.New(slog.DiscardHandler),
	}
	if rng.IntN(5) == 0 {
		cfg.MaxConns = 1 + rng.IntN(60)
	}
	var err error
	if w.cfg, err = cfg.withDefaults(); err != nil {
		panic(err)
	}
	w.lateness = rng.IntN(4) == 0
	for i := range 2 {
		w.endpoints = append(w.endpoints, &simEndpoint{path: fmt.Sprintf("/%c", 'a'+i), Endpoint: newSimEndpoint(rng)})
	}
	w.cfg.DrainWindow = pick(-1, 0, 300*time.Millisecond, 4*time.Second)
	w.sim = simwire.New(simwire.Options{
		Seed:       seed,
		Loops:      w.cfg.Loops,
		ReadBuffer: w.cfg.ReadBuffer,
		Interleave: []float64{0, 0.02, 0.1}[rng.IntN(3)],
		Stalls:     w.cfgStalls,
		Script:     w.script,
		Misuse:     func(what string) { w.failf("%s", what) },
		AfterTurn:  w.afterTurn,
		Log:        log,
	})
	w.rng = w.sim.Rand()
	return w
}

// newSimEndpoint gives settings at random.
func newSimEndpoint(rng *rand.Rand) Endpoint {
	pick := func(ds ...time.Duration) time.Duration { return ds[rng.IntN(len(ds))] }
	ep := Endpoint{
		PingInterval: pick(-1, -1, 500*time.Millisecond, 30*time.Second),
		PongTimeout:  pick(1*time.Second, 10*time.Second),
		IdleTimeout:  pick(0, 0, 0, 1*time.Second),
		MaxAge:       pick(0, 0, 0, 2*time.Second),
		MaxMessage:   []int64{1 << 10, 64 << 10, 200 << 10}[rng.IntN(3)],
		MaxFrames:    []int{3, 10, 1000}[rng.IntN(3)],
		MaxQueue:     []int{1 << 10, 32 << 10, 300 << 10, 1 << 20, 1 << 20}[rng.IntN(5)],
		WhenFull:     []FullPolicy{CloseSlow, CloseSlow, DropNewest, DropOldest, AskHandler}[rng.IntN(5)],
	}
	if rng.IntN(4) == 0 {
		ep.Workers = 1 + rng.IntN(3)
		if ep.WhenFull == AskHandler { // it may be asked during another callback, see FullHandler
			ep.WhenFull = DropOldest
		}
	}
	ep.Compression = newSimCompression(rng.IntN(8))
	if rng.IntN(3) == 0 {
		ep.HighWater = 1 + rng.IntN(ep.MaxQueue)
		ep.LowWater = rng.IntN(ep.HighWater) + 1
	}
	return ep
}

func (w *simWorld) failf(format string, args ...any) {
	if len(w.failures) < simMaxFailures {
		w.failures = append(w.failures, fmt.Sprintf("at %v: ", w.sim.Now())+fmt.Sprintf(format, args...))
	}
}

// run lives all lives and judges them.
func (w *simWorld) run() {
	w.srv = newServer(w.cfg, w.sim)
	w.srv.poison = true
	w.srv.readOn = 256
	w.srv.random = func(most time.Duration) time.Duration { return time.Duration(w.rng.Int64N(int64(most))) }
	for _, ep := range w.endpoints {
		h := simHandler{w}
		ep.Handler, ep.Admit = h, h.admit
		w.srv.Handle(ep.path, ep.Endpoint)
		if pool := w.srv.endpoints[ep.path].workers; pool != nil {
			pool.start = w.startWorker
		}
	}
	if w.http {
		w.srv.HandleHTTP(http.NotFoundHandler())
		defer w.srv.http.server.Close() //nolint:errcheck // nothing ever reached it
	}
	w.srv.started.Store(true)
	err := w.srv.serve()
	if (err != nil) != (w.cut && !w.draining) {
		w.failf("serve gives %v", err)
	}
	if len(w.failures) == 0 {
		w.judge()
	}
}

// script is the run as the simulation sees it.
func (w *simWorld) script(sim *simwire.Sim) {
	for i := range w.meddlers {
		w.meddle(time.Duration(1+i) * 700 * time.Microsecond)
	}
	at := time.Duration(0)
	for id := range simLivesPerSeed {
		l := &simLife{w: w, id: id, toPeer: make(map[string]*simLane), loop: -1}
		l.plan = w.newPlan(id)
		l.profile = w.newProfile(&l.plan)
		l.peer.l = l
		w.lives = append(w.lives, l)
		at += time.Duration(w.rng.Int64N(int64(w.gap) + 1))
		sim.After(at, l.peer.begin)
		if id == w.shutdown && !w.inAdmit {
			sim.After(at, w.beginDrain)
		}
	}
	w.runUntil(at + 10*time.Second)
	w.over = true
	if w.cut {
		w.runWorkers()
		return
	}
	w.beginDrain()
	w.runUntil(w.drainedAt + w.cfg.HandshakeTimeout + 2*w.cfg.CloseTimeout + 15*time.Second)
	w.runUntil(sim.Now() + time.Minute) // stalls may have eaten the time
	for limit := sim.Now() + 100*time.Hour; w.slowLeavers() > 0 && sim.Now() < limit && len(w.failures) == 0; {
		w.runUntil(sim.Now() + time.Minute)
	}
	w.runUntil(sim.Now() + time.Minute) // the last one has just left
}

// startWorker has a worker run at some other time, or at once when nothing else
// will happen any more.
func (w *simWorld) startWorker(work func()) {
	if w.over && w.cut {
		work()
		return
	}
	w.pending = append(w.pending, work)
	w.sim.After(time.Duration(w.rng.Int64N(int64(3*time.Millisecond))), func() {
		if len(w.pending) > 0 {
			next := w.pending[0]
			w.pending = w.pending[1:]
			next()
		}
	})
}

func (w *simWorld) runWorkers() {
	for len(w.pending) > 0 {
		next := w.pending[0]
		w.pending = w.pending[1:]
		next()
	}
}

func (w *simWorld) runUntil(t time.Duration) {
	for w.sim.Now() < t && len(w.failures) < simMaxFailures {
		if !w.sim.Step() {
			return
		}
		w.checkDrain()
	}
}

// meddle is a goroutine outside of the loops.
func (w *simWorld) meddle(pause time.Duration) {
	w.sim.After(time.Duration(w.rng.Int64N(int64(pause))), func() {
		if !w.over {
			w.outside()
			if len(w.open) == 0 {
				pause = 10 * time.Millisecond
			}
			w.meddle(pause)
		}
	})
}

// busyTime is the time in which the loops could run.
func (w *simWorld) busyTime() time.Duration { return w.sim.Now() - w.sim.Stalled() }

func (w *simWorld) beginDrain() {
	if !w.draining {
		w.draining = true
		w.drainedAt, w.drainedIdle = w.sim.Now(), w.sim.Stalled()
		w.srv.beginDrain()
	}
}

func (w *simWorld) anyOpen() *simLife {
	if len(w.open) == 0 {
		return nil
	}
	return w.open[w.rng.IntN(len(w.open))]
}

func (w *simWorld) dropOpen(l *simLife) {
	if i := slices.Index(w.open, l); i >= 0 {
		w.open = slices.Delete(w.open, i, i+1)
	}
}

func (w *simWorld) endpointOf(path string) *simEndpoint {
	for _, ep := range w.endpoints {
		if ep.path == path {
			return ep
		}
	}
	return w.endpoints[0]
}

func (w *simWorld) loopIndex(c *Conn) int { return slices.Index(w.srv.loops, c.loop) }
