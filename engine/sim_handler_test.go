package engine

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headrace/headrace/codec"
)

// simHandler is the server's side of all lives of an endpoint: it checks what it
// hears, and does something at random in every callback.
type simHandler struct{ w *simWorld }

func (h simHandler) admit(r *Request) error {
	w := h.w
	id, err := strconv.Atoi(r.Query().Get("life"))
	if err != nil || id >= len(w.lives) {
		w.failf("Admit of a request without a life: %v", err)
		return err
	}
	l := w.lives[id]
	l.admits++
	loop := w.loopIndex(r.conn)
	if w.inAdmit && id >= w.shutdown && !w.draining {
		w.beginDrain() // another goroutine does, now, and the loop hears of it here
		w.toLoop("Reply", loop)
	}
	if w.rng.IntN(8) == 0 {
		w.act(nil, loop)
	}
	switch {
	case r.Query().Has("refuse"):
		return &Refusal{Status: 401}
	case r.Query().Has("panic"):
		panic("a simulated panic in Admit")
	}
	r.SetUser(l)
	r.SetHeader("X-Life", strconv.Itoa(id))
	return nil
}

// enter begins a callback and gives its life.
func (h simHandler) enter(c *Conn, callback string) *simLife {
	l, ok := c.User().(*simLife)
	if !ok {
		h.w.failf("%s of a connection without its user state", callback)
		l = h.w.lives[0]
	}
	switch {
	case l.inside != "":
		l.failf("%s inside %s", callback, l.inside)
	case l.closed:
		l.failf("%s after OnClose", callback)
	case callback != "OnOpen" && l.conn != c:
		l.failf("%s before OnOpen, or of another connection", callback)
	case callback != "OnOpen" && c.Request() != nil:
		l.failf("a request in %s", callback)
	}
	l.inside = callback
	return l
}

// place is the loop on which the callbacks after OnOpen run, -1 on a worker.
func (l *simLife) place() int {
	if l.works() {
		return -1
	}
	return l.loop
}

func (l *simLife) leave() { l.inside = "" }

// OnOpen implements Handler.
func (h simHandler) OnOpen(c *Conn) {
	l := h.enter(c, "OnOpen")
	defer l.leave()
	if l.conn != nil {
		l.failf("OnOpen twice")
	}
	l.conn, l.loop = c, h.w.loopIndex(c)
	if r := c.Request(); r == nil || r.Header("Host") != "example.com" || r.Path() != l.plan.shake.path {
		l.failf("the request is not readable in OnOpen")
	}
	h.w.open = append(h.w.open, l)
	h.w.act(l, l.loop)
	if r := c.Request(); r == nil || r.Header("host") != "example.com" {
		l.failf("the request is not readable at the end of OnOpen")
	}
}

// OnMessage implements Handler.
func (h simHandler) OnMessage(c *Conn, op Op, p []byte) {
	l := h.enter(c, "OnMessage")
	defer l.leave()
	l.hear(byte(op), p)
	h.w.sim.Interleave()
	if h.w.rng.IntN(3) > 0 {
		l.send("Reply", l.home(), op, p)
	}
	h.w.act(l, l.place())
}

// OnPing implements PingHandler. The pong is in the queue already.
func (h simHandler) OnPing(c *Conn, p []byte) {
	l := h.enter(c, "OnPing")
	defer l.leave()
	if !l.works() { // else the peer may have the pong before the handler hears of the ping
		l.accepted(l.home(), wirePong, p)
	}
	l.hear(wirePing, p)
	h.w.act(l, l.place())
}

// OnPong implements PongHandler.
func (h simHandler) OnPong(c *Conn, p []byte) {
	l := h.enter(c, "OnPong")
	defer l.leave()
	l.hear(wirePong, p)
	if h.w.rng.IntN(4) == 0 {
		h.w.act(l, l.place())
	}
}

// OnDrain implements DrainHandler.
func (h simHandler) OnDrain(c *Conn) {
	l := h.enter(c, "OnDrain")
	defer l.leave()
	if n := c.Buffered(); n > l.endpoint().LowWater && !l.works() { // on a worker, more may have come
		l.failf("OnDrain with %d bytes waiting", n)
	}
	h.w.act(l, l.place())
}

// OnFull implements FullHandler.
func (h simHandler) OnFull(c *Conn) FullPolicy {
	l := h.enter(c, "OnFull")
	defer l.leave()
	policy := FullPolicy(h.w.rng.IntN(3))
	l.slow = l.slow || policy == CloseSlow
	h.w.act(l, l.place())
	return policy
}

// OnClose implements Handler.
func (h simHandler) OnClose(c *Conn, info CloseInfo) {
	l := h.enter(c, "OnClose")
	defer l.leave()
	l.closed, l.info = true, info
	h.w.dropOpen(l)
	for i, err := range []error{c.Reply(Text, nil), c.Send(Text, nil), c.Ping(nil), c.Close(codec.CloseNormal, "")} {
		if !errors.Is(err, ErrClosed) {
			l.failf("call %d in OnClose gives %v", i, err)
		}
	}
	l.checkInfo()
	h.w.act(l, l.place())
}

// act does something at random on a loop, in a callback of l. l may be nil.
func (w *simWorld) act(l *simLife, loop int) {
	src := fmt.Sprint("loop", loop)
	for w.rng.Float64() < w.chatty {
		target, way := l, "Reply"
		if target == nil || w.rng.IntN(3) == 0 {
			target = w.anyOpen()
		}
		if target == nil {
			return
		}
		if target.loop != loop || w.rng.IntN(2) == 0 {
			way = "Send"
		}
		switch weighted(w.rng, 60, 10, 4, 2, 1, 1, 1, 6, 10, 3) {
		case 0:
			target.sendLabelled(way, src, w.size(20<<10))
		case 1:
			target.ping(src)
		case 2:
			target.close()
		case 3:
			if l != nil {
				l.panicked = l.panicked || !l.closed
				panic("a simulated panic")
			}
		case 4: // a burst, more than one writev takes
			for range 70 + w.rng.IntN(200) {
				target.sendLabelled(way, src, 1900+w.rng.IntN(300))
			}
		case 5: // to everyone here
			w.toLoop([]string{"Reply", "Send"}[w.rng.IntN(2)], loop)
		case 6: // more than the queue may hold
			target.sendLabelled(way, src, w.endpointOf(target.plan.shake.path).MaxQueue+w.rng.IntN(1000))
		case 7:
			if l != nil && l.conn != nil && l.inside != "OnClose" {
				l.conn.SetUser(l)
			}
		case 8:
			w.sim.Interleave()
		case 9:
			if l != nil && l.conn != nil && !l.closed {
				l.pause(true)
			}
		}
	}
}

// toLoop sends something to every connection of the loop that runs.
func (w *simWorld) toLoop(way string, loop int) {
	for _, l := range slices.Clone(w.open) {
		if l.loop == loop {
			l.sendLabelled(way, fmt.Sprint("loop", loop), 40)
		}
	}
}

// outside is what another goroutine does now and then.
func (w *simWorld) outside() {
	target := w.anyOpen()
	if target == nil {
		return
	}
	switch weighted(w.rng, 70, 10, 4, 1, 1, 4) {
	case 0:
		target.sendLabelled("Send", "out", w.size(20<<10))
	case 1:
		target.ping("out")
	case 2:
		target.close()
	case 3:
		for range 70 + w.rng.IntN(100) {
			target.sendLabelled("Send", "out", 1900+w.rng.IntN(300))
		}
	case 4:
		target.sendLabelled("Send", "out", w.endpointOf(target.plan.shake.path).MaxQueue+w.rng.IntN(1000))
	case 5:
		target.pause(false)
	}
}

// pause pauses reading for a while.
func (l *simLife) pause(inCallback bool) {
	l.pausedIn = l.pausedIn || inCallback
	l.conn.PauseRead()
	l.w.sim.After(time.Duration(l.w.rng.Int64N(int64(20*time.Millisecond))), func() {
		l.pausedIn = false
		l.conn.ResumeRead()
	})
}

var simFiller = strings.Repeat("abcdefghijklmnopqrstuvwxyz", 100)

// sendLabelled sends n bytes, or what the label takes, that say who has sent
// them and that are no two times the same.
func (l *simLife) sendLabelled(way, src string, n int) {
	l.w.label++
	p := fmt.Appendf(nil, "<%s:%d>", src, l.w.label)
	for at := l.w.label % 26; len(p) < n; at = 0 {
		p = append(p, simFiller[at:min(len(simFiller), at+n-len(p))]...)
	}
	l.send(way, src, []Op{Text, Binary}[l.w.rng.IntN(2)], p)
}

// send sends a message to the life's connection.
func (l *simLife) send(way, src string, op Op, p []byte) {
	before, had := l.acceptedCount(), l.conn.Buffered()
	l.largest = max(l.largest, len(p)+10) // others may look while it is written
	var err error
	switch {
	case way == "Reply":
		err = l.conn.Reply(op, p)
	case l.w.lateness && l.w.rng.IntN(3) == 0:
		err = l.conn.SendWithin(time.Duration(l.w.rng.Int64N(int64(30*time.Millisecond))), op, p)
	default:
		err = l.conn.Send(op, p)
		if had == 0 && (errors.Is(err, ErrSlowPeer) || errors.Is(err, ErrDropped)) {
			l.failf("%d bytes found the queue empty, and were refused", len(p))
		}
	}
	l.outcome(way, src, byte(op), p, err)
	if err == nil && way == "Reply" && !l.works() && before == l.acceptedCount()-1 {
		l.commit()
	}
}

func (l *simLife) acceptedCount() int {
	n := 0
	for _, lane := range l.toPeer {
		n += len(lane.due)
	}
	return n
}

func (l *simLife) ping(src string) {
	l.w.label++
	p := fmt.Appendf(nil, "<%s:%d>", src, l.w.label)
	l.outcome("Ping", src, wirePing, p, l.conn.Ping(p))
}

func (l *simLife) outcome(way, src string, op byte, p []byte, err error) {
	switch {
	case err == nil && l.closed:
		l.failf("%s was accepted after OnClose", way)
	case err == nil:
		l.accepted(src, op, p)
	case errors.Is(err, ErrSlowPeer):
		l.slow = true
	case errors.Is(err, ErrDropped) && l.endpoint().WhenFull != CloseSlow:
		l.refused++
	case !errors.Is(err, ErrClosed):
		l.failf("%s gives %v", way, err)
	}
	l.checkQueue()
}

func (l *simLife) close() {
	code := []codec.CloseCode{1000, 1001, 1005, 3999, 4000, 1011}[l.w.rng.IntN(6)]
	reason := []string{"", "go away"}[l.w.rng.IntN(2)]
	if code == codec.CloseNoStatus {
		reason = ""
	}
	l.calledClose = true
	if l.conn.Close(code, reason) == nil {
		if l.closeCode != 0 || l.closed {
			l.failf("a second Close was accepted")
		}
		l.closeCode, l.closeReason = int(code), reason
		l.closeSnapshot()
	}
}
