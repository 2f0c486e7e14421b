package proxywire

import (
	"net"

	"github.com/headrace/headrace/engine/internal/wire"
)

// conn is one connection that begins with a header. It is a wire.Owner for the
// transport. All of it is loop-only.
//
// Size budget: 24 bytes once the header is there.
type conn struct {
	owner   wire.Owner // nil after Closed
	waiting *waiting   // until the header is there
}

// waiting is what a connection needs before its header is there.
type waiting struct {
	handler *handler
	socket  wire.Socket
	remote  net.Addr
	held    []byte // the beginning of a header that a read has cut
	why     error  // what Close will have been
}

// Arrived implements wire.Owner.
func (c *conn) Arrived(p []byte) {
	w := c.waiting
	if w == nil {
		c.owner.Arrived(p)
		return
	}
	if w.held != nil {
		p = append(w.held, p...)
	}
	source, n, err := parseHeader(p)
	switch {
	case err != nil:
		w.cut(err)
	case n > 0:
		c.waiting = nil
		c.begin(source, p[n:])
	case w.held == nil:
		w.held = append([]byte(nil), p...)
	default:
		w.held = p
	}
}

// begin gives the connection to its owner: for whom it is, and what came behind
// the header.
func (c *conn) begin(source net.Addr, rest []byte) {
	if o, ok := c.owner.(wire.Introduced); ok {
		o.Introduce(source)
	}
	if len(rest) > 0 && c.owner != nil { // else Introduce has ended it
		c.owner.Arrived(rest)
	}
}

// cut ends a connection without a word: there is nobody who would understand one.
func (w *waiting) cut(err error) {
	w.why = err
	w.handler.opts.Refused(w.remote, err)
	w.handler.inner.Close(w.socket)
}

// Writable implements wire.Owner.
func (c *conn) Writable() {
	if c.owner != nil {
		c.owner.Writable()
	}
}

// Moved implements wire.Owner. Nothing below calls it.
func (c *conn) Moved(cut bool) { c.owner.Moved(cut) }

// Broken implements wire.Owner. Nothing below calls it.
func (c *conn) Broken(err error) { c.owner.Broken(err) }

// Closed implements wire.Owner.
func (c *conn) Closed(err error) {
	owner := c.owner
	if owner == nil {
		return
	}
	if w := c.waiting; w != nil && err == nil {
		err = w.why
	}
	c.owner, c.waiting = nil, nil
	owner.Closed(err)
}
