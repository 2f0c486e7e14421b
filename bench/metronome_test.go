package bench

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A loop that sends what is due whenever it is woken is woken for every message, after
// it was due, and not much more often than there are messages.
func TestMetronomeWakesForWhatIsDue(t *testing.T) {
	for name, pacer := range map[string]Pacer{
		"constant": Constant{200},
		"poisson":  Poisson{200, rand.New(rand.NewPCG(1, 1))},
		"seldom":   Constant{20},
	} {
		began := time.Now()
		var sent atomic.Int32
		var woken int32
		var early bool
		var p *pulse
		p = newPulse(func() {
			woken++
			early = early || p.next > time.Since(began)
			p.each(time.Since(began), never, 1000, func(time.Duration) { sent.Add(1) })
		}, pacer.Next, 20*time.Millisecond)
		stop := beat(began, []*pulse{p})
		want := int32(pacer.Rate() / 5)
		for sent.Load() < want && time.Since(began) < 20*time.Second {
			time.Sleep(time.Millisecond)
		}
		stop()
		if n := sent.Load(); early || n < want || woken > n {
			t.Errorf("%s: woken %d times for %d messages of %d, early: %v", name, woken, n, want, early)
		}
	}
}

// A loop that does not come to send is asked again, but not in every moment.
func TestMetronomeAsksAgain(t *testing.T) {
	var asked atomic.Int32
	p := newPulse(func() { asked.Add(1) }, Constant{1e6}.Next, 0)
	began := time.Now()
	stop := beat(began, []*pulse{p})
	for asked.Load() < 100 && time.Since(began) < 10*time.Second {
		time.Sleep(time.Millisecond)
	}
	stop()
	took := time.Since(began)
	if n := asked.Load(); n < 100 || time.Duration(n-1)*grain > took {
		t.Errorf("asked %d times in %v", n, took)
	}
	before := asked.Load()
	time.Sleep(10 * time.Millisecond)
	if asked.Load() != before {
		t.Error("it asks after its end")
	}
}

// One loop that rests does not keep another from being woken, and is left alone itself.
func TestMetronomeOfSeveralLoops(t *testing.T) {
	began := time.Now()
	var resting, busy atomic.Int32
	still := newPulse(func() { resting.Add(1) }, Constant{1000}.Next, 0)
	still.rest()
	var p *pulse
	p = newPulse(func() {
		busy.Add(1)
		p.each(time.Since(began), never, 1000, func(time.Duration) {})
	}, Constant{1000}.Next, 0)
	stop := beat(began, []*pulse{still, p})
	for busy.Load() < 20 && time.Since(began) < 10*time.Second {
		time.Sleep(time.Millisecond)
	}
	stop()
	if busy.Load() < 20 || resting.Load() != 0 {
		t.Errorf("%d and %d", busy.Load(), resting.Load())
	}
}

// A pulse gives what is due once, in order, and nothing of what is due after the end.
func TestPulseEndsInTime(t *testing.T) {
	const ms = time.Millisecond
	p := newPulse(nil, func(t time.Duration) time.Duration { return t + 10*ms }, 5*ms)
	var sent []time.Duration
	each := func(now, until time.Duration, most int) []time.Duration {
		sent = nil
		p.each(now, until, most, func(due time.Duration) { sent = append(sent, due) })
		return sent
	}
	all := []*pulse{p}
	for _, c := range []struct {
		now, until time.Duration
		most       int
		want       []time.Duration
		through    bool
	}{
		{4 * ms, 50 * ms, 10, nil, false},
		{30 * ms, 50 * ms, 2, []time.Duration{5 * ms, 15 * ms}, false},
		{30 * ms, 50 * ms, 2, []time.Duration{25 * ms}, false},
		{60 * ms, 50 * ms, 10, []time.Duration{35 * ms, 45 * ms}, true},
		{90 * ms, 90 * ms, 10, nil, true}, // it has ended before
	} {
		if got := each(c.now, c.until, c.most); !slices.Equal(got, c.want) || areThrough(all, c.until) != c.through {
			t.Errorf("at %v: %v, through: %v", c.now, got, areThrough(all, c.until))
		}
	}
	p = newPulse(nil, Constant{1}.Next, time.Hour)
	if all = []*pulse{p}; !areThrough(all, time.Minute) || areThrough(all, 2*time.Hour) {
		t.Error("through are those whose next message is due after the end")
	}
}

// The process wakes up about once for a message that is due, and hardly at all until
// then: what counts is how often its threads have waited, all of them together.
func TestMetronomeLetsTheProcessSleep(t *testing.T) {
	for _, c := range []struct {
		rate float64
		most int // for a message
	}{{1000, 2}, {1, 0}} {
		var before, after unix.Rusage
		began, sent := time.Now(), 0
		var p *pulse
		p = newPulse(func() {
			p.each(time.Since(began), never, 1000, func(time.Duration) { sent++ })
		}, Constant{c.rate}.Next, 10*time.Millisecond)
		_ = unix.Getrusage(unix.RUSAGE_SELF, &before)
		stop := beat(began, []*pulse{p})
		time.Sleep(300 * time.Millisecond)
		stop()
		_ = unix.Getrusage(unix.RUSAGE_SELF, &after)
		if waits := int(after.Nvcsw - before.Nvcsw); sent == 0 || waits > c.most*sent+100 {
			t.Errorf("%v messages a second: %d waits for %d messages", c.rate, waits, sent)
		}
	}
}

// Who ends it does not wait for a message that is due in an hour.
func TestMetronomeEndsAtOnce(t *testing.T) {
	stop := beat(time.Now(), []*pulse{newPulse(nil, Constant{1}.Next, time.Hour)})
	ended := make(chan struct{})
	go func() { stop(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
}
