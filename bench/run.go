package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/engine"
)

// Progress is what a run tells about once a second.
type Progress struct {
	Phase    string // connecting, warming up, measuring, waiting for what is on its way
	Done     float64
	Conns    int
	Refused  int
	Sent     uint64
	Received uint64
	P50, P99 time.Duration // of the last second
	Max      time.Duration
	Errors   uint64
}

// Run carries the plan out. tell, if not nil, is called about once a second. When ctx
// ends, the run ends early, with what was measured.
func (p Echo) Run(ctx context.Context, tell func(Progress)) (*Result, error) {
	plan, err := p.withDefaults()
	if err != nil {
		return nil, err
	}
	if tell == nil {
		tell = func(Progress) {}
	}
	client, err := newClient(plan.Loops, plan.Conns, plan.DialTimeout)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	r := &echoRun{plan: &plan, tell: tell, client: client, result: &Result{
		Version: 1, Job: "echo", URL: plan.URL, Started: time.Now(), Conns: plan.Conns, Sizes: plan.Sizes.String(),
		Rate: plan.Rate, InFlight: plan.InFlight,
		Handshake: Histogram{newHistogram()}, Refused: make(map[string]uint64),
	}}
	r.job = &echoJob{
		content: newContent(plan.op(), plan.Sizes.Max), sizes: plan.Sizes, depth: plan.InFlight,
		began: time.Now(), drivers: make(map[*engine.Loop]*loopDriver),
	}
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	r.measure(ctx)
	return r.result, nil
}

// newClient makes a client that has descriptors enough.
func newClient(loops, conns int, handshake time.Duration) (*engine.Client, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil && uint64(conns)+64 > limit.Cur {
		return nil, fmt.Errorf("%d connections need as many descriptors, and RLIMIT_NOFILE is %d: raise it (ulimit -n %d), or run several of this", conns, limit.Cur, conns+1000)
	}
	return engine.NewClient(engine.ClientConfig{
		Loops: loops, MaxConns: conns, HandshakeTimeout: handshake, Logger: slog.New(slog.DiscardHandler),
		ShutdownTimeout: 2 * time.Second, StallTimeout: time.Hour,
	})
}

// echoRun is a run under way.
type echoRun struct {
	plan   *Echo
	tell   func(Progress)
	client *engine.Client
	job    *echoJob
	result *Result
	total  *recorder
}

// connect opens the connections. It fails when there is none.
func (r *echoRun) connect(ctx context.Context) error {
	p := r.plan
	var mu sync.Mutex
	open, refused, next := 0, 0, 0
	var last error
	var dialing sync.WaitGroup
	pace := time.NewTicker(time.Hour)
	if p.ConnectRate > 0 {
		pace = time.NewTicker(seconds(1 / p.ConnectRate))
	}
	defer pace.Stop()
	turns := make(chan int)
	for range min(p.ConnectAtOnce, p.Conns) {
		dialing.Go(func() {
			for i := range turns {
				began := time.Now()
				err := r.dial(ctx, i)
				mu.Lock()
				if err != nil {
					refused++
					last = err
					r.result.Refused[reason(err)]++
				} else {
					open++
					record(r.result.Handshake.Histogram, time.Since(began))
				}
				mu.Unlock()
			}
		})
	}
	told := time.Now()
	for ; next < p.Conns && ctx.Err() == nil; next++ {
		if p.ConnectRate > 0 {
			select {
			case <-pace.C:
			case <-ctx.Done():
			}
		}
		turns <- next
		if time.Since(told) > time.Second {
			told = time.Now()
			mu.Lock()
			r.tell(Progress{Phase: "connecting", Done: float64(next) / float64(p.Conns), Conns: open, Refused: refused})
			mu.Unlock()
		}
	}
	close(turns)
	dialing.Wait()
	if open == 0 {
		return errors.Join(context.Cause(ctx), last)
	}
	return nil
}

func (r *echoRun) dial(ctx context.Context, i int) error {
	d, err := r.client.Dialer(r.plan.at(i), r.plan.options(i, connHandler{r.job, uint32(i)}))
	if err != nil {
		return err
	}
	_, err = d.Dial(ctx)
	return err
}

// reason says in a few words why a connection was refused.
func reason(err error) string {
	var refused *engine.HandshakeError
	if errors.As(err, &refused) {
		return "answered with " + refused.Response.Status
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

// measure sends, and collects what comes back.
func (r *echoRun) measure(ctx context.Context) {
	p, j := r.plan, r.job
	start := j.now() + 10*time.Millisecond
	from, until := start+p.Warmup, start+p.Warmup+p.Duration
	j.from.Store(int64(from))
	j.until.Store(int64(until))
	r.pace(start)
	stop := make(chan struct{})
	var driving sync.WaitGroup
	driving.Go(func() { j.drive(p.Rate > 0, stop) })
	r.total = newRecorder()
	cores := r.watch(ctx, from, until)
	j.until.Store(min(j.until.Load(), int64(j.now()))) // if ctx has ended
	r.await()
	close(stop)
	driving.Wait()
	_ = r.client.Close() // what has not come back by now is lost
	for _, d := range j.order {
		r.total.add(d.rec)
	}
	r.finish(max(0, time.Duration(j.until.Load())-from), cores)
}

// watch collects what the loops have measured, a second at a time, until the end. It
// gives the processors that the client has used in the part that counts.
func (r *echoRun) watch(ctx context.Context, from, until time.Duration) (cores float64) {
	cpu := startCPU()
	counting := false
	for at := r.job.now(); at < until && ctx.Err() == nil; at = r.job.now() {
		if !counting && at >= from {
			counting, cpu = true, startCPU()
		}
		wait := min(time.Second, until-at)
		if !counting {
			wait = min(wait, from-at)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		r.note(counting, from, until)
	}
	return cpu.cores()
}

// note takes in what was measured since the last call.
func (r *echoRun) note(counting bool, from, until time.Duration) {
	rec := r.job.takeRecorders()
	now := r.job.now()
	progress := Progress{
		Phase: "warming up", Done: float64(now) / float64(until), Conns: r.client.Connections(),
		P50: Histogram{rec.latency}.At(50), P99: Histogram{rec.latency}.At(99), Max: Histogram{rec.latency}.At(100),
	}
	r.total.add(rec)
	if counting {
		progress.Phase = "measuring"
		progress.Done = float64(now-from) / float64(until-from)
		ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
		r.result.Series = append(r.result.Series, Point{
			At: (now - from).Seconds(), Sent: rec.Sent, Received: rec.Received, Conns: progress.Conns, Errors: rec.Errors(),
			P50: ms(progress.P50), P99: ms(progress.P99), Max: ms(progress.Max),
		})
	}
	progress.Sent, progress.Received, progress.Errors = r.total.Sent, r.total.Received, r.total.Errors()
	r.tell(progress)
}

// isThrough says whether everything that was due is sent. What was sent is in the
// recorders that are taken after.
func (r *echoRun) isThrough() bool {
	for _, d := range r.job.order {
		if r.plan.Rate > 0 && !d.through.Load() {
			return false
		}
	}
	return true
}

// await gives messages that are on their way some time to come back.
func (r *echoRun) await() {
	for end := time.Now().Add(r.plan.Grace); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		through := r.isThrough()
		r.total.add(r.job.takeRecorders())
		if through && r.total.Received+r.total.Lost >= r.total.Sent {
			return
		}
	}
}

// finish makes the result.
func (r *echoRun) finish(counted time.Duration, cores float64) {
	res := r.result
	res.Seconds = counted.Seconds()
	res.Counts, res.Ended = r.total.Counts, r.total.reasons
	res.Latency, res.Lag = Histogram{r.total.latency}, Histogram{r.total.lag}
	res.Client = Client{Cores: cores, Loops: len(r.job.order), Allowed: runtime.NumCPU()}
	res.doubt()
}

// pace gives each loop its part of the rate.
func (r *echoRun) pace(start time.Duration) {
	p, all := r.plan, 0
	for _, d := range r.job.order {
		all += int(d.open.Load())
	}
	for i, d := range r.job.order {
		if p.Rate == 0 {
			continue
		}
		rate := max(p.Rate*float64(d.open.Load())/float64(all), 1e-3)
		d.pacer = Constant{rate}
		if p.Poisson {
			d.pacer = Poisson{rate, rand.New(rand.NewPCG(uint64(i), 2))}
		}
		d.next = start + seconds(rand.Float64()/rate)
	}
}
