package tlswire

import (
	"crypto/tls"
	"net"

	"github.com/headrace/headrace/engine/internal/wire"
)

// session is one TLS connection. It is a wire.Owner for the transport, and the
// Ref of the engine's wire.Socket. All of it is loop-only.
//
// Size budget: 144 bytes, and 112 for its stream. crypto/tls adds about 3 KB.
type session struct {
	loop   *loop
	socket wire.Socket // the transport's
	owner  wire.Owner
	config *tls.Config
	stream *stream   // the handshake's while shaking, net/http's once detached
	conn   *tls.Conn // once the handshake is done

	shaking *handshake // while it is under way
	held    []byte     // the beginning of a record that a read has cut, from the loop's memory
	unsent  *unsent    // ciphertext that the kernel has not taken
	why     error      // what Close will have been

	state    state
	watching bool // a Writable call of the transport will come
	wanted   bool // the owner waits for it
	paused   bool // the transport doesn't read: the owner said so, or too much waits for a worker
	ending   bool // the peer has ended its half; the owner hears of it when it reads on
	fin      bool // our half ends behind unsent
	finSent  bool
	cutShort bool // the owner was told that a record is cut
}

// state is where a session is in its life.
type state uint8

const (
	shaking  state = iota // the TLS handshake is not done
	open                  // the loop has the tls.Conn
	broken                // nothing can be read or written any more
	detached              // someone outside the loop has the tls.Conn
	ended                 // Closed was called
)

// Arrived implements wire.Owner.
func (t *session) Arrived(p []byte) {
	switch t.state {
	case shaking:
		t.shake(p)
	case open:
		t.read(p)
	case broken, detached, ended: // what still comes is dropped
	}
}

// Writable implements wire.Owner.
func (t *session) Writable() {
	if t.state == ended {
		return
	}
	t.watching = false
	if t.wanted {
		t.wanted = false
		t.owner.Writable()
	}
	t.sendRest()
}

// Introduce implements wire.Introduced.
func (t *session) Introduce(remote net.Addr) {
	if remote != nil {
		t.stream.remote = remote
	}
	if o, ok := t.owner.(wire.Introduced); ok && t.state != ended {
		o.Introduce(remote)
	}
}

// Moved implements wire.Owner. Nothing below calls it.
func (t *session) Moved(bool) {}

// Broken implements wire.Owner. Nothing below calls it.
func (t *session) Broken(err error) { t.fail(err) }

// Closed implements wire.Owner.
func (t *session) Closed(err error) {
	if t.state == ended {
		return
	}
	t.state = ended
	t.giveUp()
	t.drop()
	if err == nil {
		err = t.why
	}
	if t.owner != nil {
		t.owner.Closed(err)
	}
}

// news is called after report: a handshake has gone on, or an end that waited is
// due.
func (t *session) news() {
	switch {
	case t.state == shaking && t.shaking != nil:
		t.proceed()
	case t.state == open && t.ending && !t.paused:
		t.hangUp()
	}
}

// watch asks for a Writable call of the transport, once.
func (t *session) watch() error {
	if t.watching {
		return nil
	}
	err := t.loop.Loop.WatchWritable(t.socket)
	t.watching = err == nil
	return err
}

func (t *session) pause() error {
	err := t.loop.Loop.PauseRead(t.socket)
	t.paused = err == nil
	return err
}

func (t *session) resume() error {
	t.paused = false
	if t.ending {
		t.loop.report(t)
		return nil
	}
	return t.loop.Loop.ResumeRead(t.socket)
}

// drop gives back all memory.
func (t *session) drop() {
	if t.held != nil {
		t.loop.mem.Put(t.held)
		t.held = nil
	}
	if t.unsent != nil {
		t.loop.mem.Put(t.unsent.p)
		t.unsent = nil
	}
}
