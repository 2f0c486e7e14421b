package servers

import (
	"net"

	"github.com/lxzan/gws"
)

// gwsServer has a goroutine that reads for each connection, and broadcasts as the
// library's own Broadcaster does: it frames each message once, and writes from
// goroutines that live as long as a connection has something to write.
type gwsServer struct {
	gws.BuiltinEventHandler
	conns members[*gws.Conn]
	on    Events
}

func (s *gwsServer) Listen(on Events) (addr string, err error) {
	s.on = on
	l, err := net.Listen("tcp4", loopback)
	if err != nil {
		return "", err
	}
	go func() { _ = gws.NewServer(s, nil).RunListener(l) }()
	return l.Addr().String(), nil
}

// OnOpen implements gws.Event.
func (s *gwsServer) OnOpen(c *gws.Conn) {
	s.conns.add(c)
	s.on.Joined()
}

// OnMessage implements gws.Event.
func (s *gwsServer) OnMessage(_ *gws.Conn, m *gws.Message) {
	s.on.Said(m.Bytes())
	_ = m.Close()
}

func (s *gwsServer) Publish(messages [][]byte) error {
	casts := make([]*gws.Broadcaster, len(messages))
	for i, m := range messages {
		casts[i] = gws.NewBroadcaster(gws.OpcodeBinary, m)
	}
	err := s.conns.each(func(c *gws.Conn) error {
		for _, b := range casts {
			if err := b.Broadcast(c); err != nil {
				return err
			}
		}
		return nil
	})
	for _, b := range casts {
		_ = b.Close()
	}
	return err
}
