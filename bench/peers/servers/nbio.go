package servers

import (
	"net"
	"net/http"
	"time"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

// nbio reads on one poller; who publishes writes each message to one connection after
// the other.
type nbio struct{ conns members[*websocket.Conn] }

func (s *nbio) Listen(on Events) (addr string, err error) {
	logging.SetLevel(logging.LevelError)
	up := websocket.NewUpgrader()
	up.KeepaliveTime = time.Hour // it ends who is silent for so long
	up.OnOpen(func(c *websocket.Conn) {
		s.conns.add(c)
		on.Joined()
	})
	up.OnMessage(func(_ *websocket.Conn, _ websocket.MessageType, p []byte) { on.Said(p) })
	engine := nbhttp.NewEngine(nbhttp.Config{
		Network: "tcp4", Addrs: []string{loopback}, NPoller: 1, MaxLoad: 1 << 20,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = up.Upgrade(w, r, nil) // it answers an error itself
		}),
		Listen: func(network, at string) (net.Listener, error) {
			l, err := net.Listen(network, at)
			if err == nil {
				addr = l.Addr().String()
			}
			return l, err
		},
	})
	err = engine.Start()
	return addr, err
}

func (s *nbio) Publish(messages [][]byte) error {
	return s.conns.each(func(c *websocket.Conn) error {
		for _, m := range messages {
			if err := c.WriteMessage(websocket.BinaryMessage, m); err != nil {
				return err
			}
		}
		return nil
	})
}
