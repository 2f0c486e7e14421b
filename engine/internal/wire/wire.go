// Package wire is the seam under the engine: what a connection needs of the
// loop that carries it, and nothing else. Package gnetwire implements it on
// gnet and the kernel; package simwire implements it in memory, with a seed and
// a virtual clock, so that a connection's whole life can be tested without a
// socket. Package tlswire stands between either of them and the engine, and adds
// TLS; package proxywire stands below that, and takes PROXY headers off.
//
// A Loop calls its Handler and the Owners of its connections from one goroutine,
// one call at a time, so they need no locks for what belongs to the loop.
package wire

import (
	"context"
	"net"
	"time"
)

// Socket names one connected stream of a Loop. It is a small value because an
// idle connection has no room for another allocation. It is dead once
// Owner.Closed was called for it; using it later would reach whichever
// connection has the descriptor by then, so the owner forgets it there.
type Socket struct {
	Ref any // the loop's own reference; the engine does not look inside
	FD  int32
}

// Loop carries connections. Every method but Now and Wake is loop-only.
type Loop interface {
	// Write makes one write(2). n < len(p) with a nil error means that the
	// kernel takes no more for now. It does not retain p.
	Write(s Socket, p []byte) (n int, err error)
	// Writev is Write for several slices, in one writev(2). It does not
	// retain or change bufs.
	Writev(s Socket, bufs [][]byte) (n int, err error)
	// Waiting is how many bytes a Read would bring. It is 0 where the stream cannot be
	// read by its owner (TLS).
	Waiting(s Socket) int
	// Read makes one read(2) beside those that Owner.Arrived tells of, for an owner that
	// knows where the bytes belong. n == 0 with a nil error means that there are none, or
	// that the stream has ended, which Owner.Closed tells then.
	Read(s Socket, p []byte) (n int, err error)
	// WatchWritable asks for one Owner.Writable call, made when the kernel
	// takes bytes again.
	WatchWritable(s Socket) error
	// LimitUnsent has the kernel take no more while it holds n bytes that it has not
	// sent yet, where the stream knows such a limit (TCP_NOTSENT_LOWAT).
	LimitUnsent(s Socket, n int)
	// ResetOnClose has Close drop what the kernel still holds for the peer, and reset
	// the stream (SO_LINGER of 0), where the stream knows such an end.
	ResetOnClose(s Socket)
	// PauseRead stops Owner.Arrived calls until ResumeRead. A peer's reset is
	// still noticed.
	PauseRead(s Socket) error
	// ResumeRead ends a PauseRead.
	ResumeRead(s Socket) error
	// Unsent is how many of the bytes that were written the peer's end of the stream
	// has not got yet: what closing the socket may lose. Bytes of the stream's own,
	// such as the end of our half, may be among them.
	Unsent(s Socket) int
	// CloseWrite ends our half of the stream behind the bytes already written
	// (shutdown(2) with SHUT_WR).
	CloseWrite(s Socket) error
	// Close ends the connection now. Owner.Closed is called before Close
	// returns, unless it was called already.
	Close(s Socket)
	// Detach gives the stream for use outside the loop. The caller still calls
	// Close, which then does not end the stream. Nothing may be written before.
	Detach(s Socket) (net.Conn, error)
	// Now is the time since some fixed moment; it never goes back. It is safe
	// from any goroutine.
	Now() time.Duration
	// NeedTicks says whether Handler.Tick must be called about every
	// TickInterval. A loop without timers sleeps.
	NeedTicks(on bool)
	// WakeLater is Wake for a handler that has more to do than fits one turn: the
	// loop looks at its other connections first.
	WakeLater()
	// Wake asks for one Handler.Woken call on the loop. Several Wakes may give
	// one call. It is safe from any goroutine; after the loop's end it does
	// nothing.
	Wake()
}

// TickInterval is the grain of the timers above this seam.
const TickInterval = 50 * time.Millisecond

// Handler is what lives on one Loop. All its methods are called on the loop.
type Handler interface {
	// Opened introduces a new connection and asks for its owner. listener is the
	// index of the address that it came to. A nil owner means that the handler
	// has closed s already.
	Opened(s Socket, listener int, remote net.Addr) Owner
	// Woken answers Wake.
	Woken()
	// Tick tells that time has passed, while NeedTicks is on. late is how long it
	// has waited for the loop.
	Tick(late time.Duration)
}

// Owner is one connection above the seam. All its methods are called on the
// loop.
type Owner interface {
	// Arrived brings what one read(2) brought. p may be written to; it is valid
	// until the callback returns.
	Arrived(p []byte)
	// Writable answers WatchWritable. It may come once without need, and once
	// after Closed, when it was on its way already.
	Writable()
	// Moved says that a read has brought bytes of which the owner sees nothing yet or
	// no more (TLS: a record, or a message of the protocol's own, that is not whole, or
	// one without text), behind Arrived if it has brought text as well. cut says that
	// something stands unfinished. It holds until the next call, and each read that
	// leaves something unfinished, or brings no text, ends with one.
	Moved(cut bool)
	// Broken says that what the peer sends cannot be understood any more (TLS):
	// nothing more will be Arrived, and the loop has told the peer what it could.
	// The owner ends the connection in order: CloseWrite, wait for the peer,
	// Close.
	Broken(err error)
	// Closed is the last call for a connection: the peer has ended its half
	// (io.EOF), the connection broke (another error), or Close was called (nil).
	Closed(err error)
}

// Introduced is an Owner that wants to hear for whom its peer speaks, where a
// proxy in front says so (package proxywire).
type Introduced interface {
	// Introduce is called on the loop, at most once, before the first Arrived.
	// remote takes the place of what Opened has given. Nil says that the proxy
	// speaks for itself, or doesn't know for whom.
	Introduce(remote net.Addr)
}

// Backend is one running transport: listeners and loops.
type Backend interface {
	// Serve listens, calls ready with the bound addresses in the order of the
	// listeners, and carries connections until Stop. newHandler makes the Handler of a loop, before
	// that loop's first event. An error means that serving never began, or
	// broke.
	Serve(newHandler func(Loop) Handler, ready func(bound []net.Addr)) error
	// Adopt moves the stream of conn, which was made elsewhere, onto a loop, and has
	// opened introduce it there. It waits for that, as long as ctx lets it. Without an
	// error begin has returned, and it takes ownership of conn. With one opened was
	// not called and never will be, and conn is still the caller's, to be closed or
	// answered. It is safe from any goroutine.
	Adopt(ctx context.Context, conn net.Conn, opened Adopted) error
	// Stop ends Serve. Connections that are still open are closed.
	Stop()
}

// Adopted introduces an adopted connection to the Handler of its loop, and asks for
// its owner. begin is called next, when s can be used.
type Adopted func(h Handler, s Socket, remote net.Addr) (owner Owner, begin func())
