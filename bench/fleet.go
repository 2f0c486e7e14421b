package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/engine"
)

// Opening says how connections are opened.
type Opening struct {
	// Rate is how many are opened in a second; zero means as fast as the server takes
	// them, AtOnce at a time (zero: 64).
	Rate   float64
	AtOnce int

	// StartAt is when the load begins, with its warm-up: the connections are opened
	// before, and wait. So several machines begin together. Zero, and a time that is
	// past, mean at once.
	StartAt time.Time
}

func (o *Opening) withDefaults() Opening {
	full := *o
	if full.AtOnce == 0 {
		full.AtOnce = 64
	}
	return full
}

func (o *Opening) check() error {
	if !isRate(o.Rate) || o.AtOnce < 0 {
		return fmt.Errorf("connections are opened at 0 to %d a second", int(maxRate))
	}
	return nil
}

// fleet is the connections of a run: the client that holds them, and what became of the
// attempts to open them. Safe from any goroutine.
type fleet struct {
	target *Target
	client *engine.Client

	mu        sync.Mutex
	opened    int // ever
	failed    int
	last      error // why the last attempt failed
	handshake Histogram
	refused   map[string]uint64 // by reason
}

// newFleet makes a client that has descriptors enough for so many connections at once.
func newFleet(t *Target, loops, conns int) (*fleet, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil && uint64(conns)+64 > limit.Cur {
		return nil, fmt.Errorf("%d connections need as many descriptors, and RLIMIT_NOFILE is %d: raise it (ulimit -n %d), or run several of this", conns, limit.Cur, conns+1000)
	}
	if err := t.checkPorts(conns); err != nil {
		return nil, err
	}
	client, err := engine.NewClient(engine.ClientConfig{
		Loops: loops, MaxConns: conns, HandshakeTimeout: t.DialTimeout, Logger: slog.New(slog.DiscardHandler),
		ShutdownTimeout: 2 * time.Second, StallTimeout: time.Hour,
	})
	if err != nil {
		return nil, err
	}
	return &fleet{target: t, client: client, handshake: Histogram{newHistogram()}, refused: make(map[string]uint64)}, nil
}

// dial opens connection i, whose callbacks go to h, and counts the attempt. Its
// handshake is charged with the time since due.
func (f *fleet) dial(ctx context.Context, i int, due time.Time, h engine.Handler) (*engine.Conn, error) {
	c, err := f.try(ctx, i, h)
	took := time.Since(due)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil { // else it is our own end
			f.failed++
			f.last = err
			f.refused[reason(err)]++
		}
		return nil, err
	}
	f.opened++
	record(f.handshake.Histogram, took)
	return c, nil
}

// try opens connection i without counting it. Its error has no secrets: a *dialError.
func (f *fleet) try(ctx context.Context, i int, h engine.Handler) (*engine.Conn, error) {
	d, err := f.client.Dialer(f.target.at(i), f.target.options(i, h))
	if err != nil {
		return nil, &dialError{err, f.target, i}
	}
	c, err := d.Dial(ctx)
	if err != nil {
		return nil, &dialError{err, f.target, i}
	}
	return c, nil
}

// open opens connections 0 to n-1. each, if not nil, is called about once a second. It
// fails when there is none.
func (f *fleet) open(ctx context.Context, n int, how Opening, handler func(i int) engine.Handler, each func(tried int)) error {
	how = how.withDefaults()
	var dialing sync.WaitGroup
	type attempt struct {
		i   int
		due time.Time
	}
	turns := make(chan attempt)
	for range min(how.AtOnce, n) {
		dialing.Go(func() {
			for a := range turns {
				_, _ = f.dial(ctx, a.i, a.due, handler(a.i))
			}
		})
	}
	began, told := time.Now(), time.Now()
	for i := 0; i < n && ctx.Err() == nil; i++ {
		due := time.Now()
		if how.Rate > 0 {
			due = began.Add(time.Duration(float64(i) / how.Rate * float64(time.Second)))
			sleepUntil(ctx, due)
		}
		select {
		case turns <- attempt{i, due}:
		case <-ctx.Done():
		}
		if each != nil && time.Since(told) > time.Second {
			told = time.Now()
			each(i)
		}
	}
	close(turns)
	dialing.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.opened == 0 {
		if f.last == nil {
			return context.Cause(ctx)
		}
		return errors.Join(context.Cause(ctx), f.last)
	}
	return nil
}

// toward gives a fleet of the same client that connects elsewhere, to absorb when it has.
func (f *fleet) toward(t *Target) *fleet {
	return &fleet{target: t, client: f.client, handshake: Histogram{newHistogram()}, refused: make(map[string]uint64)}
}

// absorb counts the attempts of more as its own. more must make none any longer.
func (f *fleet) absorb(more *fleet) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened += more.opened
	f.failed += more.failed
	f.handshake.Merge(more.handshake.Histogram)
	for why, n := range more.refused {
		f.refused[why] += n
	}
}

// sleepUntil returns at a time, or when ctx ends.
func sleepUntil(ctx context.Context, at time.Time) {
	wait := time.Until(at)
	if wait <= 0 {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// attempts is how many connections were opened so far, and how many attempts failed.
func (f *fleet) attempts() (opened, failed int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened, f.failed
}

// note takes the attempts into a result.
func (f *fleet) note(r *Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.Handshake, r.Refused = f.handshake, f.refused
}

// reason says in a few words why a connection was refused.
func reason(err error) string {
	if outOfPorts(err) {
		return noPorts
	}
	var refused *engine.HandshakeError
	if errors.As(err, &refused) {
		return fmt.Sprintf("answered with %d %s", refused.Response.StatusCode, http.StatusText(refused.Response.StatusCode))
	}
	conceal := func(text string) string { return text }
	if failed := (*dialError)(nil); errors.As(err, &failed) {
		conceal = func(text string) string { return failed.target.conceal(failed.i, text) }
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return conceal(err.Error())
}
