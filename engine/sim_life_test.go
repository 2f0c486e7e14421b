package engine

import (
	"bytes"
	"fmt"
	"time"

	"github.com/headrace/headrace/engine/internal/simwire"
)

// simLife is one simulated connection: what its peer and its handler have done,
// and what is expected of each other's view.
type simLife struct {
	w       *simWorld
	id      int
	plan    simPlan
	profile simwire.Profile
	peer    simPeer

	// what the handler is due to hear, in order
	toHandler []simEvent
	heard     int

	// what the peer is due to read, in order for each sender
	toPeer map[string]*simLane

	// the handler's side
	begun   time.Duration
	conn    *Conn
	loop    int
	admits  int
	inside  string // the callback that runs
	closed  bool   // OnClose was called
	info    CloseInfo
	largest int // bytes of the largest frame accepted

	// what may have ended it
	full        bool // there was no room for it (Config.MaxConns)
	atEdge      bool // others may have come or gone in the moment before it was judged
	draining    bool // it came during a shutdown
	closeCode   int  // of the first Close that was accepted; 0: none
	closeReason string
	panicked    bool
	slow        bool
	refused     int // messages for which there was no room
	skipped     int // messages that the peer has seen to be missing
	calledClose bool
	pausedIn    bool // PauseRead was called in a callback, ResumeRead not yet
	late        bool // still sending when CloseTimeout was over, and so cut
}

// simEvent is something that one side is due to hear of.
type simEvent struct {
	op      byte
	payload []byte
}

func (e simEvent) is(op byte, payload []byte) bool {
	return e.op == op && bytes.Equal(e.payload, payload)
}

// simLane is what one goroutine has sent to one connection.
type simLane struct {
	due  []simEvent
	got  int
	must int // how many are in the connection's queue for certain, in front of any Close frame

	atClose int // how many there were when the handler called Close
}

func (l *simLife) failf(format string, args ...any) {
	l.w.failf("life %d (fd %d, finale %d, heard %d of %d): %s", l.id, l.peer.end.FD(), l.plan.finale, l.heard, len(l.toHandler), fmt.Sprintf(format, args...))
}

func (l *simLife) endpoint() *endpoint {
	return l.w.srv.endpoints[l.w.endpointOf(l.plan.shake.path).path]
}

// works says whether the callbacks run on workers.
func (l *simLife) works() bool { return l.endpoint().Workers > 0 }

// mayDrop says whether messages may be missing, and control frames overtake them.
func (l *simLife) mayDrop() bool { return l.w.lateness || l.endpoint().WhenFull.keepsMessages() }

func (l *simLife) lane(src string) *simLane {
	if l.toPeer[src] == nil {
		l.toPeer[src] = new(simLane)
	}
	return l.toPeer[src]
}

// accepted records that the server has taken a frame for sending.
func (l *simLife) accepted(src string, op byte, payload []byte) {
	lane := l.lane(l.laneOf(src, op))
	lane.due = append(lane.due, simEvent{op, bytes.Clone(payload)})
	l.largest = max(l.largest, len(payload)+10)
}

// laneOf gives the lane of a frame: control frames have one of their own where
// they may overtake messages.
func (l *simLife) laneOf(src string, op byte) string {
	if op >= wireClose && (l.mayDrop() || l.works()) {
		return src + " control"
	}
	return src
}

// commit records that everything accepted so far is in the queue.
func (l *simLife) commit() {
	for _, lane := range l.toPeer {
		lane.must = len(lane.due)
	}
}

// closeSnapshot remembers what was accepted before Close was.
func (l *simLife) closeSnapshot() {
	for _, lane := range l.toPeer {
		lane.atClose = len(lane.due)
	}
}

// hear records that the handler was told of something, and checks it.
func (l *simLife) hear(op byte, payload []byte) {
	if l.heard >= len(l.toHandler) {
		l.failf("the handler got opcode %d with %d bytes, which the peer has not sent", op, len(payload))
		return
	}
	if l.closeCode != 0 || l.panicked {
		l.failf("the handler got opcode %d after Close or a panic", op)
	}
	if l.pausedIn && !(l.works() && !l.conn.intake.open()) { // workers run what has come before the end
		l.failf("the handler got opcode %d while reading was paused", op)
	}
	due := &l.toHandler[l.heard]
	l.heard++
	if due.op != op || !bytes.Equal(due.payload, payload) {
		l.failf("the handler got opcode %d %.40q, want %d %.40q", op, payload, due.op, due.payload)
	}
	due.payload = nil
}

// read records that the peer has read a frame, and checks it.
func (l *simLife) read(op byte, payload []byte) error {
	src := labelOf(payload)
	if src == "" || op == wirePong {
		src = l.home()
	}
	lane := l.lane(l.laneOf(src, op))
	for ; l.mayDrop() && lane.got < len(lane.due) && !lane.due[lane.got].is(op, payload); lane.got++ {
		l.skipped++
	}
	if lane.got >= len(lane.due) {
		return fmt.Errorf("the peer read opcode %d %.40q, which %s has not sent", op, payload, src)
	}
	due := &lane.due[lane.got]
	lane.got++
	if !due.is(op, payload) {
		return fmt.Errorf("the peer read opcode %d %.40q (%d bytes), want %d %.40q (%d bytes) of %s",
			op, payload, len(payload), due.op, due.payload, len(due.payload), src)
	}
	due.payload = nil
	return nil
}

// home is the lane of the connection's own loop.
func (l *simLife) home() string { return fmt.Sprint("loop", l.loop) }

// labelOf gives the sender's name out of a message of the server's own.
func labelOf(p []byte) string {
	if len(p) == 0 || p[0] != '<' {
		return ""
	}
	name, _, ok := bytes.Cut(p[1:], []byte{':'})
	if !ok {
		return ""
	}
	return string(name)
}

// steady says whether nothing in this life keeps the peer from reading what the
// server has to say until the server is done.
func (l *simLife) steady() bool {
	p := &l.plan
	switch p.finale {
	case finaleClose, finaleWait, finaleBreach:
	default:
		return false
	}
	f := &l.profile
	return !l.late && !l.w.cfgStalls && !l.w.cut && p.halt < 0 && !p.ignores && f.WriteError == nil && !f.NoAccept &&
		f.PeerLag <= 2*time.Millisecond && f.SendBuffer >= 16<<10 && f.MaxPeer == 0 &&
		(f.MaxRead == 0 || f.ServerLag == 0)
}
