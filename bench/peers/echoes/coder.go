package echoes

import (
	"context"
	"net/http"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// listenCoder has a goroutine for each connection. The library leaves UTF-8 to its user,
// and takes no compression level.
func listenCoder(o Options) (addr string, err error) {
	l, err := o.listen()
	if err != nil {
		return "", err
	}
	mode := map[Deflate]websocket.CompressionMode{
		Single: websocket.CompressionNoContextTakeover, Takeover: websocket.CompressionContextTakeover,
	}
	accept := &websocket.AcceptOptions{CompressionMode: mode[o.Deflate]} // disabled else
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := websocket.Accept(w, r, accept)
			if err != nil {
				return // it has answered
			}
			defer func() { _ = c.CloseNow() }()
			c.SetReadLimit(largest)
			ctx := context.Background()
			for {
				kind, p, err := c.Read(ctx)
				if err != nil || kind == websocket.MessageText && !utf8.Valid(p) || c.Write(ctx, kind, p) != nil {
					return
				}
			}
		}))
	}()
	return l.Addr().String(), nil
}
