package engine

import (
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
	request     []byte
	read        int
	response    []byte
}

// answer gives the bytes of the 101 answer. They are valid until the next call.
func (u *upgrade) answer(key []byte, subprotocol string, header http.Header) ([]byte, error) {
	u.subprotocol = subprotocol
	u.writeRequest(key)
	u.response = u.response[:0]
	u.upgrader.ProtocolCustom = u.choose
	u.upgrader.Header = nil
	if header != nil {
		u.upgrader.Header = ws.HandshakeHeaderHTTP(header)
	}
	_, err := u.upgrader.Upgrade(u)
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
