package bench

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"

	"github.com/headrace/headrace/engine"
)

// Least bytes of a message that can be known again.
const (
	minBinary = stampSize
	minText   = 2 * stampSize
	stampSize = 8 // connection and sequence number
)

// content makes messages and knows them again: a stamp of connection and sequence
// number, then a stretch of random bytes that follows from them. So every byte of an
// echo is checked, without keeping what was sent.
type content struct {
	op    engine.Op
	noise []byte // twice as long as the longest message
}

func newContent(op engine.Op, longest int) *content {
	rng := rand.New(rand.NewPCG(0x4865616472616365, uint64(longest)))
	c := &content{op: op, noise: make([]byte, 2*longest+4096)}
	for i := range c.noise {
		c.noise[i] = byte(rng.Uint32())
		if op == engine.Text {
			c.noise[i] = "abcdefghijklmnopqrstuvwxyz 0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.,"[c.noise[i]%64]
		}
	}
	return c
}

// least is how short a message may be.
func (c *content) least() int {
	if c.op == engine.Text {
		return minText
	}
	return minBinary
}

// stretch is the noise of a message behind its stamp.
func (c *content) stretch(conn, seq uint32, n int) []byte {
	scattered := conn*0x9E3779B1 + seq*0x85EBCA77
	at := int(uint64(scattered) * uint64(len(c.noise)-n+1) >> 32)
	return c.noise[at : at+n]
}

// appendTo appends a message of n bytes.
func (c *content) appendTo(dst []byte, conn, seq uint32, n int) []byte {
	var stamp [stampSize]byte
	binary.BigEndian.PutUint32(stamp[:], conn)
	binary.BigEndian.PutUint32(stamp[4:], seq)
	if c.op == engine.Text {
		dst = hex.AppendEncode(dst, stamp[:])
	} else {
		dst = append(dst, stamp[:]...)
	}
	return append(dst, c.stretch(conn, seq, n-c.least())...)
}

var errCorrupt = errors.New("this message was not sent like that")

// know reads the sequence number of a message that connection conn has sent, and checks
// every byte.
func (c *content) know(op engine.Op, conn uint32, p []byte) (seq uint32, err error) {
	var stamp [stampSize]byte
	switch {
	case op != c.op || len(p) < c.least():
		return 0, errCorrupt
	case c.op == engine.Text:
		if _, err := hex.Decode(stamp[:], p[:minText]); err != nil {
			return 0, errCorrupt
		}
	default:
		copy(stamp[:], p)
	}
	seq = binary.BigEndian.Uint32(stamp[4:])
	rest := p[c.least():]
	if binary.BigEndian.Uint32(stamp[:]) != conn || !bytes.Equal(rest, c.stretch(conn, seq, len(rest))) {
		return 0, errCorrupt
	}
	return seq, nil
}
