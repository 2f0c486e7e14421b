package engine

import (
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"github.com/headrace/headrace/engine/internal/simwire"
)

var (
	errPipe  error = syscall.EPIPE
	errReset error = syscall.ECONNRESET
)

// simPeer is the client of a life: it follows its plan and answers what it
// reads.
type simPeer struct {
	l      *simLife
	end    *simwire.Peer
	reader wireReader
	out    []byte // to be sent
	step   int    // how many messages are made
	shaken bool   // the request is out
	stage  simStage
	busy   bool // a call of act is planned

	sentClose   bool // a Close frame of ours is made
	closeCode   int
	closeReason string
	breached    bool
	torn        bool // half a frame is out
	gotClose    bool // the server's Close frame has come
	gotCode     int
	gotReason   string
	gotAt       time.Duration // when, without stalls
	gotNow      time.Duration // when, with them
	ended       bool          // the server's stream has ended
	endedBy     error
}

// simStage is how far a peer is with its plan.
type simStage uint8

const (
	stageRunning simStage = iota
	stageDone             // everything is made; what is left goes out
	stageQuiet            // does nothing of its own any more
	stageGone             // its socket is closed, or it has vanished
)

// begin dials.
func (p *simPeer) begin() {
	l := p.l
	w := l.w
	p.reader.frame = p.frame
	l.begun = w.sim.Now()
	l.profile.Accepted = func() {
		room := int64(w.cfg.MaxConns) - w.srv.places.Load()
		l.full, l.atEdge = room <= 0, -simAtOnce < room && room <= simAtOnce
		l.draining = w.draining
	}
	l.profile.Data = p.data
	l.profile.End = p.onEnd
	p.end = w.sim.Dial(l.profile)
	p.out = append(p.out, l.plan.shake.request...)
	p.act()
}

// soon plans the next act.
func (p *simPeer) soon() {
	if p.busy || p.stage == stageGone {
		return
	}
	p.busy = true
	d := time.Duration(p.rng().Int64N(int64(p.l.plan.pause) + 1))
	p.l.w.sim.After(d, func() {
		p.busy = false
		p.act()
	})
}

func (p *simPeer) rng() *rand.Rand { return p.l.w.rng }

// act does the next thing: it sends some bytes, or makes the next frames.
func (p *simPeer) act() {
	if p.stage == stageGone {
		return
	}
	if len(p.out) == 0 {
		if p.stage != stageRunning || !p.shaken && !p.mayTalk() {
			return
		}
		p.shaken = true
		p.next()
	}
	if n := len(p.out); n > 0 {
		if c := p.l.plan.chunk; c > 0 && n > c && (c > 16 || n < 1000) {
			n = 1 + p.rng().IntN(c)
		}
		p.end.Write(p.out[:n])
		p.out = p.out[n:]
	}
	if len(p.out) > 0 || p.stage == stageRunning {
		p.soon()
		return
	}
	p.finish()
}

// mayTalk says whether frames may follow the request.
func (p *simPeer) mayTalk() bool {
	return p.l.plan.shake.want == 101 && (p.l.plan.eager || p.reader.status == 101)
}

// next makes the next message with what comes before and inside it, or the
// finale.
func (p *simPeer) next() {
	w, l := p.l.w, p.l
	if l.plan.halt == p.step {
		p.end.Halt()
	}
	if p.step == l.plan.messages {
		p.finale()
		return
	}
	p.step++
	ep := w.endpointOf(l.plan.shake.path)
	text := p.rng().IntN(2) == 0
	op := byte(wireBinary)
	if text {
		op = wireText
	}
	msg := w.content(text, w.size(int(ep.MaxMessage)))
	frames := 1
	if p.rng().IntN(3) == 0 {
		frames = 1 + p.rng().IntN(min(ep.MaxFrames, 6))
	}
	rest, first := msg, op
	if d := p.reader.deflate; d != nil && p.rng().IntN(2) == 0 {
		rest, first = d.deflate(w.deflater, msg), op|0x40
	}
	for i := range frames {
		p.controls()
		n := len(rest) // may be empty, compressed or not
		fin := byte(0x80)
		if i < frames-1 {
			n, fin = p.rng().IntN(len(rest)+1), 0
		} else {
			l.toHandler = append(l.toHandler, simEvent{op, msg})
		}
		p.out = append(p.out, clientFrame(fin|first, w.key(), rest[:n])...)
		rest, first = rest[n:], wireContinuation
	}
	p.controls()
}

// controls makes pings, and pongs that nobody asked for.
func (p *simPeer) controls() {
	for p.rng().Float64() < p.l.plan.pings {
		op := byte(wirePing)
		if p.rng().IntN(4) == 0 {
			op = wirePong
		}
		p.control(op, p.l.w.content(false, p.rng().IntN(126)))
	}
}

func (p *simPeer) control(op byte, payload []byte) {
	p.l.toHandler = append(p.l.toHandler, simEvent{op, payload})
	p.out = append(p.out, clientFrame(0x80|op, p.l.w.key(), payload)...)
}

// finale makes the last bytes.
func (p *simPeer) finale() {
	p.stage = stageDone
	switch p.l.plan.finale {
	case finaleClose, finaleCloseEOF, finaleCloseGone:
		p.makeClose()
	case finaleBreach:
		p.breached = true
		p.out = append(p.out, p.l.plan.breach.bytes...)
		if p.rng().IntN(3) == 0 { // and on it goes
			p.out = append(p.out, p.l.w.content(false, p.rng().IntN(5000))...)
		}
	case finaleTorn:
		msg := clientFrame(0x82, p.l.w.key(), p.l.w.content(false, 2+p.rng().IntN(1000)))
		p.torn = true
		p.out = append(p.out, msg[:1+p.rng().IntN(len(msg)-1)]...)
	case finaleWait, finaleEOF, finaleReset, finaleVanish:
	}
}

func (p *simPeer) makeClose() {
	if p.sentClose || p.breached || p.torn {
		return
	}
	p.sentClose = true
	p.closeCode = []int{1000, 1001, 1005, 3000, 4999, 1011}[p.rng().IntN(6)]
	var payload []byte
	if p.closeCode != 1005 {
		p.closeReason = []string{"", "bye", strings.Repeat("한", 41)}[p.rng().IntN(3)]
		payload = append([]byte{byte(p.closeCode >> 8), byte(p.closeCode)}, p.closeReason...)
	}
	p.out = append(p.out, clientFrame(0x88, p.l.w.key(), payload)...)
}

// finish is called when everything is out.
func (p *simPeer) finish() {
	p.stage = stageQuiet
	switch p.l.plan.finale {
	case finaleEOF, finaleCloseEOF, finaleTorn:
		p.end.CloseWrite()
	case finaleCloseGone:
		p.leave()
	case finaleReset:
		p.stage = stageGone
		p.end.Reset()
	case finaleVanish:
		p.stage = stageGone
		p.end.Halt()
	case finaleClose, finaleWait, finaleBreach:
		if p.ended {
			p.leave()
		}
	}
}

func (p *simPeer) leave() {
	p.stage = stageGone
	p.end.Close()
}

// data takes what the peer's kernel has.
func (p *simPeer) data(b []byte) {
	had := p.reader.status
	if err := p.reader.feed(b); err != nil {
		p.l.failf("the server's bytes: %v", err)
		p.leave()
		return
	}
	if had == 0 && p.reader.status != 0 {
		p.l.checkAnswer()
		p.soon()
	}
}

// frame answers a frame of the server.
func (p *simPeer) frame(op byte, payload []byte) error {
	switch op {
	case wireClose:
		code, reason, err := readClose(payload)
		if err != nil {
			return err
		}
		p.gotClose, p.gotCode, p.gotReason = true, code, reason
		p.gotAt, p.gotNow = p.l.w.busyTime(), p.l.w.sim.Now()
		p.l.plan.chunk = 0 // no more dawdling
		if p.stage == stageRunning && !p.l.plan.ignores {
			p.stage = stageDone
			p.makeClose()
			p.soon()
		} else if p.stage == stageQuiet && !p.l.plan.ignores && p.l.plan.finale == finaleWait {
			p.makeClose()
			p.soon()
		}
		return nil
	case wirePing:
		heartbeat := len(payload) == heartbeatSize && strings.HasPrefix(string(payload), heartbeatMark)
		idle := p.stage == stageQuiet && p.l.plan.finale == finaleWait
		if !p.sentClose && !p.breached && !p.torn && (p.stage <= stageDone || idle) && p.rng().IntN(10) > 0 {
			p.control(wirePong, append([]byte(nil), payload...))
			p.soon()
		}
		if heartbeat {
			return nil
		}
	case wirePong:
		if p.l.works() {
			return nil
		}
	}
	return p.l.read(op, payload)
}

// onEnd is the end of the server's stream.
func (p *simPeer) onEnd(err error) {
	p.ended, p.endedBy = true, err
	p.l.checkEndOfStream(errors.Is(err, io.EOF))
	if p.stage == stageGone || p.l.plan.ignores && p.rng().IntN(2) == 0 {
		return // it holds the connection open
	}
	p.leave()
}
