package codec

// Window is the end of the plaintext of a connection's compressed messages, one behind the other, in one direction.
// The next message may refer to it (RFC 7692 §7.2: context takeover). Messages that went uncompressed are no part of
// it. The zero value is ready and holds no memory.
//
// Size budget: 24 bytes.
type Window struct{ buf []byte }

// Bytes are what Deflater.Append and Inflater.Inflate take as their history. Valid until the next call of Add or
// Release.
func (w *Window) Bytes() []byte { return w.buf }

// Buffered is the capacity in bytes that w holds from Memory.
func (w *Window) Buffered() int { return cap(w.buf) }

// Add takes in the plaintext p of a message and keeps the last size bytes. The buffer from mem grows with what there is
// to keep, by doubling, to size. It does not retain p.
func (w *Window) Add(mem Memory, p []byte, size int) {
	p = p[max(0, len(p)-size):]
	old := w.buf[max(0, len(w.buf)+len(p)-size):]
	need := len(old) + len(p)
	switch {
	case need == 0:
		return
	case need > cap(w.buf):
		buf := append(mem.Get(min(max(2*need, minBuffer), size)), old...)
		w.Release(mem)
		w.buf = buf
	default:
		w.buf = w.buf[:copy(w.buf, old)]
	}
	w.buf = append(w.buf, p...)
}

// Release gives the buffer back and makes w a zero value.
func (w *Window) Release(mem Memory) {
	if w.buf != nil {
		mem.Put(w.buf)
		w.buf = nil
	}
}
