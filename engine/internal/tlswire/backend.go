// Package tlswire adds TLS to a transport. It stands between a wire.Backend and
// the engine and is a wire.Backend itself, so neither knows of it. Connections
// to a plain listener pass through: their owner is the engine's own.
//
// A handshake takes milliseconds of processor time and cannot be interrupted and
// resumed, so it runs as a coroutine on a few workers, never on a loop. From
// then on the loop decrypts what a read has brought, and hands on one piece of
// text for it, and encrypts what a turn has written into one write(2). There is
// no goroutine per connection, and a connection between two records has no
// buffer.
//
//	backend.go    the parts and how they are put together
//	loop.go       wire.Loop as the engine sees it, wire.Handler as the transport does
//	session.go    one connection: its state, and the calls from both sides
//	handshake.go  the handshake as a coroutine
//	pool.go       the workers that run it
//	config.go     what a tls.Config becomes: its callbacks may wait
//	suspended.go  the handshakes that wait for their clients
//	stream.go     the net.Conn under a tls.Conn
//	record.go     where records end
//	read.go       from ciphertext to text
//	write.go      from text to ciphertext
//	end.go        how a session ends
//	detach.go     how it leaves the loop
//	lend.go       how crypto/tls is kept from holding buffers
package tlswire

import (
	"crypto/tls"
	"log/slog"
	"net"
	"runtime"
	"sync/atomic"

	"github.com/headrace/headrace/engine/internal/wire"
)

// Options are the settings of a Backend.
type Options struct {
	Configs       []*tls.Config // by listener; nil is a plain one
	MaxHandshakes int           // under way at once, at least 1
	// Workers is how many handshakes run at the same time. Zero means one for
	// each processor but one, which the loops have.
	Workers int
	// Run starts a worker. Nil starts a goroutine.
	Run    func(worker func())
	Logger *slog.Logger
}

// Backend implements wire.Backend.
type Backend struct {
	inner   wire.Backend
	opts    Options
	configs []*tls.Config
	bound   []net.Addr // set before the first connection
	pool    pool
	shaking atomic.Int64 // handshakes under way

	suspended suspended // those of them that wait for their clients
}

// New puts TLS before inner.
func New(inner wire.Backend, opts Options) *Backend {
	b := &Backend{inner: inner, opts: opts}
	for _, c := range opts.Configs {
		b.configs = append(b.configs, b.prepare(c))
	}
	b.pool.limit, b.pool.start = opts.Workers, opts.Run
	if opts.Workers == 0 {
		b.pool.limit = max(1, runtime.GOMAXPROCS(0)-1)
	}
	if opts.Run == nil {
		b.pool.start = func(worker func()) { go worker() }
	}
	return b
}

// takePlace counts a handshake in. At the limit the one that has waited longest for
// its client makes room, so that clients that say nothing more cannot keep the
// others out. It gives false where none waits.
func (b *Backend) takePlace() bool {
	for b.shaking.Add(1) > int64(b.opts.MaxHandshakes) {
		b.shaking.Add(-1)
		if !b.evict() {
			return false
		}
	}
	return true
}

// evict ends the handshake that has waited longest for its client, and says whether
// there was one. It is safe from any goroutine.
func (b *Backend) evict() bool {
	for h := b.suspended.first(); h != nil; h = b.suspended.first() {
		if h.evict() {
			return true
		}
	}
	return false
}

// Serve implements wire.Backend.
func (b *Backend) Serve(newHandler func(wire.Loop) wire.Handler, ready func([]net.Addr)) error {
	return b.inner.Serve(
		func(inner wire.Loop) wire.Handler { return newLoop(b, inner, newHandler) },
		func(bound []net.Addr) {
			b.bound = bound
			ready(bound)
		})
}

// Stop implements wire.Backend.
func (b *Backend) Stop() { b.inner.Stop() }
