package bench

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"regexp"

	"github.com/headrace/headrace/engine"
)

// Expectation is what is to come back for a message.
type Expectation struct {
	kind     expectKind
	contains []byte
	matches  *regexp.Regexp
}

type expectKind uint8

const (
	expectEcho     expectKind = iota // the same bytes
	expectNothing                    // no answer; what comes all the same is counted as unasked
	expectContains                   // something with these bytes in it
	expectMatches                    // something that a regular expression finds
)

// ExpectEcho wants the same bytes back.
func ExpectEcho() Expectation { return Expectation{kind: expectEcho} }

// ExpectNothing wants no answer.
func ExpectNothing() Expectation { return Expectation{kind: expectNothing} }

// ExpectContains wants an answer that has s in it.
func ExpectContains(s string) Expectation {
	return Expectation{kind: expectContains, contains: []byte(s)}
}

// ExpectMatches wants an answer in which a regular expression is found.
func ExpectMatches(expr string) (Expectation, error) {
	re, err := regexp.Compile(expr)
	return Expectation{kind: expectMatches, matches: re}, err
}

// holds says whether an answer is as expected. same says that it is what was sent.
func (e *Expectation) holds(p []byte, same bool) bool {
	switch e.kind {
	case expectContains:
		return bytes.Contains(p, e.contains)
	case expectMatches:
		return e.matches.Match(p)
	case expectEcho, expectNothing:
	}
	return same
}

// stamps mark messages, so that an answer is known wherever it comes and in whatever it
// is wrapped: a word of this run, then connection and number. Immutable.
type stamps struct{ word []byte }

// textStamp is how long a stamp is in a text; one in random bytes is stampSize long.
const textStamp = 4 + 2*stampSize

func newStamps(rng *rand.Rand) stamps {
	const letters = "bcdfghjkmnpqrstvwxz"
	word := []byte("w...")
	for i := 1; i < len(word); i++ {
		word[i] = letters[rng.IntN(len(letters))]
	}
	return stamps{word}
}

// appendText appends the stamp of a message.
func (s stamps) appendText(dst []byte, conn, seq uint32) []byte {
	var raw [stampSize]byte
	binary.BigEndian.PutUint32(raw[:], conn)
	binary.BigEndian.PutUint32(raw[4:], seq)
	return hex.AppendEncode(append(dst, s.word...), raw[:])
}

// whoseStamp says what a message that has come is about.
type whoseStamp uint8

const (
	noStamp      whoseStamp = iota
	ownStamp                // it answers a message of this connection
	foreignStamp            // it has to do with another's, or with one that wants no answer
)

// find looks for a stamp in a text.
func (s stamps) find(p []byte, conn uint32) (seq uint32, whose whoseStamp) {
	for {
		at := bytes.Index(p, s.word)
		if at < 0 || len(p)-at < textStamp {
			return 0, whose
		}
		var raw [stampSize]byte
		if _, err := hex.Decode(raw[:], p[at+len(s.word):at+textStamp]); err == nil {
			if binary.BigEndian.Uint32(raw[:]) == conn {
				return binary.BigEndian.Uint32(raw[4:]), ownStamp
			}
			whose = foreignStamp
		}
		p = p[at+len(s.word):]
	}
}

// least is how short random bytes may be.
func (m *Message) least() int {
	if m.Text {
		return textStamp
	}
	return stampSize
}

func (m *Message) op() engine.Op { return opOf(m.Sizes == nil || m.Text) }

// isStamped says whether its answer is known by a stamp; else answers come in order.
func (m *Message) isStamped() bool {
	if m.Sizes != nil {
		return m.Expect.kind == expectEcho
	}
	return m.Template.HasStamp()
}

// sizes says how long the messages of a scenario are.
func (p *Scenario) sizes() string {
	all := Sizes{Min: maxMessage}
	for i := range p.Messages {
		m := &p.Messages[i]
		least, most := 0, 0
		if m.Sizes != nil {
			least, most = m.Sizes.Min, m.Sizes.Max
		} else {
			n := len(m.Template.AppendTo(nil, p.mostConns(), 0, make([]byte, textStamp)))
			least, most = n, n
		}
		all.Min, all.Max = min(all.Min, least), max(all.Max, most)
	}
	return fmt.Sprint(all)
}
