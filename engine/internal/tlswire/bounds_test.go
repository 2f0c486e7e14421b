package tlswire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"runtime"
	"testing"
	"time"
)

// dribble is a hello in records of one byte each, which is never whole.
func dribble(bytesOfHello int) (wire []byte) {
	msg := make([]byte, bytesOfHello)
	msg[0], msg[1], msg[2], msg[3] = 1, 0, 0xFE, 0xFF
	for _, b := range msg {
		wire = append(wire, recordHandshake, 3, 1, 0, 1, b)
	}
	return wire
}

// A client cannot have a handshake take in more than a hello may be long, in
// whichever way it cuts it.
func TestHelloThatNeverEnds(t *testing.T) {
	small := dribble(60_000)
	large := append([]byte{recordHandshake, 3, 1, 0x40, 0, 1, 0, 0xFE, 0xFF}, make([]byte, 1<<14-4)...)
	large = append(large, bytes.Repeat(append([]byte{recordHandshake, 3, 1, 0x40, 0}, make([]byte, 1<<14)...), 4)...)
	for name, row := range map[string]struct {
		wire []byte
		read int
	}{
		"small records, one read":    {small, len(small)},
		"small records, small reads": {small, 100},
		"large records, one read":    {large, len(large)},
		"large records, small reads": {large, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			u := &user{}
			l := serve(u, serverConfig(), nil)
			for p := row.wire; len(p) > 0 && u.broken == nil; p = p[min(len(p), row.read):] {
				l.arrive(p[:min(len(p), row.read)])
			}
			if !errors.Is(u.broken, errTooMuch) {
				t.Errorf("it ended with %v", u.broken)
			}
		})
	}
}

// The heap and stack of a suspended handshake whose client is as greedy as it can be.
// See Config.MaxTLSHandshakes.
const (
	handshakeBudget = 60 << 10
	chainBudget     = 200 << 10 // where certificates of clients are asked for
)

func TestHandshakeMemory(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector changes the size of everything")
	}
	asks := serverConfig().Clone()
	asks.ClientAuth = tls.RequestClientCert
	first := hello(t)
	cut := append([]byte{recordHandshake, 3, 3, 0x3F, 0xFF}, make([]byte, 1<<14-2)...) // by a byte
	record := func(n int) []byte {
		return append([]byte{recordHandshake, 3, 1, byte(n >> 8), byte(n)}, make([]byte, n)...)
	}
	most := record(0x3F00)
	copy(most[recordHeader:], []byte{1, 0, 0xFE, 0xFF}) // 64 KB are promised
	for _, row := range []struct {
		name   string
		config *tls.Config
		wire   []byte
		budget int
	}{
		{"a hello", serverConfig(), first, handshakeBudget},
		{"a hello, then a cut record", serverConfig(), append(bytes.Clone(first), cut...), handshakeBudget},
		{"most of a hello", serverConfig(), append(bytes.Clone(most), cut[:200]...), handshakeBudget},
		{"most of a hello in small records", serverConfig(), append(dribble(2600), cut[:600]...), handshakeBudget},
		{"most of a long hello", asks, append(append(bytes.Clone(most), append(bytes.Repeat(record(16<<10), 2), record(16000)...)...), cut[:16000]...), chainBudget},
	} {
		const n = 50
		before := heapInUse()
		var keep []*transport
		for range n {
			u := &user{}
			l := serve(u, row.config, nil)
			for p := row.wire; len(p) > 0; p = p[min(len(p), 1400):] {
				l.arrive(p[:min(len(p), 1400)])
			}
			if u.broken != nil {
				t.Fatalf("%s: %v", row.name, u.broken)
			}
			l.sent = nil
			keep = append(keep, l)
		}
		per := int(heapInUse()-before) / n
		t.Logf("%s: %d KB", row.name, per>>10)
		if per > row.budget {
			t.Errorf("%s: %d bytes of heap, the budget is %d", row.name, per, row.budget)
		}
		for _, l := range keep {
			l.owner.Closed(nil)
		}
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// A client that says all its life's hellos at once behind a good one is told off; the
// same amount behind the server's answer is requests.
func TestMuchBeforeTheAnswer(t *testing.T) {
	u := &user{}
	l := serve(u, serverConfig(), nil)
	l.arrive(append(hello(t), make([]byte, 256<<10)...))
	if !errors.Is(u.broken, errTooMuch) || l.owner.(*session).held != nil {
		t.Errorf("it ended with %v", u.broken)
	}
}

// A handshake that fails while the client is not read from lets its end be seen.
func TestFailureEndsThePause(t *testing.T) {
	for name, finish := range map[string]func(*testing.T, *transport, *user, *shell){
		"the handshake fails": func(t *testing.T, l *transport, u *user, pool *shell) {
			pool.work()
			l.wake()
			if u.broken == nil {
				t.Error("it did not fail")
			}
		},
		"the owner ends it": func(t *testing.T, l *transport, u *user, pool *shell) {
			if err := u.loop.CloseWrite(u.socket); err != nil {
				t.Error(err)
			}
			pool.work()
			l.wake()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var pool shell
			u := &user{}
			l := serve(u, serverConfig(), func(o *Options) { pool.options(o) })
			l.arrive(hello(t))
			pool.work()
			l.wake() // the server's flight is out
			garbage := append([]byte{23, 3, 3, 0, 64}, make([]byte, 64)...)
			l.arrive(bytes.Repeat(garbage, 1000))
			if !l.paused {
				t.Fatal("it is not paused")
			}
			finish(t, l, u, &pool)
			if l.paused || !l.fin {
				t.Errorf("paused: %v, our half ended: %v", l.paused, l.fin)
			}
		})
	}
}

// One read with many KeyUpdates ends the connection, whatever is between them.
func TestKeyUpdatesBetweenText(t *testing.T) {
	for _, n := range []int{maxTextless, maxTextless + 1} {
		u := &user{}
		l, to, _ := shakenSession(t, u)
		var flood []byte
		for range n {
			flood = append(flood, to.seal(typeHandshake, []byte{24, 0, 0, 1, 0})...)
			to = to.updated()
			flood = append(flood, to.seal(typeText, []byte("x"))...)
		}
		at := time.Now()
		l.arrive(flood)
		t.Logf("%d KeyUpdates take %v", n, time.Since(at))
		if ended := u.broken != nil; ended != (n > maxTextless) || ended && !errors.Is(u.broken, errFlood) {
			t.Errorf("%d KeyUpdates: it ended with %v", n, u.broken)
		}
		if len(u.heard) != min(n, maxTextless) {
			t.Errorf("%d of %d bytes of text are heard", len(u.heard), n)
		}
	}
}

// A message after the handshake that is not whole is told of, and cannot grow.
func TestUnfinishedMessage(t *testing.T) {
	u := &user{}
	l, to, _ := shakenSession(t, u)
	u.moves = nil
	l.arrive(to.seal(typeHandshake, []byte{24, 0, 0}))
	if len(u.moves) != 1 || !u.moves[0] {
		t.Errorf("part of a KeyUpdate: told %v", u.moves)
	}
	l.arrive(to.seal(typeHandshake, []byte{1, 0}))
	if len(u.moves) != 2 || u.moves[1] {
		t.Errorf("the rest of it: told %v", u.moves)
	}
	to = to.updated()
	l.arrive(to.seal(typeHandshake, []byte{24, 0, 0xff, 0xff}))
	for range 63 {
		l.arrive(to.seal(typeHandshake, make([]byte, 1024)))
	}
	if !errors.Is(u.broken, errUnfinished) {
		t.Errorf("63 KB of a KeyUpdate: it ended with %v", u.broken)
	}
}

// The owner is told of a record that is cut, and when it is whole, and of nothing
// while records come whole.
func TestCutRecordIsTold(t *testing.T) {
	u := &user{}
	l, to, _ := shakenSession(t, u)
	u.moves = nil
	for range 3 {
		l.arrive(to.seal(typeText, []byte("whole")))
	}
	if len(u.moves) != 0 {
		t.Errorf("whole records: told %v", u.moves)
	}
	cut := to.seal(typeText, []byte("cut"))
	l.arrive(cut[:3])
	l.arrive(cut[3:20])
	l.arrive(cut[20:])
	if len(u.moves) != 3 || !u.moves[0] || !u.moves[1] || u.moves[2] {
		t.Errorf("a record in three reads: told %v", u.moves)
	}
	both := append(to.seal(typeText, []byte("text")), to.seal(typeText, []byte("cut"))...)
	u.moves = nil
	l.arrive(both[:len(both)-1])
	if len(u.moves) != 1 || !u.moves[0] {
		t.Errorf("text, and a cut record: told %v", u.moves)
	}
}

// At the limit the handshake that has waited longest for its client makes room.
func TestEvict(t *testing.T) {
	var b *Backend
	var loops []*transport
	var users []*user
	first := hello(t)
	add := func() {
		u := &user{}
		l := serve(u, serverConfig(), nil)
		if b == nil {
			b = l.owner.(*session).loop.backend
			b.opts.MaxHandshakes = 3
		}
		l.owner.(*session).loop.backend = b
		l.owner.(*session).config = b.configs[0]
		l.arrive(first)
		loops, users = append(loops, l), append(users, u)
	}
	for range 5 {
		add()
	}
	for i, u := range users {
		loops[i].wake()
		if evicted := errors.Is(u.broken, errEvicted); evicted != (i < 2) {
			t.Errorf("handshake %d: %v", i, u.broken)
		}
	}
	if n := b.shaking.Load(); n != 3 {
		t.Errorf("%d handshakes are under way", n)
	}
	for _, l := range loops {
		l.owner.Closed(nil)
	}
	if b.shaking.Load() != 0 || b.suspended.first() != nil || b.suspended.newest != nil {
		t.Error("something is left")
	}
}
