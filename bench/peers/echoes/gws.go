package echoes

import "github.com/lxzan/gws"

// gwsEcho has a goroutine for each connection, on which its messages are handled.
type gwsEcho struct{ gws.BuiltinEventHandler }

// OnMessage implements gws.Event.
func (gwsEcho) OnMessage(c *gws.Conn, m *gws.Message) {
	_ = c.WriteMessage(m.Opcode, m.Bytes())
	_ = m.Close()
}

func listenGws(o Options) (addr string, err error) {
	l, err := o.listen()
	if err != nil {
		return "", err
	}
	options := &gws.ServerOption{CheckUtf8Enabled: true, ReadMaxPayloadSize: largest, WriteMaxPayloadSize: largest}
	if o.Deflate == Single || o.Deflate == Takeover {
		takeover := o.Deflate == Takeover
		options.PermessageDeflate = gws.PermessageDeflate{
			Enabled: true, Level: Level, ServerContextTakeover: takeover, ClientContextTakeover: takeover,
		}
	}
	go func() { _ = gws.NewServer(gwsEcho{}, options).RunListener(l) }()
	return l.Addr().String(), nil
}
