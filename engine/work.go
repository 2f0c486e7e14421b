package engine

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// Loop is the event loop of a connection, for libraries that serve many connections
// at once. It may be kept for ever; after the end of its server it runs nothing more.
type Loop loop

// Loop gives the connection's loop. Safe from any goroutine.
func (c *Conn) Loop() *Loop { return (*Loop)(c.loop) }

func (l *Loop) loop() *loop { return (*loop)(l) }

// Work is something that a loop does when it is asked to, a piece in each turn.
type Work struct {
	loop  *loop
	run   func() (more bool)
	begin func(*loop) // made once, so that Ask allocates nothing
	asked atomic.Bool
}

// NewWork gives work that calls run, once it is asked for. run does a piece of what
// there is to do and says whether more is left: then it is called again when the loop
// has looked at its other connections. What it does for connections of this loop is
// as in a callback of theirs, so loop-only methods may be called, also with
// Endpoint.Workers. It must not block. A panic in it is logged, and ends the work
// until the next Ask. Safe from any goroutine.
func (l *Loop) NewWork(run func() (more bool)) *Work {
	w := &Work{loop: l.loop(), run: run}
	w.begin = func(l *loop) { l.works = append(l.works, w) }
	return w
}

// Ask has the work done soon. Asking again before it begins makes no difference. It
// allocates nothing. Safe from any goroutine.
func (w *Work) Ask() {
	if w.asked.CompareAndSwap(false, true) {
		w.loop.push(item{run: w.begin})
	}
}

// doWorks does a piece of all work that was asked for before this turn.
func (l *loop) doWorks() {
	n := len(l.works)
	for _, w := range l.works[:n] {
		w.asked.Store(false)
		if l.guard(w.run) {
			if w.asked.CompareAndSwap(false, true) { // else it comes through the inbox
				l.works = append(l.works, w)
			}
		}
	}
	rest := copy(l.works, l.works[n:])
	clear(l.works[rest:])
	l.works = l.works[:rest]
}

// guard keeps a panic from ending the loop.
func (l *loop) guard(run func() (more bool)) (more bool) {
	defer func() {
		if p := recover(); p != nil {
			l.server.cfg.Logger.Error("panic in the work of a loop", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	return run()
}

// OnEnd has f called when the loop has ended, on any goroutine, or at once if it has
// already. Work that was asked for and not begun is never done then. forget takes that
// back. Safe from any goroutine.
func (l *Loop) OnEnd(f func()) (forget func()) {
	e, call := &l.loop().end, &f
	e.mu.Lock()
	ended := e.ended
	if !ended {
		if e.calls == nil {
			e.calls = make(map[*func()]struct{})
		}
		e.calls[call] = struct{}{}
	}
	e.mu.Unlock()
	if ended {
		f()
	}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.calls, call)
	}
}

// loopEnd is who wants to hear of a loop's end.
type loopEnd struct {
	mu    sync.Mutex
	ended bool
	calls map[*func()]struct{}
}

// tellEnd is called when the loop runs no more.
func (e *loopEnd) tellEnd() {
	e.mu.Lock()
	e.ended = true
	calls := e.calls
	e.calls = nil
	e.mu.Unlock()
	for f := range calls {
		(*f)()
	}
}

// AfterWrites calls f, once, when the sockets have been offered what this turn has
// queued for them: at most 256 of them, the rest follows in the next turns. f must not
// send. Loop-only.
func (l *Loop) AfterWrites(f func()) { l.written = append(l.written, f) }

func (l *loop) tellWritten() {
	for i, f := range l.written {
		l.guard(func() bool { f(); return false })
		l.written[i] = nil
	}
	l.written = l.written[:0]
}
