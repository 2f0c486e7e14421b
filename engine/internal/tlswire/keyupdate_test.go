package tlswire

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// traffic seals or opens records of TLS 1.3 with TLS_AES_128_GCM_SHA256, for what
// crypto/tls's client never sends (RFC 8446 §5.2, §7.3).
type traffic struct {
	secret []byte
	seq    uint64
	aead   cipher.AEAD
	iv     []byte
}

func newTraffic(secret []byte) *traffic {
	x := &traffic{secret: secret}
	block, _ := aes.NewCipher(x.expand("key", 16))
	x.aead, _ = cipher.NewGCM(block)
	x.iv = x.expand("iv", 12)
	return x
}

// updated is the next generation.
func (x *traffic) updated() *traffic { return newTraffic(x.expand("traffic upd", 32)) }

func (x *traffic) expand(label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len("tls13 "+label)))
	info = append(info, "tls13 "+label+"\x00"...)
	key, err := hkdf.Expand(sha256.New, x.secret, string(info), n)
	if err != nil {
		panic(err)
	}
	return key
}

func (x *traffic) nonce() []byte {
	nonce := bytes.Clone(x.iv)
	for i := range 8 {
		nonce[4+i] ^= byte(x.seq >> (56 - 8*i))
	}
	x.seq++
	return nonce
}

func (x *traffic) seal(typ byte, p []byte) []byte {
	inner := append(bytes.Clone(p), typ)
	header := []byte{23, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(header[3:], uint16(len(inner)+16))
	return x.aead.Seal(header, x.nonce(), inner, header)
}

// open gives the first record of b, and its type.
func (x *traffic) open(b []byte) (typ byte, p, rest []byte) {
	n := 5 + int(binary.BigEndian.Uint16(b[3:]))
	p, err := x.aead.Open(nil, x.nonce(), b[5:n], b[:5])
	if err != nil {
		return 0, nil, b
	}
	return p[len(p)-1], p[:len(p)-1], b[n:]
}

// secretsOf reads a key log.
func secretsOf(log string) (client, server []byte) {
	lines := bufio.NewScanner(strings.NewReader(log))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		secret, _ := hex.DecodeString(f[2])
		switch f[0] {
		case "CLIENT_TRAFFIC_SECRET_0":
			client = secret
		case "SERVER_TRAFFIC_SECRET_0":
			server = secret
		}
	}
	return client, server
}

const (
	typeHandshake   = 22
	typeText        = 23
	updateRequested = "\x18\x00\x00\x01\x01"
)

// shakenSession is a session whose client is us: the keys of both directions.
func shakenSession(t *testing.T, u *user) (l *transport, toServer, fromServer *traffic) {
	t.Helper()
	l = serve(u, serverConfig(), nil)
	var log strings.Builder
	c := newClient(&tls.Config{KeyLogWriter: &log}, func(_ *client, conn *tls.Conn) { _ = conn.Handshake() })
	converse(c, l, whole, anyRoom)
	if c.live || c.tls.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skip("this machine prefers another cipher")
	}
	client, server := secretsOf(log.String())
	toServer, fromServer = newTraffic(client), newTraffic(server)
	return l, toServer, fromServer
}

func TestKeyUpdate(t *testing.T) {
	u := &user{echo: true}
	l, out, in := shakenSession(t, u)
	// The text behind the KeyUpdate comes in the same read.
	p := append(out.seal(typeText, []byte("old")), out.seal(typeHandshake, []byte(updateRequested))...)
	out = out.updated()
	p = append(p, out.seal(typeText, []byte(" and new"))...)
	l.arrive(p)
	if string(u.heard) != "old and new" || u.turns != 1 {
		t.Errorf("heard %q in %d turns", u.heard, u.turns)
	}
	sent := l.drain(-1)
	typ, answer, sent := in.open(sent)
	if typ != typeHandshake || string(answer) != "\x18\x00\x00\x01\x00" {
		t.Fatalf("the answer to a KeyUpdate is type %d, %x", typ, answer)
	}
	typ, echo, _ := in.updated().open(sent)
	if typ != typeText || string(echo) != "old and new" {
		t.Errorf("behind it: type %d, %q", typ, echo)
	}
}

// The answer goes out even if nobody has anything to say, and behind what waits.
func TestKeyUpdateWhileTheSocketIsFull(t *testing.T) {
	u := &user{echo: true}
	l, out, in := shakenSession(t, u)
	l.room = 10
	l.arrive(out.seal(typeText, []byte("long enough")))
	l.arrive(out.seal(typeHandshake, []byte(updateRequested)))
	var sent []byte
	for range 20 {
		sent = append(sent, l.drain(5)...)
	}
	_, echo, sent := in.open(sent)
	typ, _, rest := in.open(sent)
	if string(echo) != "long enough" || typ != typeHandshake || len(rest) > 0 || len(u.queue) > 0 {
		t.Errorf("got %q, then type %d, then %d bytes; %d bytes are not told of", echo, typ, len(rest), len(u.queue))
	}
}

func TestKeyUpdateFlood(t *testing.T) {
	u := &user{}
	l, out, _ := shakenSession(t, u)
	l.room = 0
	for range 100_000 {
		p := out.seal(typeHandshake, []byte(updateRequested))
		out = out.updated()
		l.arrive(append(p, out.seal(typeText, []byte("x"))...)) // text makes crypto/tls count anew
		if l.closed {
			break
		}
	}
	if len(u.ends) != 1 || u.ends[0] != errFlood { //nolint:errorlint // it must be this one
		t.Errorf("it ended with %v", u.ends)
	}
}
