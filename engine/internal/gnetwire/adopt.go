package gnetwire

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/panjf2000/gnet/v2"

	"github.com/headrace/headrace/engine/internal/wire"
)

// serveClient carries adopted connections only.
func (b *Backend) serveClient() error {
	client, err := gnet.NewClient(b,
		gnet.WithNumEventLoop(b.opts.Loops),
		gnet.WithReadBufferCap(b.opts.ReadBuffer),
		gnet.WithTCPNoDelay(gnet.TCPNoDelay),
		gnet.WithLogger(gnetLogger{b.opts.Logger}),
	)
	if err != nil {
		return err
	}
	b.client = client
	if err := client.Start(); err != nil {
		return err
	}
	b.once.Do(func() { close(b.booted) })
	b.ready(nil)
	<-b.quit
	return client.Stop()
}

func (b *Backend) stopClient() {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.quit:
	default:
		close(b.quit)
	}
}

// Adopt implements wire.Backend. gnet duplicates the descriptor and closes conn.
func (b *Backend) Adopt(conn net.Conn, opened wire.Adopted) error {
	<-b.booted
	if !b.beginAdoption() {
		_ = conn.Close()
		return net.ErrClosed
	}
	defer b.adoptions.Done()
	if b.client != nil {
		_, err := b.client.EnrollContext(conn, opened)
		return err
	}
	b.met.Do(b.meetLoops)
	enrolled, err := b.anyLoop().Enroll(gnet.NewContext(context.Background(), opened), conn)
	if err != nil {
		_ = conn.Close()
		return err
	}
	return (<-enrolled).Err
}

// beginAdoption says whether a connection may move onto a loop.
func (b *Backend) beginAdoption() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ending || b.stopped {
		return false
	}
	b.adoptions.Add(1)
	return true
}

// endAdoptions lets those under way come to their end: gnet waits for ever for a loop
// that has ended to take a connection.
func (b *Backend) endAdoptions() {
	b.mu.Lock()
	b.ending = true
	b.mu.Unlock()
	settle(&b.adoptions)
}

// meetLoops makes every loop known, which happens with its first connection: gnet
// has no list of them, and no way of choosing one that is safe beside its acceptor.
// It deals connections out in turn, so as many of our own reach all loops.
func (b *Backend) meetLoops() {
	at := b.bound[0].addr
	for range b.opts.Loops {
		if c, err := net.DialTimeout(at.Network(), reachable(at), meetPatience); err == nil {
			_ = c.Close()
		}
	}
	for end := time.Now().Add(meetPatience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		b.mu.RLock()
		met := len(b.loops)
		b.mu.RUnlock()
		if met == b.opts.Loops {
			return
		}
	}
}

const meetPatience = 500 * time.Millisecond

// anyLoop gives one of the loops that are known.
func (b *Backend) anyLoop() gnet.EventLoop {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for g := range b.loops { // in an order of chance
		return g
	}
	return noLoop{}
}

// noLoop stands in where no loop is known.
type noLoop struct{ gnet.EventLoop }

// Enroll implements gnet.EventLoop.
func (noLoop) Enroll(context.Context, net.Conn) (<-chan gnet.RegisteredResult, error) {
	return nil, errNoLoop
}

var errNoLoop = errors.New("gnetwire: no event loop has answered")
