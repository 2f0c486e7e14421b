package engine

import (
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"time"
)

// Refusal is an answer to an opening handshake that is not granted. Admit
// returns one to refuse with a status of its own.
type Refusal struct {
	// Status is the HTTP status, 400 to 599 or 300 to 399. Others become 403.
	Status int
	// Header is added to the answer, but for the fields that say where the
	// answer ends. It may be nil.
	Header http.Header
	// Body is for people, or whatever Content-Type says; empty means the status
	// in words.
	Body string
}

// Error implements error.
func (r *Refusal) Error() string {
	return fmt.Sprintf("engine: handshake refused with %d: %s", r.Status, r.text())
}

// status is Status, or 403 for one that is no answer to a handshake.
func (r *Refusal) status() int {
	if r.Status < 300 || r.Status > 599 {
		return http.StatusForbidden
	}
	return r.Status
}

func (r *Refusal) text() string {
	if r.Body != "" {
		return r.Body
	}
	return http.StatusText(r.Status)
}

// refusal is a Refusal by the engine's own rules, declared once.
type refusal = Refusal

func refuseWith(status int, body string, header ...string) *refusal {
	r := &refusal{Status: status, Body: body}
	for i := 0; i+1 < len(header); i += 2 {
		if r.Header == nil {
			r.Header = http.Header{}
		}
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// The refusals, in the order of the checks (RFC 6455 §4.2.1, §4.2.2; RFC 9112).
var (
	refuseFull    = refuseWith(503, "too many connections; try again later", "Retry-After", "1")
	refuseRate    = refuseWith(503, "too many connections at once; try again later", "Retry-After", "1")
	refuseBusy    = refuseWith(503, "not now; try again later", "Retry-After", "1")
	refuseClient  = refuseWith(429, "too many connections from your address", "Retry-After", "5")
	refuseTimeout = refuseWith(408, "the request did not come in time")

	refuseTooLarge      = refuseWith(431, "the request line and the headers are too large")
	refuseTooManyFields = refuseWith(431, "too many header fields")
	refuseNotHTTP       = refuseWith(400, "this is no HTTP request; is it TLS to a plain port?")
	refuseBareLF        = refuseWith(400, "lines must end in CRLF")
	refuseRequestLine   = refuseWith(400, "malformed request line")
	refuseFolding       = refuseWith(400, "header fields must not be folded")
	refuseField         = refuseWith(400, "malformed header field")
	refuseTarget        = refuseWith(400, "malformed request target")
	refuseVersion       = refuseWith(505, "this server speaks HTTP/1.1")
	refuseHost          = refuseWith(400, "exactly one valid Host header is needed")

	refuseNotFound  = refuseWith(404, "there is nothing at this path")
	refuseMethod    = refuseWith(405, "a WebSocket handshake is a GET", "Allow", "GET")
	refuseNoUpgrade = refuseWith(426, "this is a WebSocket endpoint", "Upgrade", "websocket", "Sec-WebSocket-Version", "13")
	refuseBody      = refuseWith(400, "a WebSocket handshake has no body")
	refuseConnToken = refuseWith(400, "the Connection header must have the token Upgrade")
	refuseWSVersion = refuseWith(426, "the WebSocket version must be 13", "Upgrade", "websocket", "Sec-WebSocket-Version", "13")
	refuseKey       = refuseWith(400, "exactly one Sec-WebSocket-Key with 16 bytes of base64 is needed")
	refuseProtocols = refuseWith(400, "malformed Sec-WebSocket-Protocol")
	refuseOrigin    = refuseWith(403, "this origin may not connect")
	refusePanic     = refuseWith(500, "internal error")
)

// refuse answers the handshake and ends the connection in order: the answer goes
// out, our half of the stream ends, and what the peer still sends is dropped
// until it ends its own.
func (c *Conn) refuse(r *Refusal) {
	c.noteHandshake(Outcome(r.status()))
	c.addAnswer(r.appendTo(nil, c.loop.request.conn == c && string(c.loop.request.head.method) == http.MethodHead))
	c.drain()
}

// appendTo appends the answer. A HEAD request gets no body.
func (r *Refusal) appendTo(b []byte, head bool) []byte {
	status, body := r.status(), r.text()+"\n"
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(status)...)
	b = append(b, "\r\nDate: "...)
	b = time.Now().UTC().AppendFormat(b, http.TimeFormat)
	b = append(b, "\r\nX-Content-Type-Options: nosniff\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(r.appendFields(b), "\r\n"...)
	if !head {
		b = append(b, body...)
	}
	return b
}

// appendFields appends Connection, Content-Type, and what Header adds to them.
func (r *Refusal) appendFields(b []byte) []byte {
	b = append(b, "\r\nConnection: close"...)
	if r.Header.Get("Upgrade") != "" { // RFC 9110 §7.8 has it named here
		b = append(b, ", Upgrade"...)
	}
	b = append(b, "\r\n"...)
	if r.Header.Get("Content-Type") == "" {
		b = append(b, "Content-Type: text/plain; charset=utf-8\r\n"...)
	}
	for name, values := range r.Header {
		if answerFields[textproto.CanonicalMIMEHeaderKey(name)] {
			continue // ours; a second one could move the end of the answer
		}
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	return b
}

// answerFields are those that frame every answer; user code cannot set them.
var answerFields = map[string]bool{
	"Connection": true, "Content-Length": true, "Transfer-Encoding": true, "Date": true,
}

// userField checks a header field that user code has given.
func userField(name, value string) (field, bool) {
	f, bad := parseField([]byte(name + ":" + value))
	return f, bad == nil && len(f.name) == len(name) // a colon in name makes it another field's
}

// appendField appends a header field that user code has given, unless it would
// break the answer: a name that is no token, a value with control characters.
func appendField(b []byte, name, value string) []byte {
	f, ok := userField(name, value)
	if !ok {
		return b
	}
	b = append(append(b, f.name...), ": "...)
	return append(append(b, f.value...), "\r\n"...)
}
