package tlswire

import (
	"testing"
	"time"
)

// A worker whose callback has returned computes again when there is a place.
func TestStepBackWaitsForAPlace(t *testing.T) {
	p := pool{limit: 1, workers: 1, start: func(func()) { t.Error("a worker is started for nothing") }}
	p.stepAside()
	p.stepBack() // another one
	back := make(chan struct{})
	go func() { p.stepBack(); close(back) }()
	for waits := 0; waits == 0; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		waits = len(p.back)
		p.mu.Unlock()
	}
	select {
	case <-back:
		t.Fatal("two compute where one may")
	default:
	}
	if h := p.next(); h != nil { // the other one has finished its handshake
		t.Fatal("a handshake out of nothing")
	}
	<-back
	if p.workers != 1 {
		t.Errorf("%d places are taken", p.workers)
	}
	if p.next(); p.workers != 0 {
		t.Errorf("%d places are taken after the end", p.workers)
	}
}
