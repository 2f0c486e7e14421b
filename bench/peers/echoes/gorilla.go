package echoes

import (
	"net/http"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// listenGorilla has a goroutine for each connection. Its write buffers come from a pool,
// so that they are held for the time of a message only. The library leaves UTF-8 to its
// user.
func listenGorilla(o Options) (addr string, err error) {
	l, err := o.listen()
	if err != nil {
		return "", err
	}
	up := websocket.Upgrader{WriteBufferPool: new(pool), EnableCompression: o.Deflate == Single}
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := up.Upgrade(w, r, nil)
			if err != nil {
				return // it has answered
			}
			defer c.Close()
			_ = c.SetCompressionLevel(Level)
			for {
				kind, p, err := c.ReadMessage()
				if err != nil || kind == websocket.TextMessage && !utf8.Valid(p) || c.WriteMessage(kind, p) != nil {
					return
				}
			}
		}))
	}()
	return l.Addr().String(), nil
}
