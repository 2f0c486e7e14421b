package tlswire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"sync"
)

// handshake is one TLS handshake under way. crypto/tls reads while it runs, and
// an error of a read is final, "nothing there yet" included. So it runs as a
// coroutine, which is suspended in Read until more has come.
//
// The loop gives what has come and takes what is to be sent. Between them stand
// mu and busy: while busy is set a worker has, or will have, the coroutine, and
// with it stream, conn and failed.
type handshake struct {
	session *session
	stream  *stream
	conn    *tls.Conn
	next    func() (struct{}, bool)
	stop    func()
	yield   func(struct{}) bool
	failed  error

	mu      sync.Mutex
	in      []byte // has come, and was not taken by the coroutine
	out     []byte // was written, and not taken by the loop
	busy    bool
	aborted bool // the loop wants no more of it
	done    bool // the coroutine has ended; all is the loop's
}

const (
	// maxWaiting is how much may wait for a worker before the peer is not read
	// from: requests that follow the handshake at once.
	maxWaiting = 64 << 10
	// alertInternal and alertUnexpected are fatal alerts in the clear (RFC 8446
	// §6), for what ends before the handshake has begun.
	alertInternal   = "\x15\x03\x01\x00\x02\x02\x50"
	alertUnexpected = "\x15\x03\x01\x00\x02\x02\x0a"
)

var (
	errBusy    = errors.New("too many TLS handshakes are under way (Config.MaxTLSHandshakes)")
	errNoHello = errors.New("the first bytes are no TLS handshake")
	errAborted = errors.New("the TLS handshake was given up")
)

// shake takes bytes of the handshake. The coroutine is made once the first record
// is whole, so that a peer that sends part of it costs no more than these bytes.
func (t *session) shake(p []byte) {
	if h := t.shaking; h != nil {
		if h.give(p) > maxWaiting && !t.paused && t.pause() != nil {
			t.fail(errBusy) // reading can't be paused, and what waits must have a bound
		}
		return
	}
	t.hold(p)
	switch {
	case t.held[0] != recordHandshake:
		t.turnAway()
	case recordSize(t.held) == 0: // it is cut
	case t.loop.backend.shaking.Add(1) > int64(t.loop.backend.opts.MaxHandshakes):
		t.loop.backend.shaking.Add(-1)
		t.refuse(alertInternal, errBusy)
	default:
		t.begin()
	}
}

// turnAway ends a connection that does not speak TLS. What looks like an HTTP
// request is told so in its own language.
func (t *session) turnAway() {
	if c := t.held[0]; c >= 'A' && c <= 'Z' {
		t.refuse("HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nThis port speaks TLS: use https or wss.\n", errNoHello)
		return
	}
	t.refuse(alertUnexpected, errNoHello)
}

// refuse ends a connection before its handshake has begun, with these bytes.
func (t *session) refuse(last string, err error) {
	t.post(append(t.loop.mem.Get(len(last)), last...), 0)
	t.fail(err)
}

// begin starts the handshake with what is held.
func (t *session) begin() {
	h := &handshake{session: t, stream: t.stream, conn: tls.Server(t.stream, t.config), busy: true}
	h.in = append(h.in, t.held...)
	t.drop()
	t.stream.shaking = h
	t.shaking = h
	h.next, h.stop = iter.Pull(h.run)
	t.loop.backend.pool.add(h)
}

// give adds what has come, and says how much waits.
func (h *handshake) give(p []byte) int {
	h.mu.Lock()
	h.in = append(h.in, p...)
	waits, idle := len(h.in), !h.busy && !h.done
	h.busy = h.busy || idle
	h.mu.Unlock()
	if idle {
		h.session.loop.backend.pool.add(h)
	}
	return waits
}

// run is the coroutine.
func (h *handshake) run(yield func(struct{}) bool) {
	defer func() {
		if p := recover(); p != nil { // in a callback of the config
			h.failed = fmt.Errorf("panic in the TLS handshake: %v", p)
			h.session.loop.backend.opts.Logger.Error("panic in the TLS handshake",
				"remote", h.stream.remote, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	h.yield = yield
	h.failed = h.conn.Handshake()
}

// more waits, in the coroutine, until something has come. It gives false when the
// handshake was given up.
func (h *handshake) more(s *stream) bool {
	for h.yield != nil {
		h.mu.Lock()
		s.in, h.in = append(s.in, h.in...), h.in[:0]
		came := len(s.in) > 0 && recordSize(s.in) > 0
		h.mu.Unlock()
		if came {
			return true
		}
		if !h.yield(struct{}{}) {
			h.yield = nil // it must not be called again
		}
	}
	return false
}

// advance runs the coroutine as far as what has come allows, on a worker.
func (h *handshake) advance() {
	for again := true; again; {
		again = h.step()
	}
	h.session.loop.report(h.session)
}

// step runs the coroutine until it waits or ends, and says whether it can go on
// at once.
func (h *handshake) step() (again bool) {
	h.mu.Lock()
	aborted := h.aborted
	h.mu.Unlock()
	running := false
	if aborted {
		h.stop()
	} else {
		_, running = h.next()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.out, h.stream.out = append(h.out, h.stream.out...), h.stream.out[:0]
	if !running {
		h.end()
	}
	again = running && (len(h.in) > 0 || h.aborted)
	h.busy = again
	return again
}

// end marks the end of the coroutine. The caller holds mu.
func (h *handshake) end() {
	h.done = true
	h.session.loop.backend.shaking.Add(-1)
}

// giveUp ends a handshake that is under way, wherever it is.
func (t *session) giveUp() {
	h := t.shaking
	if h == nil {
		return
	}
	t.shaking = nil
	h.mu.Lock()
	h.aborted = true
	idle := !h.busy && !h.done
	h.mu.Unlock()
	if idle { // suspended, and nobody else will resume it
		h.stop()
		h.mu.Lock()
		h.end()
		h.mu.Unlock()
	}
}

// proceed sends what the handshake has written, and takes over when it is done.
func (t *session) proceed() {
	h := t.shaking
	h.mu.Lock()
	out, done, waits := h.out, h.done, len(h.in)
	h.out = nil
	h.mu.Unlock()
	if len(out) > 0 {
		t.post(append(t.loop.mem.Get(len(out)), out...), 0)
	}
	switch {
	case t.state != shaking: // the socket is gone
	case !done:
		t.readOn(waits)
	case h.failed != nil:
		t.shaking = nil
		t.fail(h.failed)
	default:
		t.shaking = nil
		t.takeOver(h)
	}
	t.sendRest()
}

// readOn ends the pause that shake has begun.
func (t *session) readOn(waits int) {
	if t.paused && waits <= maxWaiting {
		if err := t.resume(); err != nil {
			t.cut(err)
		}
	}
}

// takeOver makes the loop the owner of the tls.Conn. What came behind the
// handshake is read.
func (t *session) takeOver(h *handshake) {
	rest := append(h.stream.in, h.in...)
	t.conn = h.conn
	t.stream.shaking, t.stream.in, t.stream.out = nil, nil, nil
	takeBack(t.conn)
	t.state = open
	t.readOn(0)
	if len(rest) > 0 && t.state == open {
		t.read(rest)
	}
}
