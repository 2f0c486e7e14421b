package bench

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestStartAt(t *testing.T) {
	url := serve(t, onMessage(echoes))
	plan := Echo{Target: Target{URL: url}, Conns: 2, Sizes: Sizes{Min: 20, Max: 20}, Rate: 100, Duration: 200 * time.Millisecond, Loops: 1}

	plan.StartAt = time.Now().Add(time.Second)
	var phases []string
	r, err := plan.Run(context.Background(), func(p Progress) { phases = append(phases, p.Phase) })
	if err != nil {
		t.Fatal(err)
	}
	if r.Counted.Before(plan.StartAt) || r.Counts.Sent == 0 {
		t.Errorf("it began at %v and was to begin at %v: %+v", r.Counted, plan.StartAt, r.Counts)
	}
	if r.Counted.Sub(plan.StartAt) < startTolerance && !strings.Contains(strings.Join(phases, ","), ",waiting for ") {
		t.Errorf("it did not tell that it waits: %q", phases)
	}

	plan.StartAt = time.Now().Add(-time.Minute)
	if r, err = plan.Run(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(r.Doubts, ","), "after --start-at") {
		t.Errorf("a late start is no doubt: %q", r.Doubts)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	plan.StartAt = time.Now().Add(time.Hour)
	if r, err = plan.Run(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a run that was ended while it waited: %v, %+v", err, r)
	}
}

// Ctrl-C before anything counts is no report of zeros.
func TestInterruptedInTheWarmUp(t *testing.T) {
	t.Parallel()
	at := Target{URL: serve(t, onMessage(echoes))}
	size := Sizes{Min: 40, Max: 40}
	for name, job := range map[string]Job{
		"echo":   Echo{Target: at, Sizes: size, Conns: 2, Rate: 50, Warmup: time.Hour, Duration: time.Second, Loops: 1},
		"search": Search{Target: at, Sizes: size, Conns: 2, SLO: slos(t, "p50<1s"), Warmup: time.Minute, Step: time.Second, Loops: 1},
		"storm":  Storm{Target: at, Rate: 20, Churn: true, Warmup: time.Hour, Duration: time.Second, Loops: 1},
		"fanout": Fanout{Target: at, Subscribers: 2, Publishers: 1, Rate: 20, Sizes: size, Settle: time.Millisecond, Warmup: time.Hour, Duration: time.Second, Loops: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := job.Check(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer time.AfterFunc(200*time.Millisecond, cancel).Stop()
			if r, err := job.Run(ctx, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("%v, %+v", err, r)
			}
			cancel()
		})
	}
}
