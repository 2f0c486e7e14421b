package tlswire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"iter"
	"log/slog"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/engine/internal/wire"
)

// serverConfig has a certificate that all tests share.
var serverConfig = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

// transport is a wire.Loop with one connection, in memory. What the peer sends is
// given to arrive; what the session writes is in sent.
type transport struct {
	handler wire.Handler
	owner   wire.Owner

	sent     []byte
	room     int // bytes that Write takes; -1: any
	writes   int
	woken    bool
	watching bool
	paused   bool
	fin      bool
	closed   bool
}

var socket = wire.Socket{Ref: "the socket", FD: 7}

func (l *transport) Write(s wire.Socket, p []byte) (int, error) {
	if s != socket || l.fin || l.closed {
		panic("misuse")
	}
	l.writes++
	n := len(p)
	if l.room >= 0 {
		n = min(n, l.room)
		l.room -= n
	}
	l.sent = append(l.sent, p[:n]...)
	return n, nil
}

func (l *transport) Writev(wire.Socket, [][]byte) (int, error) { panic("a session has no use for it") }

func (l *transport) WatchWritable(wire.Socket) error {
	if l.watching || l.closed {
		panic("misuse")
	}
	l.watching = true
	return nil
}
func (l *transport) PauseRead(wire.Socket) error           { l.paused = true; return nil }
func (l *transport) ResumeRead(wire.Socket) error          { l.paused = false; return nil }
func (l *transport) Waiting(wire.Socket) int               { panic("the session asks what waits") }
func (l *transport) Read(wire.Socket, []byte) (int, error) { panic("the session reads") }
func (l *transport) Unsent(wire.Socket) int                { return len(l.sent) }
func (l *transport) CloseWrite(wire.Socket) error {
	if l.fin || l.closed {
		panic("misuse")
	}
	l.fin = true
	return nil
}

func (l *transport) Close(wire.Socket) {
	if l.closed {
		panic("misuse")
	}
	l.closed = true
	l.owner.Closed(nil)
}

func (l *transport) Detach(wire.Socket) (net.Conn, error) { return nil, errors.New("no descriptors") }
func (l *transport) Now() time.Duration                   { return 0 }
func (l *transport) LimitUnsent(wire.Socket, int)         {}
func (l *transport) ResetOnClose(wire.Socket)             {}
func (l *transport) NeedTicks(bool)                       {}
func (l *transport) WakeLater()                           { l.woken = true }
func (l *transport) Wake()                                { l.woken = true }

// arrive brings what one read brings, and runs what the loop was woken for.
func (l *transport) arrive(p []byte) {
	if !l.closed {
		l.owner.Arrived(append([]byte(nil), p...))
	}
	l.wake()
}

func (l *transport) wake() {
	for l.woken {
		l.woken = false
		l.handler.Woken()
	}
}

// drain takes what was sent, as the peer does; then there is room for more.
func (l *transport) drain(room int) []byte {
	p := l.sent
	l.sent, l.room = nil, room
	if l.watching && room != 0 {
		l.watching = false
		l.owner.Writable()
		l.wake()
	}
	return p
}

// user is what lives above the seam: it keeps what it hears, and has a queue that
// it writes as the engine does.
type user struct {
	loop   wire.Loop
	socket wire.Socket
	echo   bool

	heard   []byte
	turns   int // Arrived calls
	moves   []bool
	ends    []error
	queue   []byte
	waiting bool
	broken  error
	opened  func(*user)
	onText  func(*user, []byte)
}

func (u *user) Opened(s wire.Socket, _ int, _ net.Addr) wire.Owner {
	u.socket = s
	if u.opened != nil {
		u.opened(u)
	}
	return u
}
func (u *user) Woken()             {}
func (u *user) Tick(time.Duration) {}

func (u *user) Arrived(p []byte) {
	u.turns++
	if len(u.heard) < 1<<20 {
		u.heard = append(u.heard, p...)
	}
	if u.echo {
		u.write(p)
	}
	if u.onText != nil {
		u.onText(u, p)
	}
	for i := range p { // it is ours
		p[i] = 0xDB
	}
}

func (u *user) write(p []byte) {
	u.queue = append(u.queue, p...)
	u.flush()
}

func (u *user) flush() {
	if u.waiting || len(u.queue) == 0 || len(u.ends) > 0 {
		return
	}
	n, err := u.loop.Write(u.socket, u.queue)
	if n > len(u.queue) {
		panic("Write takes more than it was given")
	}
	u.queue = append(u.queue[:0], u.queue[n:]...)
	if len(u.queue) > 0 && err == nil {
		u.waiting = true
		err = u.loop.WatchWritable(u.socket)
	}
	if err != nil {
		u.loop.Close(u.socket)
	}
}

func (u *user) Writable() {
	u.waiting = false
	u.flush()
}

func (u *user) Moved(cut bool) {
	u.moves = append(u.moves, cut)
}

func (u *user) Broken(err error) {
	u.broken = err
	u.queue = nil
	if err := u.loop.CloseWrite(u.socket); err != nil {
		u.loop.Close(u.socket)
	}
}

func (u *user) Closed(err error) { u.ends = append(u.ends, err) }

// serve puts a session between a transport and a user, with workers that work at
// once.
func serve(u *user, config *tls.Config, change func(*Options)) *transport {
	opts := Options{
		Configs: []*tls.Config{config}, MaxHandshakes: 1, Workers: 1,
		Run: func(worker func()) { worker() }, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&opts)
	}
	return accept(opts, func(outer wire.Loop) wire.Handler { u.loop = outer; return u })
}

// accept opens the one connection of a transport.
func accept(opts Options, newHandler func(wire.Loop) wire.Handler) *transport {
	b := New(nil, opts)
	b.bound = []net.Addr{&net.TCPAddr{}}
	l := &transport{room: -1}
	l.handler = newLoop(b, l, newHandler)
	l.owner = l.handler.Opened(socket, 0, &net.TCPAddr{})
	return l
}

// client is a TLS client whose life is a script, a coroutine that waits in Read
// for what the server sends.
type client struct {
	tls  *tls.Conn
	in   []byte
	out  []byte
	fin  bool // the server has ended the stream
	wait func(struct{}) bool
	next func() (struct{}, bool)
	stop func()
	live bool
}

func newClient(config *tls.Config, script func(*client, *tls.Conn)) *client {
	c := &client{live: true}
	config = config.Clone()
	config.InsecureSkipVerify = true
	c.tls = tls.Client(c, config)
	c.next, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		c.wait = yield
		script(c, c.tls)
	})
	return c
}

func (c *client) Read(p []byte) (int, error) {
	for len(c.in) == 0 {
		if c.fin {
			return 0, io.EOF
		}
		if !c.wait(struct{}{}) {
			return 0, net.ErrClosed
		}
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *client) Write(p []byte) (int, error)      { c.out = append(c.out, p...); return len(p), nil }
func (c *client) Close() error                     { return nil }
func (c *client) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *client) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *client) SetDeadline(time.Time) error      { return nil }
func (c *client) SetReadDeadline(time.Time) error  { return nil }
func (c *client) SetWriteDeadline(time.Time) error { return nil }

// converse lets client and server talk until neither has anything to say. cut
// gives the length of the next read, room what the socket takes next.
func converse(c *client, l *transport, cut func(all int) int, room func() int) {
	for idle := 0; idle < 3; idle++ {
		if c.live {
			_, c.live = c.next()
		}
		for len(c.out) > 0 && !l.closed {
			n := cut(len(c.out))
			p := c.out[:n]
			c.out = c.out[n:]
			l.arrive(p)
			idle = 0
		}
		if p := l.drain(room()); len(p) > 0 {
			c.in = append(c.in, p...)
			idle = 0
		}
		c.fin = (l.fin || l.closed) && len(l.sent) == 0
	}
}

func whole(all int) int { return all }
func anyRoom() int      { return -1 }

func end(t *testing.T, c *client, l *transport) {
	t.Helper()
	c.stop()
	if !l.closed {
		l.closed = true
		l.owner.Closed(io.EOF)
	}
}
