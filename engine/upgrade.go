package engine

import (
	"fmt"
	"io"
	"net/http"

	"github.com/gobwas/ws"
)

// upgrade makes the answer that grants a handshake, by way of ws.Upgrader. That
// reads a request of its own, so what it is given is written anew from what our
// own checks have passed: two parsers cannot disagree about it, and what it
// would take amiss (an Upgrade header with several tokens) never reaches it.
// One per loop; it is its own io.ReadWriter.
type upgrade struct {
	upgrader    ws.Upgrader
	subprotocol string
	extensions  []byte
	header      http.Header
	request     []byte
	read        int
	response    []byte
}

// answer gives the bytes of the 101 answer. They are valid until the next call.
// extensions, if not empty, is the value of Sec-WebSocket-Extensions.
func (u *upgrade) answer(key []byte, subprotocol string, extensions []byte, header http.Header) ([]byte, error) {
	u.subprotocol, u.extensions, u.header = subprotocol, extensions, header
	u.writeRequest(key)
	u.response = u.response[:0]
	if u.upgrader.ProtocolCustom == nil {
		u.upgrader.ProtocolCustom = u.choose
	}
	u.upgrader.Header = nil
	if header != nil || len(extensions) > 0 {
		u.upgrader.Header = ws.HandshakeHeaderFunc(u.writeHeader)
	}
	_, err := u.upgrader.Upgrade(u)
	u.extensions, u.header = nil, nil
	return u.response, err
}

func (u *upgrade) writeRequest(key []byte) {
	b := append(u.request[:0], "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "...)
	b = append(append(b, key...), "\r\n"...)
	if u.subprotocol != "" {
		b = append(append(b, "Sec-WebSocket-Protocol: "...), u.subprotocol...)
		b = append(b, "\r\n"...)
	}
	u.request, u.read = append(b, "\r\n"...), 0
}

// choose is ws.Upgrader's hook: the choice was made before.
func (u *upgrade) choose([]byte) (string, bool) { return u.subprotocol, true }

// writeHeader is ws.Upgrader's hook for fields that it doesn't know. The choice of
// extensions was made before.
func (u *upgrade) writeHeader(w io.Writer) (int64, error) {
	if len(u.extensions) > 0 {
		if _, err := fmt.Fprintf(w, "Sec-WebSocket-Extensions: %s\r\n", u.extensions); err != nil {
			return 0, err
		}
	}
	return 0, u.header.Write(w)
}

// Read implements io.Reader: ws.Upgrader reads the request.
func (u *upgrade) Read(p []byte) (int, error) {
	if u.read == len(u.request) {
		return 0, io.EOF
	}
	n := copy(p, u.request[u.read:])
	u.read += n
	return n, nil
}

// Write implements io.Writer: ws.Upgrader writes the answer.
func (u *upgrade) Write(p []byte) (int, error) {
	u.response = append(u.response, p...)
	return len(p), nil
}
