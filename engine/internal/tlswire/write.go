package tlswire

// The way of what a turn has written: up to chunkSize of it, in whichever
// buffers, is sealed into records in one buffer, and that goes out in one
// write(2). What the kernel doesn't take stays in unsent.
//
// The owner keeps what it has not been told of, and comes with it again. Those
// bytes are sealed already, and are passed over. So that its counts stay true, it
// is told of as many bytes as the kernel has taken in proportion, and of the last
// only when all has left.

// chunkSize is how much text is sealed at once: whole records.
const chunkSize = 64 << 10

// unsent is ciphertext that the kernel has not taken.
type unsent struct {
	p    []byte // from the loop's memory
	sent int    // bytes of p that the kernel has taken
	text int    // bytes of the owner's that p holds
	told int    // of those, the ones that the owner knows to have left
}

// write implements wire.Loop's Write and Writev.
func (t *session) write(bufs [][]byte) (n int, err error) {
	if t.state != open { // nobody could read it
		for _, b := range bufs {
			n += len(b)
		}
		return n, nil
	}
	if t.unsent != nil {
		if n, err = t.send(); t.unsent != nil || err != nil {
			return n, err
		}
	}
	rest := cursor{bufs: bufs}
	rest.skip(n)
	for t.unsent == nil && err == nil {
		chunk, copied := rest.next(t)
		if len(chunk) == 0 {
			break
		}
		var m int
		m, err = t.seal(chunk)
		n += m
		if copied {
			t.loop.mem.Put(chunk)
		}
	}
	return n, err
}

// seal encrypts a chunk and sends it. It says how much of it has left. Behind an
// alert nothing can be sent: a record of the same read was bad, and fail is about
// to tell the owner.
func (t *session) seal(chunk []byte) (n int, err error) {
	t.stream.out = t.loop.mem.Get(sealedSize(len(chunk)))
	_, err = t.conn.Write(chunk)
	sealed := t.stream.out
	t.stream.out = nil
	if err != nil {
		t.loop.mem.Put(sealed)
		return len(chunk), nil
	}
	return t.post(sealed, len(chunk))
}

// sealedSize is room for n bytes of text in records: each has a header, a nonce or
// IV, a MAC or tag, and padding.
func sealedSize(n int) int { return n + (n>>14+1)*recordOverhead }

const recordOverhead = 128

// post sends ciphertext that holds so many bytes of the owner's text, behind what
// waits. It takes ownership of p. It says how much text has left.
func (t *session) post(p []byte, text int) (n int, err error) {
	if u := t.unsent; u != nil {
		u.p = append(u.p, p...)
		u.text += text
		t.loop.mem.Put(p)
		return 0, nil
	}
	sent, err := t.loop.Loop.Write(t.socket, p)
	if sent == len(p) {
		t.loop.mem.Put(p)
		return text, err
	}
	u := &unsent{p: p, sent: sent, text: text}
	t.unsent = u
	return u.tell(), err
}

// send tries unsent again. It says how much text has left since the owner was
// told.
func (t *session) send() (n int, err error) {
	u := t.unsent
	if u.sent < len(u.p) {
		var sent int
		sent, err = t.loop.Loop.Write(t.socket, u.p[u.sent:])
		u.sent += sent
	}
	n = u.tell()
	if u.sent == len(u.p) {
		t.loop.mem.Put(u.p)
		t.unsent = nil
	}
	return n, err
}

// tell gives how much text has left since the last call.
func (u *unsent) tell() int {
	all := u.text
	if u.sent < len(u.p) {
		all = max(u.told, int(int64(u.text)*int64(u.sent)/int64(len(u.p))))
	}
	n := all - u.told
	u.told = all
	return n
}

// sendRest sends what waits while the owner has nothing to write, and ends our
// half of the stream behind it if that is due. What the owner still is to be told
// of is left to its own call.
func (t *session) sendRest() {
	u := t.unsent
	switch {
	case t.state == ended || t.watching:
		return
	case u == nil && !t.fin:
		return
	case u != nil && u.text > u.told:
		return // the owner comes again: it was told so
	}
	if u != nil {
		if _, err := t.send(); err != nil {
			t.cut(err)
			return
		}
	}
	if err := t.finish(); err != nil {
		t.cut(err)
	}
}

// cursor is a place in a run of bytes that lies in several buffers.
type cursor struct {
	bufs [][]byte
	off  int // bytes of the first one that are used
}

// skip passes over n bytes.
func (x *cursor) skip(n int) {
	for n > 0 {
		rest := len(x.bufs[0]) - x.off
		if n < rest {
			x.off += n
			return
		}
		n -= rest
		x.bufs, x.off = x.bufs[1:], 0
	}
}

// next takes up to chunkSize bytes: where they lie if they lie together, else
// copied into a buffer of the loop's.
func (x *cursor) next(t *session) (chunk []byte, copied bool) {
	for len(x.bufs) > 0 && x.off == len(x.bufs[0]) {
		x.bufs, x.off = x.bufs[1:], 0
	}
	if len(x.bufs) == 0 {
		return nil, false
	}
	first := x.bufs[0][x.off:]
	if len(first) >= chunkSize || len(x.bufs) == 1 {
		chunk = first[:min(len(first), chunkSize)]
		x.off += len(chunk)
		return chunk, false
	}
	size := 0
	for i, b := range x.bufs {
		if i == 0 {
			b = first
		}
		if size += len(b); size >= chunkSize {
			size = chunkSize
			break
		}
	}
	chunk = t.loop.mem.Get(size)
	for len(chunk) < size {
		b := x.bufs[0][x.off:]
		n := min(len(b), size-len(chunk))
		chunk = append(chunk, b[:n]...)
		x.skip(n)
	}
	return chunk, true
}
