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
//  6. If the peer has ended, or broken a rule, the owner hears of it last.

// read handles ciphertext.
func (t *session) read(p []byte) {
	mem := t.loop.mem
	text := mem.Get(len(t.held) + len(p))
	text, err := t.decrypt(text, p)
	t.sendAnswers()
	if len(text) > 0 && t.state == open {
		t.owner.Arrived(text)
	}
	mem.Put(text)
	if err != nil && t.state == open {
		t.readEnded(err)
	}
}

// decrypt appends the text of all whole records to text, which has room for
// it.
func (t *session) decrypt(text, p []byte) ([]byte, error) {
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

// maxAnswers is how much of crypto/tls's own may wait for a peer that asks for
// new keys again and again and doesn't read.
const maxAnswers = 16 << 10

var errFlood = errors.New("tls: the peer asks for new keys and does not read")
