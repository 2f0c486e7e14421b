package tlswire

import "io"

// The ways in which a session ends:
//
//	closeWrite  the owner has said everything: close_notify and the end of our
//	            half follow behind what waits
//	hangUp      the peer has sent its close_notify: the end, as after a FIN
//	fail        the handshake failed, or a record broke a rule: crypto/tls has
//	            written an alert, the owner ends the stream in order
//	cut         the socket broke under a write of our own
//	Closed      the socket is gone

// closeWrite implements wire.Loop's CloseWrite.
func (t *session) closeWrite() error {
	switch t.state {
	case shaking:
		if t.shaking == nil { // nothing was said yet, so there is no cipher that would be needed for it
			t.post(append(t.loop.mem.Get(len(alertInternal)), alertInternal...), 0)
		}
		t.giveUp()
		if !t.readOn() { // or the peer's end of the stream is never seen
			return nil
		}
		t.state = broken
	case open:
		t.sayGoodbye()
	case broken, detached, ended:
	}
	t.fin = true
	return t.finish()
}

// sayGoodbye sends a close_notify behind what waits (RFC 8446 §6.1).
func (t *session) sayGoodbye() {
	_ = t.conn.CloseWrite() // an alert was sent already, if it fails
	if len(t.stream.out) > 0 {
		goodbye := append(t.loop.mem.Get(len(t.stream.out)), t.stream.out...)
		t.stream.out = nil
		t.post(goodbye, 0)
	}
}

// finish ends our half of the stream, once that is wanted and all ciphertext has
// left.
func (t *session) finish() error {
	switch {
	case t.unsent != nil:
		return t.watch()
	case t.fin && !t.finSent:
		t.finSent = true
		return t.loop.Loop.CloseWrite(t.socket)
	}
	return nil
}

// hangUp ends a session whose peer has ended its half.
func (t *session) hangUp() {
	t.sayGoodbye()
	t.cut(io.EOF)
}

// cut closes the socket. err is what the owner hears.
func (t *session) cut(err error) {
	if t.state == ended {
		return
	}
	t.why = err
	t.loop.Loop.Close(t.socket)
}

// fail tells the owner that the peer cannot be understood any more.
func (t *session) fail(err error) {
	if t.state == ended {
		return
	}
	t.giveUp()
	if !t.readOn() { // or the peer's end of the stream is never seen
		return
	}
	t.state = broken
	if t.unsent != nil { // what the owner writes from now on goes nowhere, and it need not wait for the rest
		t.unsent.text, t.unsent.told = 0, 0
	}
	if t.owner != nil {
		t.owner.Broken(err)
	}
}
