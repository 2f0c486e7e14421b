package bench

import (
	"context"
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
	if r, err = plan.Run(ctx, nil); err != nil || r.Counts.Sent != 0 {
		t.Errorf("a run that was ended while it waited: %v, %+v", err, r)
	}
}
