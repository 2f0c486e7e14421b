package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/headrace/headrace/engine/internal/wire"
)

// A shutdown, in order:
//
//  1. Draining is true. New connections are answered with 503, and those in their
//     handshake too.
//  2. Each loop closes its connections in random order, as many at each tick as are
//     due, until the window is over (Config.DrainWindow). A connection works as ever
//     until its turn. There is no timer for it.
//  3. On its turn, once all that was accepted for sending has come to its queue,
//     nothing more is accepted, and the Close frame goes behind it.
//  4. The peer has as long as it takes some of what was accepted for it within
//     Config.StallTimeout, then Config.CloseTimeout to answer (see farewell).
//  5. When no connection is left, or at the deadline, the loops end, and cut the rest.

// Shutdown closes every connection with Config.DrainCode, behind what was accepted
// for sending, spread over Config.DrainWindow; it answers new ones with 503, and
// waits until all have ended; then Run returns. When ctx ends before, the rest is cut
// and ctx's error returned. Where peers were cut that had stopped reading what was
// accepted for them, the error is ErrCloseTimeout. A second call may have an earlier deadline. Safe from any
// goroutine, but a callback that calls it holds up what it waits for.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.started.Load() {
		return errors.New("engine: Shutdown before Run")
	}
	err := s.shutdown(ctx)
	select {
	case <-s.done:
	case <-ctx.Done():
		err = errors.Join(err, context.Cause(ctx))
	}
	return err
}

// Draining says whether a shutdown has begun: it is true before the first connection
// is closed for it. Safe from any goroutine.
func (s *Server) Draining() bool { return s.stopped.Load() }

// shutdown ends the server. One that does not listen yet ends as soon as it does, also
// when ctx ends before and nobody waits for that any more.
func (s *Server) shutdown(ctx context.Context) error {
	if !s.awaitStart(ctx) {
		go func() {
			s.awaitStart(context.Background())
			_ = s.end(ctx)
		}()
		return context.Cause(ctx)
	}
	return s.end(ctx)
}

// awaitStart waits until the server listens, or never will. It looks before it heeds
// ctx.
func (s *Server) awaitStart(ctx context.Context) bool {
	select {
	case <-s.ready:
	case <-s.done:
	default:
		select {
		case <-s.ready:
		case <-s.done:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (s *Server) end(ctx context.Context) error {
	select {
	case <-s.done: // it never listened, or has ended
		return nil
	default:
	}
	drained := s.drain(timeLeft(ctx))
	httpDone := make(chan struct{})
	go func() {
		defer close(httpDone)
		if s.http != nil {
			s.http.stop(ctx)
		}
	}()
	var err error
	select {
	case <-drained:
	case <-s.done:
	case <-ctx.Done():
		s.hurry(drained)
		err = fmt.Errorf("engine: shutdown cut %d connections: %w", s.Connections(), context.Cause(ctx))
	}
	if n := s.lost.Load(); n > 0 {
		err = errors.Join(err, fmt.Errorf("engine: shutdown cut %d connections whose peers have stopped reading: %w", n, ErrCloseTimeout))
	}
	<-httpDone
	err = errors.Join(err, s.finishWork(ctx))
	s.backend.Stop()
	return err
}

// timeLeft is how long ctx lasts.
func timeLeft(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return max(0, time.Until(deadline))
	}
	return math.MaxInt64
}

// drain has every loop close its connections, within the time that is left. What it
// gives is closed when all have ended.
func (s *Server) drain(left time.Duration) (drained <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	window := s.drainWindow(left)
	if s.drained == nil {
		s.drained = make(chan struct{})
		s.stopped.Store(true)
		for _, l := range s.loops {
			l.push(item{run: func(l *loop) { l.drainAll(window) }})
		}
		s.checkDrained()
	} else {
		for _, l := range s.loops {
			l.push(item{run: func(l *loop) { l.leaveWithin(window) }})
		}
	}
	return s.drained
}

// drainWindow is the window that the settings and the time left allow.
func (s *Server) drainWindow(left time.Duration) time.Duration {
	window := s.cfg.DrainWindow
	if window == 0 {
		window = time.Duration(s.places.Load()) * time.Second / drainPace
		window = min(window, s.cfg.ShutdownTimeout/2)
	}
	return max(0, min(window, left-min(s.cfg.CloseTimeout, left/2)))
}

// drainPace is how many connections a shutdown closes in a second where it may choose.
const drainPace = 10_000

// hurry closes at once whom the window has not come to, and gives them a moment:
// the deadline has come early.
func (s *Server) hurry(drained <-chan struct{}) {
	s.mu.Lock()
	for _, l := range s.loops {
		l.push(item{run: (*loop).leaveNow})
	}
	s.mu.Unlock()
	select {
	case <-drained:
	case <-time.After(cutGrace):
	}
}

// checkDrained ends the wait of Shutdown when nobody is left. Those that are just
// being refused don't count: clients that come again and again must not hold it
// up. The caller holds mu.
func (s *Server) checkDrained() {
	if s.places.Load() > 0 {
		return
	}
	select {
	case <-s.drained:
	default:
		close(s.drained)
	}
}

// leaving are the connections of a loop that a shutdown has to close yet.
type leaving struct {
	conns  []*Conn // in random order; the last is the next
	held   []*Conn // had their turn, and will have it again: something was on its way to their queues
	until  uint32  // the tick by which all have had their turn
	window time.Duration
}

func (w *leaving) none() bool { return len(w.conns)+len(w.held) == 0 }

// drainAll begins the shutdown on a loop.
func (l *loop) drainAll(window time.Duration) {
	l.draining = true
	w := &l.leaving
	w.window, w.until = window, l.tickNow()
	for c := range l.conns.all {
		switch c.phase {
		case phaseHandshake:
			if l.request.conn != c { // else Admit is being asked, see judge
				c.abandon(l.refuseShutdown())
			}
		case phaseOpen:
			w.add(c, l.draw(len(w.conns)+1))
		case phaseClosing, phaseDraining, phaseDoomed, phaseEnded:
		}
	}
	if !w.none() {
		w.until = l.tickAfter(window.Truncate(wire.TickInterval)) - 1
		l.dismissDue()
	}
}

// add puts a connection at a place among the others.
func (w *leaving) add(c *Conn, at int) {
	w.conns = append(w.conns, c)
	last := len(w.conns) - 1
	w.conns[at], w.conns[last] = w.conns[last], w.conns[at]
}

// draw gives a random number from 0 on, below n.
func (l *loop) draw(n int) int { return int(l.server.random(time.Duration(n))) }

// leaveWithin ends the window earlier, if that is earlier.
func (l *loop) leaveWithin(window time.Duration) {
	until := l.tickNow() + uint32(min(window, maxLimit)/wire.TickInterval)
	if w := &l.leaving; int32(until-w.until) < 0 {
		w.until = until
	}
}

// leaveNow closes everyone whose turn has not come, without waiting for what is on its
// way: the loop is about to end.
func (l *loop) leaveNow() {
	w := &l.leaving
	for _, c := range append(w.conns, w.held...) {
		if c.phase == phaseOpen && c.intake.close() {
			c.leave()
		}
	}
	w.conns, w.held = nil, nil
}

// closeDue is called at every tick.
func (l *loop) closeDue() {
	w := &l.leaving
	if w.none() {
		return
	}
	l.drainInbox() // what was on its way
	again := w.held
	w.held = nil
	for _, c := range again {
		c.dismiss()
	}
	l.dismissDue()
}

// dismissDue gives those their turn whose turn has come.
func (l *loop) dismissDue() {
	w := &l.leaving
	for range l.due(len(w.conns)) {
		last := len(w.conns) - 1
		c := w.conns[last]
		w.conns[last] = nil
		w.conns = w.conns[:last]
		c.dismiss()
	}
}

// due is how many of n connections have their turn at this tick: the same at each
// until the window is over. What is left over by the division is for chance, so that
// the few connections of many servers don't all leave at the end.
func (l *loop) due(n int) int {
	left := int(int32(l.leaving.until - l.tickNow()))
	if left <= 0 {
		return n
	}
	each, over := n/(left+1), n%(left+1)
	if l.draw(left+1) < over {
		each++
	}
	return each
}

// dismiss is the turn of a connection. While something that was accepted for sending
// is on its way to the queue, it comes again at the next tick: behind the Close frame
// it would be lost.
func (c *Conn) dismiss() {
	queued := 0
	if c.out != nil {
		queued = c.out.total() - c.out.answer
	}
	switch {
	case c.phase != phaseOpen || !c.intake.open(): // its end has begun, or is about to
	case c.intake.closeAt(queued):
		c.leave()
	default:
		c.loop.leaving.held = append(c.loop.leaving.held, c)
	}
}

// leave begins the closing handshake of a shutdown.
func (c *Conn) leave() {
	code, reason := closeFor(ErrShutdown)
	if own := c.loop.server.cfg.DrainCode; own != code {
		ms := c.loop.retryAfter().Milliseconds()
		code, reason = own, `{"retry_after_ms":`+strconv.FormatInt(ms, 10)+`}`
	}
	c.startClose(CloseInfo{Code: code, Reason: reason, Initiator: Local, Err: ErrShutdown})
}

// retryAfter is the time after which a peer is asked to come again: after the window,
// and as much time again, of a second at least, has room for all.
func (l *loop) retryAfter() time.Duration {
	w := &l.leaving
	left := time.Duration(max(0, int32(w.until-l.tickNow()))) * wire.TickInterval
	return left + l.server.random(max(w.window, time.Second))
}

// refuseShutdown is the answer to a handshake during a shutdown.
func (l *loop) refuseShutdown() *refusal {
	seconds := int64(l.retryAfter().Seconds()) + 1
	return refuseWith(503, "server is shutting down", "Retry-After", strconv.FormatInt(seconds, 10))
}
