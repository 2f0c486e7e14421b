package tlswire

import "sync"

// pool runs handshakes, a few at a time. Its workers are started when there is
// work and end when there is none.
type pool struct {
	limit int                 // workers at the same time
	start func(worker func()) // starts one

	mu      sync.Mutex
	queue   []*handshake // first come, first served
	workers int
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

func (p *pool) work() {
	for h := p.next(); h != nil; h = p.next() {
		h.advance()
	}
}

// next takes a handshake; with nil the worker has ended.
func (p *pool) next() *handshake {
	p.mu.Lock()
	defer p.mu.Unlock()
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
