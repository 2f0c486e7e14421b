package engine

import (
	"flag"
	"fmt"
	"io"
	"os"
	"testing"
)

var (
	simSeed  = flag.Uint64("sim.seed", 0, "live only the simulated lives of this seed")
	simLives = flag.Int("sim.lives", 0, "how many simulated lives; 0: 10000, under the race detector 2500")
	simLog   = flag.Bool("sim.log", false, "log every event of the simulation")
)

// TestSimLives lives thousands of connections on a simulated transport, with
// faults at random, and checks what can be seen of them from outside and from
// inside. A failure names its seed:
//
//	go test ./engine -run TestSimLives -sim.seed=N -sim.log
func TestSimLives(t *testing.T) {
	lives := *simLives
	switch {
	case lives > 0:
	case raceDetector:
		lives = 2500
	default:
		lives = 10000
	}
	first, last := uint64(1), uint64(max(1, lives/simLivesPerSeed))
	if *simSeed != 0 {
		first, last = *simSeed, *simSeed
	}
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			liveSeed(t, seed)
		})
	}
}

// liveSeed runs one world and gives it back.
func liveSeed(t *testing.T, seed uint64) *simWorld {
	t.Helper()
	var log io.Writer
	if *simLog {
		log = os.Stderr
	}
	w := newSimWorld(seed, log)
	w.run()
	for _, f := range w.failures {
		t.Errorf("seed %d, %s", seed, f)
	}
	if t.Failed() {
		t.Logf("replay: go test ./engine -run TestSimLives -sim.seed=%d -sim.log", seed)
	}
	return w
}

func TestSimReplays(t *testing.T) {
	for _, seed := range []uint64{7, 10} {
		one, two := liveSeed(t, seed), liveSeed(t, seed)
		if one.sim.Trace() != two.sim.Trace() {
			t.Errorf("seed %d: two runs differ, after %d and %d events", seed, one.sim.Steps(), two.sim.Steps())
		}
	}
}
