package tlswire

import "sync"

// pool runs handshakes, a few at a time. Its workers are started when there is
// work and end when there is none.
//
// limit bounds those that compute. One that is inside a callback of the config may
// wait for anything, another handshake included, so it has no place meanwhile:
// stepAside gives its place away and stepBack waits for one. How many goroutines
// that can make is bounded by Options.MaxHandshakes.
type pool struct {
	limit int                 // workers that compute at the same time
	start func(worker func()) // starts one

	mu      sync.Mutex
	queue   []*handshake    // first come, first served
	back    []chan struct{} // workers whose callback has returned; they go before the queue
	workers int             // those that compute
}

// add has a worker advance h. It is safe from any goroutine.
func (p *pool) add(h *handshake) {
	p.mu.Lock()
	p.queue = append(p.queue, h)
	hire := p.workers < p.limit
	if hire {
		p.workers++
	}
	p.mu.Unlock()
	if hire {
		p.start(p.work)
	}
}

// work is a worker.
func (p *pool) work() {
	var h *handshake
	defer func() {
		if h != nil { // a callback has ended the goroutine (runtime.Goexit); this place goes on
			p.start(p.work)
		}
	}()
	for h = p.next(); h != nil; h = p.next() {
		h.advance()
	}
}

// next takes a handshake; with nil the worker has ended.
func (p *pool) next() *handshake {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.passOn() {
		return nil
	}
	if len(p.queue) == 0 {
		p.workers--
		p.queue = nil
		return nil
	}
	h := p.queue[0]
	p.queue[0] = nil
	p.queue = p.queue[1:]
	return h
}

// passOn gives the caller's place to a worker whose callback has returned, if
// there is one. The caller holds mu.
func (p *pool) passOn() bool {
	if len(p.back) == 0 {
		return false
	}
	close(p.back[0])
	p.back = p.back[1:]
	return true
}

// aside has the worker that calls it do without a place until back is called.
func (p *pool) aside() (back func()) {
	p.stepAside()
	return p.stepBack
}

// stepAside gives the place of a worker away.
func (p *pool) stepAside() {
	p.mu.Lock()
	passed := p.passOn()
	replace := !passed && len(p.queue) > 0
	if !passed && !replace {
		p.workers--
	}
	p.mu.Unlock()
	if replace {
		p.start(p.work)
	}
}

// stepBack waits for a place.
func (p *pool) stepBack() {
	p.mu.Lock()
	if p.workers < p.limit {
		p.workers++
		p.mu.Unlock()
		return
	}
	turn := make(chan struct{})
	p.back = append(p.back, turn)
	p.mu.Unlock()
	<-turn
}
