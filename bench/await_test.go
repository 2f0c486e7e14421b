package bench

import (
	"context"
	"testing"
	"time"
)

func TestAwait(t *testing.T) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	never := func() bool { return false }
	looks := 0
	for name, c := range map[string]struct {
		ctx         context.Context
		grace       time.Duration
		through     func() bool
		least, most time.Duration
	}{
		"through at once":        {context.Background(), time.Hour, func() bool { return true }, 0, time.Minute},
		"through later":          {context.Background(), time.Hour, func() bool { looks++; return looks == 5 }, 4 * lookAgain, time.Minute},
		"never through":          {context.Background(), 5 * lookAgain, never, 5 * lookAgain, time.Minute},
		"stopped":                {over, time.Hour, never, hurry, time.Minute},
		"stopped, and soon over": {over, 5 * lookAgain, never, 5 * lookAgain, hurry},
	} {
		began := time.Now()
		await(c.ctx, c.grace, c.through)
		if took := time.Since(began); took < c.least || took > c.most {
			t.Errorf("%s: it took %v, and should take %v to %v", name, took, c.least, c.most)
		}
	}
	if looks != 5 {
		t.Errorf("it has looked %d times", looks)
	}
}
