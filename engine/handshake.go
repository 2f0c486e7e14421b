package engine

import (
	"encoding/base64"
	"errors"
	"runtime/debug"
)

// handshake takes bytes of the opening handshake (RFC 6455 §4.2). They may come
// in any pieces, with frames behind them. Once the request is whole it is
// decided; the bytes behind it are returned.
func (c *Conn) handshake(p []byte) (rest []byte) {
	l := c.loop
	limit := l.server.cfg.MaxHandshakeBytes
	head, from, had := p[:min(len(p), limit)], 0, 0
	if in := c.in; in != nil { // the request began in an earlier read
		from, had = in.line, len(in.head)
		in.head = l.mem.appendTo(in.head, p[:min(len(p), limit-had)])
		head = in.head
	}
	end, next, bad := endOfHead(head, from)
	switch {
	case bad != nil:
		c.refuse(bad)
	case end > 0:
		rest = p[end-had:]
		c.decide(head[:end], rest)
		c.dropInbound()
	case len(head) == limit:
		c.refuse(refuseTooLarge)
	case c.in == nil:
		c.in = l.newInbound()
		c.in.head, c.in.line = l.mem.appendTo(nil, head), next
	default:
		c.in.line = next
	}
	return rest
}

// decide answers a whole request: it becomes a WebSocket connection, goes to
// net/http, or is refused. behind are the bytes that came after it. A request that
// came by way of net/http never goes there.
func (c *Conn) decide(head, behind []byte) {
	r := &c.loop.request
	r.conn = c
	defer r.reset()
	if bad := r.head.parse(head); bad != nil {
		c.refuse(bad)
		return
	}
	server := c.loop.server
	wants := r.head.hasToken("upgrade", "websocket")
	if !wants && server.http != nil && r.taken == nil {
		c.handOver(head, behind)
		return
	}
	ep, bad := r.checkHTTP(server.endpoints)
	if bad != nil {
		c.refuse(bad)
		return
	}
	if t := r.taken; t != nil {
		r.user = t.user
		c.judge(t.endpoint, r)
		return
	}
	switch {
	case ep == nil && server.http != nil:
		c.handOver(head, behind)
	case ep == nil:
		c.refuse(refuseNotFound)
	default:
		c.judge(ep, r)
	}
}

// judge grants or refuses a request for an endpoint.
func (c *Conn) judge(ep *endpoint, r *Request) {
	c.findClient(r)
	key, bad := r.checkWebSocket()
	if bad == nil {
		bad = r.checkOrigin(ep)
	}
	if bad == nil {
		bad = r.parseOffers()
	}
	if bad == nil && !c.joinClient() {
		c.loop.server.refusals.client.Add(1)
		bad = refuseClient
	}
	if bad == nil {
		r.chooseSubprotocol(ep)
		bad = c.admit(ep, r)
	}
	if bad == nil && c.loop.draining { // since Admit was asked
		bad = c.loop.refuseShutdown()
	}
	if bad != nil {
		c.refuse(bad)
		return
	}
	c.grant(ep, r, key)
}

// checkHTTP checks what every request needs (RFC 9112 §2.3, §3.2), and gives that
// one of the endpoints that it asks for, if it is there.
func (r *Request) checkHTTP(endpoints map[string]*endpoint) (*endpoint, *refusal) {
	if string(r.head.version) != "HTTP/1.1" {
		return nil, refuseVersion
	}
	if host, n := r.head.get("host"); n != 1 || !isHost(host) {
		return nil, refuseHost
	}
	return r.parseTarget(endpoints)
}

// checkWebSocket checks what makes a request a WebSocket handshake (RFC 6455
// §4.2.1) and gives its key.
func (r *Request) checkWebSocket() (key []byte, bad *refusal) {
	h := &r.head
	length, lengths := h.get("content-length")
	_, encodings := h.get("transfer-encoding")
	version, versions := h.get("sec-websocket-version")
	key, keys := h.get("sec-websocket-key")
	switch {
	case string(h.method) != "GET":
		bad = refuseMethod
	case !h.hasToken("upgrade", "websocket"):
		bad = refuseNoUpgrade
	case !h.hasToken("connection", "upgrade"):
		bad = refuseConnToken
	case lengths > 1 || lengths == 1 && string(length) != "0" || encodings > 0:
		bad = refuseBody
	case versions != 1 || string(version) != "13":
		bad = refuseWSVersion
	case keys != 1 || !isKey(key):
		bad = refuseKey
	}
	return key, bad
}

// isKey says whether b is 16 bytes in base64 (RFC 6455 §4.1).
func isKey(b []byte) bool {
	var raw [18]byte
	if len(b) != 24 {
		return false
	}
	n, err := base64.StdEncoding.Strict().Decode(raw[:], b)
	return err == nil && n == 16
}

// checkOrigin applies Endpoint.Origins.
func (r *Request) checkOrigin(ep *endpoint) *refusal {
	origin, n := r.head.get("origin")
	switch {
	case n == 0:
		return nil
	case n > 1:
		return refuseField
	case !ep.allows(string(origin), r.Host(), r.Secure()):
		return refuseOrigin
	}
	return nil
}

// chooseSubprotocol takes the first of the client's offers that the endpoint
// speaks.
func (r *Request) chooseSubprotocol(ep *endpoint) {
	for _, offer := range r.offers {
		if ep.byOffer[offer] != nil {
			r.subprotocol = offer
			return
		}
	}
}

// admit asks the endpoint's Admit.
func (c *Conn) admit(ep *endpoint, r *Request) (bad *refusal) {
	if ep.Admit == nil {
		return nil
	}
	defer func() {
		r.admitting = false
		if p := recover(); p != nil {
			c.loop.server.cfg.Logger.Error("panic in Admit; the handshake is refused",
				"path", ep.path, "remote", c.remote, "panic", p, "stack", string(debug.Stack()))
			bad = refusePanic
		}
	}()
	r.admitting = true
	err := ep.Admit(r)
	if err == nil {
		return nil
	}
	var own *Refusal
	if errors.As(err, &own) && own != nil {
		return own
	}
	return &Refusal{Status: 403}
}

// grant answers 101 and opens the connection.
func (c *Conn) grant(ep *endpoint, r *Request, key []byte) {
	extensions := c.negotiate(ep, r)
	answer, err := c.loop.upgrade.answer(key, r.subprotocol, extensions, r.header)
	if err != nil {
		c.loop.server.cfg.Logger.Error("the answer to a valid handshake could not be made", "err", err)
		c.refuse(refusePanic)
		return
	}
	c.addAnswer(answer)
	c.user = r.user
	c.open(ep.identify(r.subprotocol))
}

// open begins the life of a connection as a WebSocket, in either role.
func (c *Conn) open(id *identity) {
	c.id = id
	c.clearDeadline()
	c.phase = phaseOpen
	c.noteHandshake(OutcomeGranted)
	if id.MaxUnsent > 0 {
		c.loop.wire.LimitUnsent(c.socket(), id.MaxUnsent)
	}
	c.startHeartbeat()
	c.startLimits()
	c.startRates()
	c.callOpen()
}
