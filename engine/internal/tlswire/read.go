package tlswire

import (
	"errors"
	"io"
)

// The way of what one read has brought:
//
//  1. A record that an earlier read has cut is completed, in held.
//  2. Each whole record is lent to crypto/tls as its input, so that it is
//     decrypted where it lies, and its text is copied behind that of the others.
//  3. A record that this read has cut is held.
//  4. What crypto/tls had to answer (a KeyUpdate, an alert) is sent.
//  5. The owner gets all text at once.
//  6. It hears of what came without text, and of a record that is cut.
//  7. If the peer has ended, or broken a rule, the owner hears of it last.

// read handles ciphertext.
func (t *session) read(p []byte) {
	mem := t.loop.mem
	text := mem.Get(len(t.held) + len(p))
	text, err := t.decrypt(text, p)
	t.sendAnswers()
	heard := len(text) > 0
	if heard && t.state == open {
		t.owner.Arrived(text)
	}
	mem.Put(text)
	if err == nil && t.state == open {
		t.tellMoved(heard)
	}
	if err != nil && t.state == open {
		t.readEnded(err)
	}
}

// tellMoved tells the owner what it cannot see. A read that brings nothing but whole
// records with text needs no word.
func (t *session) tellMoved(heard bool) {
	cut := t.held != nil
	if n := unfinished(t.conn); n > 0 {
		cut = true
		if n > maxUnfinished && t.config != nil {
			t.fail(errUnfinished)
			return
		}
	}
	if cut || t.cutShort || !heard {
		t.cutShort = cut
		t.owner.Moved(cut)
	}
}

// decrypt appends the text of all whole records to text, which has room for
// it.
func (t *session) decrypt(text, p []byte) ([]byte, error) {
	textless := 0
	for len(p) > 0 {
		var record []byte
		if record, p = t.nextRecord(p); record == nil {
			break
		}
		n, err := t.open(record, text[len(text):cap(text)])
		text = text[:len(text)+n]
		if t.held != nil {
			t.loop.mem.Put(t.held)
			t.held = nil
		}
		if err != nil {
			return text, err
		}
		if n > 0 {
			continue
		}
		if textless++; textless > maxTextless {
			return text, errFlood
		}
	}
	return text, nil
}

// open decrypts one record into b, which is longer than the text.
func (t *session) open(record, b []byte) (n int, err error) {
	if !lend(t.conn, record) {
		t.stream.in = record
	}
	n, err = t.conn.Read(b)
	takeBack(t.conn)
	t.stream.in = nil
	if errors.Is(err, wouldBlock{}) { // a record without text
		err = nil
	}
	return n, err
}

// readEnded handles the end of what can be read: a close_notify, or a record that
// breaks a rule.
func (t *session) readEnded(err error) {
	switch {
	case !errors.Is(err, io.EOF):
		t.fail(err)
	case t.paused: // the owner has not seen all that came before
		t.ending = true
	default:
		t.hangUp()
	}
}

// sendAnswers sends what crypto/tls has written while it read.
func (t *session) sendAnswers() {
	if len(t.stream.out) == 0 {
		return
	}
	answers := append(t.loop.mem.Get(len(t.stream.out)), t.stream.out...)
	t.stream.out = nil
	t.post(answers, 0)
	if t.unsent != nil && len(t.unsent.p) > maxAnswers+sealedSize(chunkSize) {
		t.cut(errFlood)
	}
	t.sendRest()
}

const (
	// maxAnswers is how much of crypto/tls's own may wait for a peer that asks for
	// new keys again and again and doesn't read.
	maxAnswers = 16 << 10
	// maxTextless is how many records without text one read may bring. Each may be a
	// KeyUpdate, which costs a few microseconds. crypto/tls allows 16 in a row, and
	// counts anew behind a byte of text.
	maxTextless = 32
	// maxUnfinished is how much of a message that is no text crypto/tls may hold for a
	// client between two reads. The only one that a client has to send is a KeyUpdate,
	// of five bytes. A server sends tickets, which can be long.
	maxUnfinished = 4 << 10
)

var (
	errFlood      = errors.New("tls: the peer asks for new keys too often, or does not read")
	errUnfinished = errors.New("tls: a message after the handshake is too long")
)
