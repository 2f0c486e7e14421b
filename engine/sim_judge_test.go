package engine

import (
	"errors"
	"io"
	"slices"
	"strconv"

	"github.com/headrace/headrace/codec"
)

// checkAnswer is for the answer to the opening handshake, when it has come.
func (l *simLife) checkAnswer() {
	r, w := &l.peer.reader, l.w
	late := w.sim.Now()-l.begun >= w.cfg.HandshakeTimeout
	switch {
	case l.atEdge && (r.status == 503 || r.status == l.plan.shake.want):
	case l.full || l.draining:
		if r.status != 503 {
			l.failf("answered with %d where there is no room", r.status)
		}
	case r.status == l.plan.shake.want:
	case r.status == 503 && w.draining, r.status == 408 && late:
	default:
		l.failf("answered with %d, want %d: %q", r.status, l.plan.shake.want, l.plan.shake.request)
	}
	if r.status == 101 && (r.headers["sec-websocket-accept"] != acceptKey(l.plan.shake.key) ||
		r.headers["x-life"] != strconv.Itoa(l.id)) {
		l.failf("granted with %v", r.headers)
	}
}

// checkEndOfStream is for the end of what the server has to say.
func (l *simLife) checkEndOfStream(inOrder bool) {
	r := &l.peer.reader
	// A peer that is still sending when CloseTimeout is over is cut: that is what it is for.
	l.late = l.peer.gotClose && l.w.sim.Now()-l.peer.gotNow >= l.w.cfg.CloseTimeout-simSlack
	if l.steady() && !inOrder {
		l.failf("the server's stream ended with %v", l.peer.endedBy)
	}
	if p := &l.peer; l.steady() && p.gotClose && p.breached && p.gotCode == l.plan.breach.code && l.w.busyTime()-p.gotAt > simSlack {
		l.failf("the server waited for %v after it had answered a breach", l.w.busyTime()-p.gotAt)
	}
	if !inOrder || !l.steady() || r.status == 101 {
		return
	}
	want, _ := strconv.Atoi(r.headers["content-length"])
	// A HEAD request may not have been read before it was refused.
	if len(r.body) != want && !(l.plan.shake.head && len(r.body) == 0) {
		l.failf("the body of an answer with %d has %d bytes, not %d: %q", r.status, len(r.body), want, r.body)
	}
}

// checkQueue is for the bytes that wait for the peer.
func (l *simLife) checkQueue() {
	const answerAndClose = 400
	n, limit := l.conn.Buffered(), l.endpoint().limit()
	if l.endpoint().WhenFull.keepsMessages() {
		limit += l.largest
	}
	if n < 0 || n > max(limit, l.largest)+answerAndClose {
		l.failf("%d bytes wait, with a limit of %d and messages of at most %d", n, limit, l.largest)
	}
}

// checkInfo compares a CloseInfo with what has happened.
func (l *simLife) checkInfo() {
	info, p := l.info, &l.peer
	var panicked *PanicError
	var protocol *codec.ProtocolError
	code := int(info.Code)
	switch {
	case info.Clean && !p.sentClose:
		l.failf("clean, but the peer has sent no Close frame: %+v", info)
	case info.Err == nil && !info.Clean:
		l.failf("neither clean nor an error: %+v", info)
	case info.Initiator == Remote && code != 1006 && (code != p.closeCode || info.Reason != p.closeReason || !p.sentClose):
		l.failf("%+v, the peer's Close frame had %d %q", info, p.closeCode, p.closeReason)
	case info.Initiator == Remote && code == 1006 && info.Err == nil:
		l.failf("broken without an error: %+v", info)
	case info.Initiator == Remote && info.Clean && info.Err != nil:
		l.failf("a clean end of the peer's with an error: %+v", info)
	case info.Initiator == Local && !slices.Contains(l.localCodes(), code):
		l.failf("%+v, which nothing explains", info)
	case errors.As(info.Err, &panicked) && !l.panicked,
		errors.As(info.Err, &protocol) && !p.breached,
		errors.Is(info.Err, ErrShutdown) && !l.w.draining && !l.w.cut,
		errors.Is(info.Err, ErrSlowPeer) && !l.mayBeSlow(),
		errors.Is(info.Err, ErrNoPong) && l.endpoint().PingInterval < 0,
		errors.Is(info.Err, ErrIdle) && l.endpoint().IdleTimeout == 0,
		errors.Is(info.Err, ErrMaxAge) && l.endpoint().MaxAge == 0:
		l.failf("%+v, which nothing explains", info)
	}
	if told, _ := closeFor(info.Err); info.Initiator == Local && told != codec.CloseAbnormal && told != info.Code &&
		code != 1006 && code != l.closeCode {
		l.failf("code and error do not belong together: %+v", info)
	}
	if errors.Is(info.Err, io.EOF) && !errors.Is(info.Err, io.ErrUnexpectedEOF) {
		l.failf("a bare io.EOF: %+v", info)
	}
	l.checkQueue()
}

// mayBeSlow says whether the queue may have been too small for something: for a
// message, or for a pong.
func (l *simLife) mayBeSlow() bool { return l.slow || l.plan.pings > 0 }

// mayBeEnded says whether the server may end it for reasons of its own.
func (l *simLife) mayBeEnded() bool {
	ep := l.endpoint()
	return l.w.draining || ep.PingInterval > 0 || ep.IdleTimeout > 0 || ep.MaxAge > 0
}

// localCodes are the close codes that the server has had a reason for.
func (l *simLife) localCodes() (codes []int) {
	add := func(yes bool, code int) {
		if yes {
			codes = append(codes, code)
		}
	}
	add(l.closeCode != 0, l.closeCode)
	add(l.panicked, 1011)
	add(l.mayBeSlow(), 1013)
	add(l.w.draining || l.endpoint().IdleTimeout > 0 || l.endpoint().MaxAge > 0, 1001)
	add(l.endpoint().PingInterval > 0, 1011)
	add(l.w.cut, 1006)
	add(l.peer.breached, l.plan.breach.code)
	return codes
}

// judge looks at a life after its end.
func (l *simLife) judge() {
	p := &l.peer
	switch {
	case l.conn == nil && l.peer.reader.status == 101:
		l.failf("granted, but OnOpen was not called")
	case l.conn != nil && !l.closed:
		l.failf("OnClose was not called")
	case l.conn == nil && l.steady():
		l.judgeRefused()
	}
	if l.admits > 1 {
		l.failf("Admit was asked %d times", l.admits)
	}
	if l.conn == nil {
		return
	}
	if n := l.conn.Buffered(); n != 0 && !l.w.cut {
		l.failf("%d bytes wait after the end", n)
	}
	if l.conn.in != nil || l.conn.out != nil || l.conn.phase != phaseEnded {
		l.failf("an ended connection holds in=%v out=%v, phase %d", l.conn.in, l.conn.out, l.conn.phase)
	}
	if p.gotClose {
		l.judgeClose()
	} else if l.info.Clean && p.ended && errors.Is(p.endedBy, io.EOF) {
		l.failf("clean, but the server's stream ended without a Close frame: %+v", l.info)
	}
	l.judgeHeard()
	if l.steady() {
		l.judgeSteady()
	}
}

// judgeRefused is for a peer that got no connection and can tell.
func (l *simLife) judgeRefused() {
	if p := &l.peer; p.reader.status == 0 || !p.ended {
		l.failf("no answer: status %d, ended %t, %d bytes unread by the server", p.reader.status, p.ended, p.end.Unread())
	}
}

// judgeClose is for a peer that has read the server's Close frame, and with it
// everything that was sent.
func (l *simLife) judgeClose() {
	info, p := l.info, &l.peer
	if p.gotCode != int(info.Code) || info.Initiator == Local && p.gotReason != info.Reason {
		l.failf("the peer was told %d %q, the handler %+v", p.gotCode, p.gotReason, info)
	}
	var panicked *PanicError
	byHandler := info.Initiator == Local && int(info.Code) == l.closeCode && info.Reason == l.closeReason &&
		!errors.As(info.Err, &panicked) && !errors.Is(info.Err, ErrShutdown)
	missing := 0
	for src, lane := range l.toPeer {
		due := lane.must
		if byHandler {
			due = lane.atClose
		} else if info.Initiator == Remote && src == l.home() && !l.works() {
			due = len(lane.due)
		}
		missing += max(0, due-lane.got)
	}
	if dropped := l.conn.Dropped() - l.refused - l.skipped; dropped < 0 || missing > dropped {
		l.failf("%d frames that had to did not come before the Close frame; %d were dropped, %d of them refused, %d seen missing: %+v",
			missing, l.conn.Dropped(), l.refused, l.skipped, info)
	}
}

// judgeHeard is for what the handler was told.
func (l *simLife) judgeHeard() {
	info := l.info
	var protocol *codec.ProtocolError
	all := info.Initiator == Remote && info.Code != codec.CloseAbnormal ||
		info.Initiator == Local && errors.As(info.Err, &protocol) && protocol.Code == info.Code &&
			l.closeCode == 0 && !l.panicked && !l.mayBeSlow() && !l.mayBeEnded()
	if l.works() && (l.calledClose || l.panicked) { // both drop what workers have not delivered
		all = false
	}
	if all && l.heard < len(l.toHandler) {
		l.failf("the handler was not told of everything before the end: %+v", info)
	}
}

// judgeSteady is for a peer that has read on until the end.
func (l *simLife) judgeSteady() {
	info, p := l.info, &l.peer
	switch {
	case !p.gotClose || !p.ended || len(p.reader.buf) > 0:
		l.failf("the peer has read on, but: Close frame %t, ended %t, half a frame of %d bytes; %+v",
			p.gotClose, p.ended, len(p.reader.buf), info)
	case l.panicked && l.closeCode == 0 && !l.mayBeSlow() && !l.mayBeEnded() && p.gotCode != 1011:
		l.failf("a panic was answered with %d", p.gotCode)
	case p.breached && l.closeCode == 0 && !l.panicked && !l.mayBeSlow() && !l.mayBeEnded() && p.gotCode != l.plan.breach.code:
		l.failf("the breach %.60x was answered with %d, want %d", l.plan.breach.bytes, p.gotCode, l.plan.breach.code)
	case !p.breached && !info.Clean && !l.panicked && !l.slow:
		l.failf("both sides have said goodbye, but: %+v", info)
	}
}
