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
	"slices"
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
}

// New puts TLS before inner.
func New(inner wire.Backend, opts Options) *Backend {
	b := &Backend{inner: inner, opts: opts}
	for _, c := range opts.Configs {
		b.configs = append(b.configs, prepare(c))
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

// prepare gives the copy of a config that connections use.
func prepare(c *tls.Config) *tls.Config {
	if c == nil {
		return nil
	}
	c = c.Clone()
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS12
	}
	// There is no HTTP/2 here, though a config of autocert's offers it.
	c.NextProtos = slices.DeleteFunc(slices.Clone(c.NextProtos), func(p string) bool { return p == "h2" })
	if len(c.NextProtos) == 0 {
		c.NextProtos = []string{"http/1.1"}
	}
	// crypto/tls would cut the first 128 KB into records of one packet each. A
	// frame is of use only when it is whole, and each record costs 22 bytes and a
	// call.
	c.DynamicRecordSizingDisabled = true
	return c
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
