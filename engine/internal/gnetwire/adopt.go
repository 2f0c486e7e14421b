package gnetwire

import (
	"context"
	"net"

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
	close(b.running)
	b.once.Do(func() { close(b.booted) })
	b.ready(nil)
	<-b.quit
	err = client.Stop()
	b.watcher.stop()
	b.ticker.stop()
	return err
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
	select {
	case <-b.running:
	case <-b.over:
		_ = conn.Close()
		return net.ErrClosed
	}
	b.mu.RLock()
	stopped := b.stopped
	b.mu.RUnlock()
	switch {
	case stopped:
		_ = conn.Close()
		return net.ErrClosed
	case b.client != nil:
		_, err := b.client.EnrollContext(conn, opened)
		return err
	case b.allErr != nil:
		_ = conn.Close()
		return b.allErr
	}
	loop := b.all[int(b.turn.Add(1))%len(b.all)]
	enrolled, err := loop.Enroll(gnet.NewContext(context.Background(), opened), conn)
	if err != nil {
		_ = conn.Close()
		return err
	}
	return (<-enrolled).Err
}
