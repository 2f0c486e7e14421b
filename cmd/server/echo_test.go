package main

import (
	"bytes"
	"testing"

	"github.com/gobwas/ws"
)

func TestEcho(t *testing.T) {
	addr := startServer(t, nil)
	c := dial(t, addr, "/echo")
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
		p := bytes.Repeat([]byte{0xC3}, size)
		c.send(ws.OpBinary, p)
		c.want(ws.OpBinary, p)
	}
	c.say("köszönöm 水車")
	c.hear("köszönöm 水車")
	c.send(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, "done"))
	c.want(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
}

func TestEchoMaxMessage(t *testing.T) {
	addr := startServer(t, func(o *options) { o.endpoint.MaxMessage = 100 })
	c := dial(t, addr, "/echo")
	c.send(ws.OpBinary, make([]byte, 100))
	c.want(ws.OpBinary, make([]byte, 100))
	c.send(ws.OpBinary, make([]byte, 101))
	op, p := c.next()
	if code, _ := ws.ParseCloseFrameData(p); op != ws.OpClose || code != ws.StatusMessageTooBig {
		t.Errorf("101 bytes where 100 are allowed: got opcode %d, code %d; want a close with 1009", op, code)
	}
}
