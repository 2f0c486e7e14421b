package engine

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// workers is the pool of an endpoint with Endpoint.Workers: goroutines that run
// the callbacks of its connections, because these may block. Connections with jobs
// stand in a list, each once; a worker takes the first, runs a few of its jobs,
// and puts it back at the end if it has more. A worker is started for a connection
// that comes into the list, up to the limit, and ends when the list is empty: a
// pool without work has no goroutines.
//
// While the list holds something, either limit workers run, or as many are on
// their way to the list as it holds connections.
type workers struct {
	// immutable
	limit int
	work  func()            // run; kept, because each use of a method as a value allocates
	start func(work func()) // makes a goroutine of it; tests have other ones

	mu          sync.Mutex // held for a few instructions, and no other lock with it
	first, last *jobs
	running     int
	conns       int           // those whose OnClose has not returned
	idle        chan struct{} // closed when conns comes to 0; nil while nobody waits for that
}

// maxWorkers bounds Endpoint.Workers: beyond it a goroutine for each connection
// would be the better engine.
const maxWorkers = 10_000

// newWorkers gives nil for no workers.
func newWorkers(limit int) *workers {
	if limit == 0 {
		return nil
	}
	w := &workers{limit: limit, start: func(work func()) { go work() }}
	w.work = w.run
	return w
}

// add has the jobs of a connection run.
func (w *workers) add(j *jobs) {
	w.mu.Lock()
	w.append(j)
	more := w.running < w.limit
	if more {
		w.running++
	}
	w.mu.Unlock()
	if more {
		w.start(w.work)
	}
}

// append puts a connection at the end of the list. The caller holds mu.
func (w *workers) append(j *jobs) {
	if w.first == nil {
		w.first = j
	} else {
		w.last.next = j
	}
	w.last = j
}

// run is a worker.
func (w *workers) run() {
	var j *jobs
	defer func() {
		if j != nil { // a callback has ended the goroutine (runtime.Goexit); its connection and this place go on
			w.mu.Lock()
			w.append(j)
			w.mu.Unlock()
			w.start(w.work)
		}
	}()
	for more := false; ; more = j.run() {
		if j = w.swap(j, more); j == nil {
			return
		}
	}
}

// swap puts a connection that has more jobs at the end of the list, and takes the
// first. When there is none, the worker has ended.
func (w *workers) swap(had *jobs, more bool) *jobs {
	w.mu.Lock()
	defer w.mu.Unlock()
	if more {
		w.append(had)
	}
	j := w.first
	if j == nil {
		w.running--
		return nil
	}
	w.first, j.next = j.next, nil
	if w.first == nil {
		w.last = nil
	}
	return j
}

// opened counts a connection whose callbacks the workers will run.
func (w *workers) opened() {
	w.mu.Lock()
	w.conns++
	w.mu.Unlock()
}

// closed counts it out.
func (w *workers) closed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns--
	if w.conns == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// wait waits until the last callback of every connection has returned, or ctx
// ends. It gives how many workers still run.
func (w *workers) wait(ctx context.Context) int {
	w.mu.Lock()
	if w.conns == 0 {
		w.mu.Unlock()
		return 0
	}
	if w.idle == nil {
		w.idle = make(chan struct{})
	}
	idle := w.idle
	w.mu.Unlock()
	select {
	case <-idle:
		return 0
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns == 0 {
		return 0
	}
	return w.running
}

// finishWork waits for the workers of all endpoints, as long as ctx lasts.
func (s *Server) finishWork(ctx context.Context) error {
	left := 0
	for _, ep := range s.endpoints {
		if ep.workers != nil {
			left += ep.workers.wait(ctx)
		}
	}
	if left > 0 {
		return fmt.Errorf("engine: shutdown left %d workers behind whose callbacks have not returned: %w", left, context.Cause(ctx))
	}
	return nil
}

// finishCut gives the workers a moment for the callbacks of connections that were
// cut when the loops ended.
func (s *Server) finishCut() {
	ctx, cancel := context.WithTimeout(context.Background(), cutGrace)
	defer cancel()
	_ = s.finishWork(ctx) // the shutdown has said so
}

const cutGrace = 100 * time.Millisecond
