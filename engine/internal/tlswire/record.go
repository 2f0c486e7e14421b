package tlswire

// A record (RFC 8446 §5.1): type, version in two bytes, length in two bytes, and
// the fragment.
const (
	recordHeader    = 5
	recordHandshake = 22
	maxFragment     = 1<<14 + 2048 // of TLS 1.2, which allows more than 1.3
)

// recordSize gives the length of the record that p begins with, and 0 while it is
// not whole. A header that crypto/tls refuses on sight stands for a record of its
// own, so that nobody waits for a fragment that never ends.
func recordSize(p []byte) int {
	if len(p) < recordHeader {
		return 0
	}
	n := int(p[3])<<8 | int(p[4])
	if n > maxFragment || p[1] != 3 {
		return recordHeader
	}
	if len(p) < recordHeader+n {
		return 0
	}
	return recordHeader + n
}

// hold keeps p, the beginning of a record or more of it. The buffer grows with
// what has come, not with what a header promises.
func (t *session) hold(p []byte) {
	mem := t.loop.mem
	if len(t.held)+len(p) > cap(t.held) {
		grown := append(mem.Get(max(2*cap(t.held), len(t.held)+len(p))), t.held...)
		if t.held != nil {
			mem.Put(t.held)
		}
		t.held = grown
	}
	t.held = append(t.held, p...)
}

// fill moves bytes of p to what is held, up to the end of the record that begins
// there. It says how many, and whether the record is whole.
func (t *session) fill(p []byte) (n int, whole bool) {
	n = min(len(p), max(0, recordHeader-len(t.held)))
	t.hold(p[:n])
	if len(t.held) < recordHeader {
		return n, false
	}
	if recordSize(t.held) == 0 {
		missing := recordHeader + int(t.held[3])<<8 + int(t.held[4]) - len(t.held)
		more := min(len(p)-n, missing)
		t.hold(p[n : n+more])
		n += more
	}
	return n, recordSize(t.held) > 0
}

// nextRecord gives the next whole record: what is held and the bytes of p that
// complete it, or the first bytes of p. When there is none it holds all of p.
func (t *session) nextRecord(p []byte) (record, rest []byte) {
	if t.held == nil {
		if n := recordSize(p); n > 0 {
			return p[:n], p[n:]
		}
		t.hold(p)
		return nil, nil
	}
	n, whole := t.fill(p)
	if !whole {
		return nil, nil
	}
	return t.held, p[n:]
}
