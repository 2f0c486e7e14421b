package engine

import (
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/headrace/headrace/codec"
)

// A heartbeat asks a peer that has been silent for Endpoint.PingInterval whether
// it is there (RFC 6455 §5.5.2). A peer that talks is not asked. The first one
// comes after a random part of the interval, so that the pings of connections
// that were made together don't go out together.

// startHeartbeat is called when the connection opens.
func (c *Conn) startHeartbeat() {
	if every := c.id.PingInterval; every > 0 {
		c.loop.setBeat(c, c.loop.server.random(every))
	}
}

// heartbeat is called at the connection's beat.
func (c *Conn) heartbeat() {
	switch {
	case c.phase != phaseOpen:
		return
	case c.flags&flagHeard != 0 || c.out != nil || c.isPaused(): // what waits to be taken has a deadline of its own
		c.flags &^= flagHeard | flagAsked
		c.loop.setBeat(c, c.id.PingInterval)
	case c.flags&flagAsked == 0:
		c.flags |= flagAsked
		c.ask()
		c.loop.setBeat(c, c.id.PongTimeout)
	default:
		c.fail(ErrNoPong)
	}
}

// heartbeatMark begins the payload of a heartbeat's ping; the time follows.
const heartbeatMark = "beat"

const heartbeatSize = len(heartbeatMark) + 8

// ask sends a ping that carries the time, so that nothing is kept for its pong.
func (c *Conn) ask() {
	var payload [heartbeatSize]byte
	copy(payload[:], heartbeatMark)
	binary.BigEndian.PutUint64(payload[len(heartbeatMark):], uint64(c.loop.wire.Now()))
	c.addFrame(codec.OpPing, payload[:])
}

// answered takes the round-trip time from the pong of a heartbeat, and says whether
// it was one.
func (c *Conn) answered(pong []byte) bool {
	if c.flags&flagAsked == 0 || len(pong) != heartbeatSize || string(pong[:len(heartbeatMark)]) != heartbeatMark {
		return false
	}
	c.flags &^= flagAsked | flagHeard
	c.loop.setBeat(c, c.id.PingInterval)
	sent := time.Duration(binary.BigEndian.Uint64(pong[len(heartbeatMark):]))
	if d := c.loop.wire.Now() - sent; d >= 0 && d <= c.id.PongTimeout+c.id.PingInterval { // else the peer made it up
		c.rtt = rttOf(d)
		c.noteRoundTrip(d)
	}
	return true
}

// rtt is a round-trip time in two bytes: twelve bits of microseconds, and four
// bits that shift them. It reaches 134 s, and is exact to 0.05 %.
type rtt uint16

const (
	rttBits = 12
	rttMost = 1<<rttBits - 1
)

func rttOf(d time.Duration) rtt {
	us := uint64(min(max(d.Microseconds(), 0), rttMost<<15))
	shift := max(0, bits.Len64(us)-rttBits)
	return rtt(shift<<rttBits) | rtt(us>>shift)
}

func (r rtt) duration() time.Duration {
	return time.Duration(r&rttMost) << (r >> rttBits) * time.Microsecond
}
