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
	taken   int // bytes that crypto/tls has read
	most    int // bytes that it may read

	mu       sync.Mutex
	in       []byte // has come, and was not taken by the coroutine
	out      []byte // was written, and not taken by the loop
	busy     bool
	answered bool // something was written
	aborted  bool // nobody wants more of it
	done     bool // the coroutine has ended; all is the loop's

	// of the suspended ones, under their lock
	before, after *handshake
	waits         bool
}

const (
	// maxFlights is how much a client may send in its handshake: a hello takes 2 KB
	// at most today, with post-quantum keys and a session, and what follows less than
	// one. It bounds what crypto/tls holds of a message that never becomes whole.
	maxFlights = 16 << 10
	// maxChain is how much more it may be where a certificate is asked for: one of
	// RSA keys takes 2 KB, one of post-quantum signatures 20, and a chain has three
	// or four.
	maxChain = 80 << 10
	// maxWaiting is how much may wait for a worker before the peer is not read
	// from: one record. More is requests that follow the handshake at once.
	maxWaiting = recordHeader + maxFragment
	// alertInternal and alertUnexpected are fatal alerts in the clear (RFC 8446
	// §6), for what ends before the handshake has begun.
	alertInternal   = "\x15\x03\x01\x00\x02\x02\x50"
	alertUnexpected = "\x15\x03\x01\x00\x02\x02\x0a"
)

var (
	errBusy    = errors.New("too many TLS handshakes are under way (Config.MaxTLSHandshakes)")
	errEvicted = errors.New("the TLS handshake waited for the client and made room for another (Config.MaxTLSHandshakes)")
	errTooMuch = errors.New("the client sends too much in its TLS handshake")
	errNoHello = errors.New("the first bytes are no TLS handshake")
	errAborted = errors.New("the TLS handshake was given up")
	errGoexit  = errors.New("a callback of the TLS config has called runtime.Goexit")
)

// shake takes bytes of the handshake. The coroutine is made once the first record
// is whole, so that a peer that sends part of it costs no more than these bytes.
func (t *session) shake(p []byte) {
	if h := t.shaking; h != nil {
		switch waits, allowed := h.give(p); {
		case !allowed:
			t.fail(errTooMuch)
		case waits > maxWaiting && !t.paused && t.pause() != nil:
			t.fail(errBusy) // reading can't be paused, and what waits must have a bound
		}
		return
	}
	if len(t.held)+len(p) > mostOf(t.config)+recordHeader {
		t.refuse(alertInternal, errTooMuch)
		return
	}
	t.hold(p)
	switch {
	case t.held[0] != recordHandshake:
		t.turnAway()
	case recordSize(t.held) == 0: // it is cut
	case !t.loop.backend.takePlace():
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
	h := &handshake{
		session: t, stream: t.stream, conn: tls.Server(t.stream, t.config), most: mostOf(t.config), busy: true,
	}
	h.in = append(h.in, t.held...)
	t.drop()
	t.stream.shaking = h
	t.shaking = h
	h.next, h.stop = iter.Pull(h.run)
	t.loop.backend.pool.add(h)
}

// give adds what has come. It says how much waits, and whether that is allowed: a
// client that has heard nothing yet has nothing more to say than its hello. A
// worker is asked for once a record is whole.
func (h *handshake) give(p []byte) (waits int, allowed bool) {
	h.mu.Lock()
	h.in = append(h.in, p...)
	waits = len(h.in)
	allowed = h.answered || waits <= mostOf(h.session.config)+recordHeader
	resume := allowed && !h.busy && !h.done && recordSize(h.in) > 0
	if resume {
		h.resumes()
	}
	h.mu.Unlock()
	if resume {
		h.session.loop.backend.pool.add(h)
	}
	return waits, allowed
}

// resumes ends the suspension. The caller holds mu.
func (h *handshake) resumes() {
	h.busy = true
	h.session.loop.backend.suspended.remove(h)
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
	h.failed = errGoexit // unless Handshake returns
	h.failed = h.conn.Handshake()
}

// more waits, in the coroutine, until a record is whole, and gives the stream those
// that are; it has none left. It gives an error when the handshake was given up.
func (h *handshake) more(s *stream) error {
	for h.yield != nil {
		if s.in = h.takeRecords(); s.in != nil {
			return nil
		}
		if !h.yield(struct{}{}) {
			h.yield = nil // it must not be called again
		}
	}
	return errAborted
}

// takeRecords takes the whole records that have come. What is behind them stays, and
// moves, so that nothing holds on to a large buffer.
func (h *handshake) takeRecords() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	whole := 0
	for n := recordSize(h.in); n > 0; n = recordSize(h.in[whole:]) {
		whole += n
	}
	if whole == 0 {
		return nil
	}
	records := h.in[:whole:whole]
	h.in = append([]byte(nil), h.in[whole:]...)
	return records
}

// advance runs the coroutine as far as what has come allows, on a worker.
func (h *handshake) advance() {
	defer h.session.loop.report(h.session) // also behind a callback that ends the goroutine
	for h.step() {
	}
}

// step runs the coroutine until it waits or ends, and says whether it can go on
// at once.
func (h *handshake) step() (again bool) {
	h.mu.Lock()
	aborted := h.aborted
	h.mu.Unlock()
	running := false
	defer func() { again = h.stepped(running) }()
	if aborted {
		h.stop()
	} else {
		_, running = h.next()
	}
	return false
}

// stepped takes what a step has written, and says whether another can follow at
// once.
func (h *handshake) stepped(running bool) (again bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answered = h.answered || len(h.stream.out) > 0
	if h.out == nil {
		h.out = h.stream.out
	} else {
		h.out = append(h.out, h.stream.out...)
	}
	h.stream.out = nil
	if !running {
		h.end()
	}
	again = running && (h.aborted || recordSize(h.in) > 0)
	h.busy = again
	if running && !again {
		h.session.loop.backend.suspended.add(h)
	}
	return again
}

// end marks the end of the coroutine. The caller holds mu.
func (h *handshake) end() {
	h.done = true
	h.session.loop.backend.shaking.Add(-1)
}

// seize takes a handshake out of its suspension, for the caller to finish. With
// insist one that runs is to end too, and whoever has it finishes it.
func (h *handshake) seize(insist bool) (suspended bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	suspended = !h.busy && !h.done
	h.aborted = h.aborted || suspended || insist
	if suspended {
		h.resumes()
	}
	return suspended
}

// finish ends the coroutine of a handshake that was seized.
func (h *handshake) finish(why error) {
	h.stop()
	h.mu.Lock()
	h.failed, h.busy = why, false
	h.end()
	h.mu.Unlock()
}

// giveUp ends a handshake that is under way, wherever it is.
func (t *session) giveUp() {
	h := t.shaking
	if h == nil {
		return
	}
	t.shaking = nil
	if h.seize(true) {
		h.finish(errAborted)
	}
}

// evict ends a handshake that is suspended; its loop hears of it. It gives false if
// it is not suspended any more. It is safe from any goroutine.
func (h *handshake) evict() bool {
	if !h.seize(false) {
		return false
	}
	h.finish(errEvicted)
	h.session.loop.report(h.session)
	return true
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
	case done && h.failed != nil:
		t.shaking = nil
		t.fail(h.failed)
	case done:
		t.shaking = nil
		t.takeOver(h)
	case waits <= maxWaiting:
		t.readOn()
	}
	t.sendRest()
}

// readOn ends the pause that shake has begun. It gives false when that is impossible
// and the session has ended.
func (t *session) readOn() bool {
	if t.state != shaking || !t.paused {
		return true
	}
	if err := t.resume(); err != nil {
		t.cut(err)
		return false
	}
	return true
}

// takeOver makes the loop the owner of the tls.Conn. What came behind the
// handshake is read.
func (t *session) takeOver(h *handshake) {
	rest := append(h.stream.in, h.in...)
	t.conn = h.conn
	t.stream.shaking, t.stream.in, t.stream.out = nil, nil, nil
	takeBack(t.conn)
	if !t.readOn() {
		return
	}
	t.state = open
	if len(rest) > 0 && t.state == open {
		t.read(rest)
	}
}
