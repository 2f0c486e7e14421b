package gnetwire

import (
	"sync"
	"time"

	"github.com/headrace/headrace/engine/internal/wire"
)

// ticker ticks the loops that have timers. While none has, it sleeps: gnet's own
// ticker would wake the process twenty times a second for nothing.
type ticker struct {
	mu      sync.Mutex
	loops   map[*loop]struct{} // those that need ticks
	running bool
	quit    chan struct{}
	done    sync.WaitGroup
}

func (t *ticker) init() {
	t.loops = make(map[*loop]struct{})
	t.quit = make(chan struct{})
}

// need adds or removes a loop. It is safe from any goroutine.
func (t *ticker) need(l *loop, on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !on {
		delete(t.loops, l)
		return
	}
	t.loops[l] = struct{}{}
	if !t.running {
		t.running = true
		t.done.Go(t.run)
	}
}

// run ticks until nobody needs it, or until stop.
func (t *ticker) run() {
	every := time.NewTicker(wire.TickInterval)
	defer every.Stop()
	for {
		select {
		case <-t.quit:
			return
		case <-every.C:
		}
		if !t.tick() {
			return
		}
	}
}

// tick ticks everyone, and says whether there was anyone.
func (t *ticker) tick() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for l := range t.loops {
		l.postTick()
	}
	t.running = len(t.loops) > 0
	return t.running
}

func (t *ticker) stop() {
	t.mu.Lock()
	t.running = true // nobody starts it again
	t.mu.Unlock()
	close(t.quit)
	t.done.Wait()
}
