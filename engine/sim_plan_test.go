package engine

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/headrace/headrace/engine/internal/simwire"
)

// simPlan is what a peer means to do with its life.
type simPlan struct {
	shake    simShake
	eager    bool // frames go out before the answer has come
	messages int
	pings    float64 // how likely a ping stands between two frames
	chunk    int     // the most that is sent at once; 0: everything
	pause    time.Duration
	finale   simFinale
	breach   simBreach // with finaleBreach
	halt     int       // stops reading before this message; -1: never
	ignores  bool      // does not answer the server's Close frame
}

// simFinale is how a peer means to end.
type simFinale uint8

const (
	finaleClose     simFinale = iota // sends Close and waits
	finaleWait                       // waits for the server to end it
	finaleBreach                     // breaks the protocol, and reads on
	finaleEOF                        // ends its half of the stream
	finaleCloseEOF                   // sends Close and ends its half at once
	finaleCloseGone                  // sends Close and closes its socket at once
	finaleReset
	finaleVanish // neither reads nor writes any more
	finaleTorn   // half a message, then the end of its half
)

// simBreach is a violation of the protocol and the close code that it deserves.
type simBreach struct {
	bytes []byte
	code  int
}

func weighted(rng *rand.Rand, weights ...int) int {
	total := 0
	for _, w := range weights {
		total += w
	}
	n := rng.IntN(total)
	for i, w := range weights {
		if n < w {
			return i
		}
		n -= w
	}
	panic("unreachable")
}

func (w *simWorld) newPlan(id int) simPlan {
	rng := w.rng
	p := simPlan{
		eager:    rng.IntN(4) == 0,
		messages: rng.IntN(1 + rng.IntN(12)),
		pings:    []float64{0, 0.2, 0.5}[rng.IntN(3)],
		pause:    []time.Duration{0, time.Millisecond, 20 * time.Millisecond}[rng.IntN(3)],
		finale:   simFinale(weighted(rng, 40, 8, 20, 8, 4, 4, 6, 4, 4)),
		halt:     -1,
		ignores:  rng.IntN(12) == 0,
	}
	switch rng.IntN(6) {
	case 0:
		p.chunk = 1 + rng.IntN(4)
	case 1:
		p.chunk = 1 + rng.IntN(4096)
	}
	if rng.IntN(15) == 0 {
		p.halt = rng.IntN(p.messages + 1)
	}
	ep := w.endpoints[rng.IntN(len(w.endpoints))]
	p.shake = w.newShake(id, ep.path)
	if p.finale == finaleBreach {
		p.breach = w.newBreach(ep)
	}
	return p
}

func (w *simWorld) newProfile(p *simPlan) simwire.Profile {
	rng := w.rng
	prof := simwire.Profile{
		AcceptLag:  []time.Duration{0, time.Millisecond, 200 * time.Millisecond}[rng.IntN(3)],
		NoAccept:   rng.IntN(200) == 0,
		ServerLag:  []time.Duration{0, 200 * time.Microsecond, 3 * time.Millisecond}[rng.IntN(3)],
		PeerLag:    []time.Duration{0, 200 * time.Microsecond, 2 * time.Millisecond}[rng.IntN(3)],
		SendBuffer: 16<<10 + rng.IntN(256<<10),
	}
	switch rng.IntN(12) {
	case 0:
		prof.SendBuffer = 1 + rng.IntN(64)
	case 1, 2:
		prof.SendBuffer = 1 + rng.IntN(8<<10)
	case 3:
		prof.PeerLag = 300 * time.Millisecond
	case 4:
		prof.WriteError = []error{errPipe, errReset}[rng.IntN(2)]
		prof.ErrorAfter = rng.IntN(1 + rng.IntN(20<<10))
	}
	switch rng.IntN(8) {
	case 0:
		prof.MaxRead = 1 + rng.IntN(16)
		p.messages = min(p.messages, 3)
	case 1:
		prof.MaxPeer = 1 + rng.IntN(2<<10)
	}
	return prof
}

// size gives a message's length: mostly small.
func (w *simWorld) size(limit int) int {
	n := 0
	switch weighted(w.rng, 10, 40, 25, 15, 7, 3) {
	case 1:
		n = w.rng.IntN(126)
	case 2:
		n = 120 + w.rng.IntN(2000)
	case 3:
		n = w.rng.IntN(10 << 10)
	case 4:
		n = []int{65535, 65536, 10<<10 + w.rng.IntN(60<<10)}[w.rng.IntN(3)]
	case 5:
		n = w.rng.IntN(200 << 10)
	}
	return min(n, limit)
}

var simRunes = []string{"a", "Z", " ", "é", "ß", "한", "€", "𝄞", "😀", "~"}

// content makes a message. It never begins like the labels that the server's own
// messages carry.
func (w *simWorld) content(text bool, n int) []byte {
	if text {
		var b strings.Builder
		for b.Len() < n {
			r := simRunes[w.rng.IntN(len(simRunes))]
			if b.Len()+len(r) > n {
				r = "x"
			}
			b.WriteString(strings.Repeat(r, min(1+w.rng.IntN(9), (n-b.Len())/len(r))))
		}
		return []byte(b.String())
	}
	p := make([]byte, n)
	for i := 0; i < n; i += 8 {
		v := w.rng.Uint64()
		for j := i; j < min(i+8, n); j++ {
			p[j] = byte(v)
			v >>= 8
		}
	}
	if n > 0 && p[0] == '<' {
		p[0] = 'x'
	}
	return p
}

func (w *simWorld) key() (key [4]byte) {
	if w.rng.IntN(10) > 0 {
		for i := range key {
			key[i] = byte(w.rng.Uint32())
		}
	}
	return key
}

// newBreach breaks one rule.
func (w *simWorld) newBreach(ep *simEndpoint) simBreach {
	key := w.key()
	frame := func(first byte, payload string) []byte { return clientFrame(first, key, []byte(payload)) }
	join := func(frames ...[]byte) (all []byte) {
		for _, f := range frames {
			all = append(all, f...)
		}
		return all
	}
	unmasked := []byte{0x81, 2, 'h', 'i'}
	long := append([]byte{0x81, 0x80 | 127}, 0, 0, 0, 0, 0, 0, 1, 44)
	many := [][]byte{frame(0x01, "a")}
	for range ep.MaxFrames {
		many = append(many, frame(0x00, "b"))
	}
	rsv := []byte{0x10, 0x20, 0x40}[w.rng.IntN(3)]
	if ep.Compression != nil {
		rsv = 0x30
	}
	half := string(w.content(false, int(ep.MaxMessage)/2+1))
	all := []simBreach{
		{unmasked, 1002},
		{frame(0x81|rsv, "rsv"), 1002},
		{frame(0x80|[]byte{3, 7, 0xB, 0xF}[w.rng.IntN(4)], "op"), 1002},
		{frame(0x09, "ping in pieces"), 1002},
		{frame(0x89, strings.Repeat("p", 126)), 1002},
		{frame(0x80, "nothing to continue"), 1002},
		{join(frame(0x01, "open"), frame(0x81, "another")), 1002},
		{[]byte{0x81, 0x80 | 126, 0, 5, 0, 0, 0, 0}, 1002},
		{long, 1002},
		{[]byte{0x82, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 0}, 1002},
		{frame(0x88, "\x03"), 1002},
		{frame(0x88, []string{"\x03\xe7", "\x03\xed", "\x03\xee", "\x03\xf8", "\x13\x88"}[w.rng.IntN(5)]), 1002},
		{frame(0x88, "\x03\xe8\xff\xfe"), 1007},
		{frame(0x81, "not \xff UTF-8"), 1007},
		{join(frame(0x01, "half a rune \xed"), frame(0x80, "x")), 1007},
		{frame(0x81, "cut rune \xe2\x82"), 1007},
		{[]byte{0x82, 0x80 | 127, 0, 0, 0, 0, 0x7F, 0, 0, 0, 1, 2, 3, 4, 'x'}, 1009},
		{join(frame(0x02, half), frame(0x80, half)), 1009},
		{join(many...), 1008},
	}
	return all[w.rng.IntN(len(all))]
}
