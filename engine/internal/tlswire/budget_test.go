package tlswire

import (
	"crypto/tls"
	"fmt"
	"net"
	"reflect"
	"testing"
	"time"
	"unsafe"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/wire"
)

// When this fails, a new version of Go has moved the buffers of a tls.Conn:
// connections work, and cost more. See lend.go.
func TestBuffersAreLent(t *testing.T) {
	if !lends {
		t.Error("crypto/tls is not the one that lend.go knows")
	}
	for _, other := range []reflect.Type{reflect.TypeFor[tls.Config](), reflect.TypeFor[struct{ rawInput, hand, input []byte }]()} {
		if _, ok := findFields(other); ok {
			t.Errorf("%v is taken for a tls.Conn", other)
		}
	}
}

// Without the buffers' places everything works all the same.
func TestWithoutLending(t *testing.T) {
	defer func(had bool) { lends = had }(lends)
	lends = false
	for name, config := range clients() {
		u := &user{echo: true}
		l := serve(u, serverConfig(), nil)
		var got error
		c := newClient(config, chatter([]int{1, 100, 16384, 50000, 3}, &got))
		converse(c, l, func(all int) int { return min(all, 777) }, anyRoom)
		if got != nil || c.live || len(u.ends) != 1 {
			t.Errorf("%s: the client: %v; ends %v", name, got, u.ends)
		}
		end(t, c, l)
	}
}

func TestSessionSize(t *testing.T) {
	if n := unsafe.Sizeof(session{}); n > 144 {
		t.Errorf("a session takes %d bytes; its comment promises 144", n)
	}
	if n := unsafe.Sizeof(stream{}); n > 112 {
		t.Errorf("a stream takes %d bytes; the session's comment promises 112", n)
	}
}

// An echo allocates nothing. In CBC mode crypto/tls does, once for each record and
// direction.
func TestEchoAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	for name, config := range clients() {
		if name == "1.2/cbc" {
			continue
		}
		for _, size := range []int{1, 100, 16 << 10, 64 << 10} {
			t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) {
				const rounds = 100
				u := &echoer{}
				l := accept(Options{
					Configs: []*tls.Config{serverConfig()}, MaxHandshakes: 1, Run: func(worker func()) { worker() },
				}, func(outer wire.Loop) wire.Handler { u.loop = outer; return u })
				var messages [][]byte
				c := newClient(config, func(c *client, conn *tls.Conn) {
					_ = conn.Handshake()
					c.wait(struct{}{}) // until all of the handshake has left
					for range rounds + 2 {
						c.out = nil
						_, _ = conn.Write(make([]byte, size))
						messages = append(messages, c.out)
					}
					c.out = nil
				})
				converse(c, l, whole, anyRoom)
				i := 0
				turn := func() {
					l.owner.Arrived(messages[i])
					l.sent = l.sent[:0]
					i++
				}
				turn()
				if per := testing.AllocsPerRun(rounds, turn); per > 0.1 {
					t.Errorf("%.1f allocations per echo", per)
				}
				if u.echoed != (rounds+2)*size {
					t.Errorf("echoed %d bytes", u.echoed)
				}
			})
		}
	}
}

// echoer is a handler that keeps nothing, and memory that keeps all.
type echoer struct {
	loop   wire.Loop
	socket wire.Socket
	free   [][]byte
	echoed int
}

func (e *echoer) Memory() codec.Memory { return e }

func (e *echoer) Get(n int) []byte {
	for i, b := range e.free {
		if cap(b) >= n {
			last := len(e.free) - 1
			e.free[i] = e.free[last]
			e.free = e.free[:last]
			return b[:0]
		}
	}
	return make([]byte, 0, n)
}

func (e *echoer) Put(b []byte) { e.free = append(e.free, b) }

func (e *echoer) Opened(s wire.Socket, _ int, _ net.Addr) wire.Owner {
	e.socket = s
	return e
}

func (e *echoer) Arrived(p []byte) {
	n, _ := e.loop.Write(e.socket, p)
	e.echoed += n
}
func (e *echoer) Woken()             {}
func (e *echoer) Tick(time.Duration) {}
func (e *echoer) Writable()          {}
func (e *echoer) Broken(error)       {}
func (e *echoer) Closed(error)       {}
func (e *echoer) Moved(bool)         {}
