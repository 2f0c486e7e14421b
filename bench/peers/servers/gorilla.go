package servers

import (
	"net"
	"net/http"

	"github.com/gorilla/websocket"
)

// gorilla has a goroutine that reads for each connection, and prepares each message
// once; who publishes writes it to one connection after the other.
type gorilla struct {
	upgrader websocket.Upgrader
	conns    members[*websocket.Conn]
}

func (s *gorilla) Listen(on Events) (addr string, err error) {
	l, err := net.Listen("tcp4", loopback)
	if err != nil {
		return "", err
	}
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := s.upgrader.Upgrade(w, r, nil)
			if err != nil {
				return // it has answered
			}
			s.conns.add(c)
			on.Joined()
			for {
				_, p, err := c.ReadMessage()
				if err != nil {
					return
				}
				on.Said(p)
			}
		}))
	}()
	return l.Addr().String(), nil
}

func (s *gorilla) Publish(messages [][]byte) error {
	prepared := make([]*websocket.PreparedMessage, len(messages))
	for i, m := range messages {
		var err error
		if prepared[i], err = websocket.NewPreparedMessage(websocket.BinaryMessage, m); err != nil {
			return err
		}
	}
	return s.conns.each(func(c *websocket.Conn) error {
		for _, p := range prepared {
			if err := c.WritePreparedMessage(p); err != nil {
				return err
			}
		}
		return nil
	})
}
