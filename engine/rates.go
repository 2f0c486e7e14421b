package engine

import "maps"

// Limits on how fast a peer may send (Endpoint.MaxMessageRate, MaxByteRate,
// MaxControlRate). Who exceeds one is closed with 1008, and not listened to any
// more.
//
// An endpoint that limits messages or bytes has meters for each of its connections.
// The limit on control frames is on by default, so it must not cost anything while
// there are none: the loop has a meter for those connections only that have sent
// some just now.
//
// What a peer sends while it isn't read from piles up in the kernel and comes at
// once afterwards. It is not to blame for that, so the time of a pause is credited.

// rates are what an endpoint allows.
type rates struct {
	messages, bytes, controls pace
}

func (e *Endpoint) rates() rates {
	r := rates{messages: paceOf(e.MaxMessageRate), bytes: paceOf(e.MaxByteRate), controls: paceOf(e.MaxControlRate)}
	if r.bytes.rate > 0 { // one message of the greatest length may come at once
		r.bytes.ahead = max(second, int64(float64(e.MaxMessage)/float64(e.MaxByteRate)*float64(second)))
	}
	return r
}

// meters are those of a connection whose endpoint limits messages or bytes.
type meters struct{ messages, bytes meter }

// startRates is called when the connection opens.
func (c *Conn) startRates() {
	if p := &c.id.pace; p.messages.rate > 0 || p.bytes.rate > 0 {
		c.extra().meters = new(meters)
	}
}

// paysBytes counts n bytes of frames. It says whether the connection goes on.
func (c *Conn) paysBytes(n int) bool {
	if c.phase != phaseOpen || c.id.pace.bytes.rate == 0 {
		return true
	}
	return c.pays(c.id.pace.bytes, &c.more.Load().meters.bytes, n)
}

// paysMessage counts a message.
func (c *Conn) paysMessage() bool {
	if c.id.pace.messages.rate == 0 {
		return true
	}
	return c.pays(c.id.pace.messages, &c.more.Load().meters.messages, 1)
}

// paysControl counts a ping or a pong.
func (c *Conn) paysControl() bool {
	if c.phase != phaseOpen || c.id.pace.controls.rate == 0 {
		return true
	}
	t := &c.loop.controls
	t.sweep(c.loop.turnTime())
	m := t.meters[c]
	ok := c.pays(c.id.pace.controls, &m, 1)
	t.meters[c] = m
	return ok
}

func (c *Conn) pays(p pace, m *meter, n int) bool {
	if p.take(m, c.loop.turnTime(), int64(n)) {
		return true
	}
	c.loop.server.refusals.limited.Add(1)
	c.loop.drainInbox() // what was accepted for sending goes before the Close frame
	c.fail(ErrRateLimited)
	return false
}

// controls are the meters of connections that have sent control frames, and since
// when those are paused that must get credit for it. Loop-only.
type controls struct {
	meters map[*Conn]meter
	paused map[*Conn]int64
	swept  int64
}

func newControls() controls {
	return controls{meters: make(map[*Conn]meter), paused: make(map[*Conn]int64)}
}

// sweep forgets meters that say nothing any more, once a second.
func (t *controls) sweep(now int64) {
	if now-t.swept >= second {
		t.swept = now
		maps.DeleteFunc(t.meters, func(_ *Conn, m meter) bool { return m.spent(now) })
	}
}

// notePause is called when reading pauses.
func (c *Conn) notePause() {
	if p := &c.id.pace; *p != (rates{}) {
		c.loop.controls.paused[c] = c.loop.turnTime()
	}
}

// noteResume is called when it goes on.
func (c *Conn) noteResume() {
	t := &c.loop.controls
	since, ok := t.paused[c]
	if !ok {
		return
	}
	delete(t.paused, c)
	now := c.loop.turnTime()
	d := now - since
	if c.id.pace.controls.rate > 0 {
		m := t.meters[c]
		m.excuse(now, d)
		t.meters[c] = m
	}
	if x := c.more.Load(); x != nil && x.meters != nil {
		x.meters.messages.excuse(now, d)
		x.meters.bytes.excuse(now, d)
	}
}

// dropRates forgets a connection that has ended.
func (c *Conn) dropRates() {
	delete(c.loop.controls.meters, c)
	delete(c.loop.controls.paused, c)
}

// turnTime is the time in this turn, on the loop's clock. It is looked up once.
func (l *loop) turnTime() int64 {
	if l.time == 0 {
		l.time = int64(l.wire.Now())
	}
	return l.time
}
