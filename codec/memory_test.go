package codec

import (
	"bytes"
	"slices"
	"testing"
	"unicode/utf8"
	"unsafe"
)

// testMemory lends fresh buffers and watches over them: each comes back exactly once, and is poisoned then, so that
// whoever reads it afterwards sees 0xDB.
type testMemory struct {
	t    testing.TB
	out  map[*byte]bool
	gets int
	most int // the largest Get in bytes
}

func newTestMemory(t testing.TB) *testMemory { return &testMemory{t: t, out: map[*byte]bool{}} }

func (m *testMemory) Get(n int) []byte {
	if n <= 0 {
		m.t.Fatalf("Get(%d)", n)
	}
	p := make([]byte, 0, n)
	m.out[unsafe.SliceData(p)] = true
	m.gets++
	m.most = max(m.most, n)
	return p
}

func (m *testMemory) Put(p []byte) {
	id := unsafe.SliceData(p)
	if !m.out[id] {
		m.t.Fatal("Put of a buffer that is not lent")
	}
	delete(m.out, id)
	p = p[:cap(p)]
	for i := range p {
		p[i] = 0xDB
	}
}

// decode feeds in to a Decoder in pieces as large as size says (it gets what is left) and returns copies of the
// events. It checks on the way what holds for every input.
func decode(t testing.TB, r *Rules, in []byte, size func(left int) int) (events []Event, err error) {
	t.Helper()
	return decodeBy(func(d *Decoder, r *Rules, mem Memory, b []byte) (Event, int, error) {
		ev, n, err := d.Next(r, mem, b)
		if err == nil && ev.Op == OpContinuation && n < len(b) {
			t.Fatalf("no event, and %d of %d bytes taken", n, len(b))
		}
		return ev, n, err
	}, t, r, in, size)
}

// nextInPlace is Next by way of Room, where there is one.
func nextInPlace(d *Decoder, r *Rules, mem Memory, b []byte) (Event, int, error) {
	n := int(min(d.Missing(), int64(len(b))))
	if n == 0 {
		return d.Next(r, mem, b)
	}
	copy(d.Room(r, mem, n), b)
	ev, err := d.Filled(n)
	return ev, n, err
}

// decodeBy is decode with a way to take bytes.
func decodeBy(next func(*Decoder, *Rules, Memory, []byte) (Event, int, error), t testing.TB, r *Rules, in []byte, size func(left int) int) (events []Event, err error) {
	t.Helper()
	mem := newTestMemory(t)
	var d Decoder
	arrived := 0 // bytes since the last message: what the memory may be measured by
	for len(in) > 0 && err == nil {
		b := bytes.Clone(in[:min(size(len(in)), len(in))])
		in = in[len(b):]
		for len(b) > 0 {
			var ev Event
			var n int
			ev, n, err = next(&d, r, mem, b)
			arrived += n
			if limit := max(2*arrived, minBuffer); d.Buffered() > limit || mem.most > limit || len(mem.out) > 1 {
				t.Fatalf("%d bytes in %d buffers after %d bytes", d.Buffered(), len(mem.out), arrived)
			}
			if err != nil {
				break
			}
			b = b[n:]
			if ev.Op == OpContinuation {
				continue
			}
			checkEvent(t, r, ev)
			ev.Payload = bytes.Clone(ev.Payload)
			events = append(events, ev)
			if ev.Op.IsData() {
				arrived, mem.most = 0, 0
			}
		}
		d.Release(mem)
		if (len(mem.out) == 1) != (d.Buffered() > 0) || d.Idle() && d.Buffered() > 0 {
			t.Fatalf("%d buffers lent, Buffered %d, Idle %v", len(mem.out), d.Buffered(), d.Idle())
		}
	}
	d.Reset(mem)
	if d.Buffered() != 0 || !d.Idle() || len(mem.out) != 0 {
		t.Fatalf("after Reset: %d bytes, Idle %v, %d buffers still lent", d.Buffered(), d.Idle(), len(mem.out))
	}
	return events, err
}

// checkEvent holds what is promised of every event.
func checkEvent(t testing.TB, r *Rules, ev Event) {
	t.Helper()
	switch {
	case ev.Op.IsControl() && (len(ev.Payload) > MaxControlPayload || ev.Compressed):
		t.Fatalf("control event %+v", ev)
	case ev.Op.IsData() && int64(len(ev.Payload)) > r.MaxMessage:
		t.Fatalf("message of %d bytes, limit %d", len(ev.Payload), r.MaxMessage)
	case ev.Op == OpText && !ev.Compressed && !utf8.Valid(ev.Payload):
		t.Fatalf("text is not UTF-8: % x", ev.Payload)
	case ev.Compressed && !r.Deflate:
		t.Fatal("compressed without the extension")
	}
}

func sameEvents(a, b []Event) bool {
	return slices.EqualFunc(a, b, func(x, y Event) bool {
		return x.Op == y.Op && x.Compressed == y.Compressed && bytes.Equal(x.Payload, y.Payload)
	})
}
