package engine

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/engine/internal/simwire"
)

// fullPeer is a simulated peer that collects the numbers of the messages it gets.
type fullPeer struct {
	*simwire.Peer
	frames   serverFrames
	got      []uint32
	others   []codec.Opcode // what came that is no message, each with how many messages had come
	code     codec.CloseCode
	behind   int // frames behind the Close frame
	mistakes []string
}

func newFullPeer(sim *simwire.Sim, sendBuffer int, request string) *fullPeer {
	p := new(fullPeer)
	p.frames.frame = p.frame
	profile := p.frames.profile(sendBuffer)
	profile.End = func(error) { p.Close() }
	p.Peer = sim.Dial(profile)
	p.Write([]byte(request))
	return p
}

func (p *fullPeer) frame(first byte, payload []byte) {
	op := codec.Opcode(first & 0xF)
	switch {
	case p.code != 0:
		p.behind++
	case op == codec.OpClose:
		p.code, _, _ = codec.ParseClose(payload)
		p.Write(clientFrame(0x80|wireClose, [4]byte{}, payload))
	case op.IsData():
		if err := checkNumbered(payload); err != nil {
			p.mistakes = append(p.mistakes, err.Error())
			return
		}
		p.got = append(p.got, binary.BigEndian.Uint32(payload))
	default:
		p.others = append(p.others, op)
	}
}

// numberedMessage makes message n: its number, and bytes that follow from it.
func numberedMessage(n, size int) []byte {
	p := make([]byte, max(size, 4))
	for i := range p {
		p[i] = byte(n + i)
	}
	binary.BigEndian.PutUint32(p, uint32(n))
	return p
}

func checkNumbered(p []byte) error {
	n := int(binary.BigEndian.Uint32(p))
	for i, b := range p[4:] {
		if b != byte(n+i+4) {
			return fmt.Errorf("message %d of %d bytes is damaged at %d", n, len(p), i+4)
		}
	}
	return nil
}

// passSecond lets everything happen that can happen within a second.
func passSecond(sim *simwire.Sim) { sim.Run(sim.Now() + time.Second) }

func equalNumbers(got []uint32, want []int) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if int(got[i]) != want[i] {
			return false
		}
	}
	return true
}

// sendWays are the two ways to a connection's queue.
var sendWays = map[string]func(*Conn, Op, []byte) error{"Reply": (*Conn).Reply, "Send": (*Conn).Send}

// simSend calls one of them outside or inside of a turn.
func simSend(c *Conn, way string, f func(send func(Op, []byte) error)) {
	send := func(op Op, p []byte) error { return sendWays[way](c, op, p) }
	if way == "Send" {
		f(send)
		return
	}
	c.loop.push(item{run: func(*loop) { f(send) }})
}
