package echoes

import (
	"net"
	"net/http"
	"time"

	lesstls "github.com/lesismal/llib/std/crypto/tls"
	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

// listenNbio has one poller that does not block, and handles messages on it rather than
// on goroutines of a pool: an echo never waits. Payloads go back to the pool of the
// library behind the callback. It checks UTF-8. TLS is a copy of crypto/tls that the
// library needs for this.
func listenNbio(o Options) (addr string, err error) {
	logging.SetLevel(logging.LevelError)
	up := websocket.NewUpgrader()
	up.KeepaliveTime = time.Hour // it ends who is silent for so long
	up.MessageLengthLimit = largest
	if o.Deflate == Single {
		up.EnableCompression(true)
		if err := up.SetCompressionLevel(Level); err != nil {
			return "", err
		}
	}
	up.OnMessage(func(c *websocket.Conn, kind websocket.MessageType, p []byte) {
		if o.Deflate == Single {
			c.EnableWriteCompression(true)
		}
		_ = c.WriteMessage(kind, p)
	})
	cfg := nbhttp.Config{
		Network: "tcp4", NPoller: 1, MaxLoad: 1 << 20, IOMod: nbhttp.IOModNonBlocking, ReleaseWebsocketPayload: true,
		MaxWebsocketFramePayloadSize: largest, // else large messages go in pieces of 32 KB
		ReadBufferSize:               64 << 10, ServerExecutor: func(f func()) { f() },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = up.Upgrade(w, r, nil) // it answers an error itself
		}),
		Listen: func(network, on string) (net.Listener, error) {
			l, err := net.Listen(network, on)
			if err == nil {
				addr = l.Addr().String()
			}
			return l, err
		},
	}
	if o.TLS == nil {
		cfg.Addrs = []string{loopback}
	} else {
		c := o.TLS.Certificates[0]
		cfg.AddrsTLS = []string{loopback}
		cfg.TLSConfig = &lesstls.Config{Certificates: []lesstls.Certificate{{Certificate: c.Certificate, PrivateKey: c.PrivateKey}}}
	}
	err = nbhttp.NewEngine(cfg).Start()
	return addr, err
}
