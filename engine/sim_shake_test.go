package engine

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// simShake is an opening handshake and the status that it deserves.
type simShake struct {
	request []byte
	key     string
	path    string
	want    int
	head    bool // a HEAD request: the answer has no body
}

// newShake makes a handshake: most are as they should be, some are spoiled.
func (w *simWorld) newShake(id int, path string) simShake {
	s := simShake{key: base64.StdEncoding.EncodeToString(w.content(false, 16)), path: path, want: 101}
	d := simDraft{
		method: "GET", target: fmt.Sprintf("%s?life=%d", path, id), version: "HTTP/1.1", end: "\r\n",
		fields: []string{
			"Host: example.com", "Upgrade: websocket", "Connection: keep-alive, Upgrade",
			"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + s.key,
		},
	}
	if w.rng.IntN(2) == 0 {
		d.add("Sec-WebSocket-Extensions: " + simOffers[w.rng.IntN(len(simOffers))])
	}
	if w.rng.IntN(5) == 0 {
		s.want = w.spoil(&d)
	}
	if w.rng.IntN(4) == 0 && s.want != 431 {
		d.fields = append(d.fields, "X-Pad: "+strings.Repeat("p", w.rng.IntN(max(1, w.cfg.MaxHandshakeBytes-600))))
	}
	w.rng.Shuffle(len(d.fields), func(i, j int) { d.fields[i], d.fields[j] = d.fields[j], d.fields[i] })
	s.request = d.bytes()
	s.head = d.method == "HEAD"
	if s.want == 408 {
		s.request = s.request[:w.rng.IntN(len(s.request))]
	}
	return s
}

// simDraft is a request that is being drawn up.
type simDraft struct {
	method, target, version string
	fields                  []string
	end                     string
	raw                     string // instead of all that
}

func (d *simDraft) bytes() []byte {
	if d.raw != "" {
		return []byte(d.raw)
	}
	return []byte(d.method + " " + d.target + " " + d.version + "\r\n" + strings.Join(d.fields, "\r\n") + "\r\n" + d.end)
}

func (d *simDraft) add(field string) { d.fields = append(d.fields, field) }

func (d *simDraft) remove(name string) {
	d.fields = slices.DeleteFunc(d.fields, func(f string) bool { return strings.HasPrefix(f, name) })
}

// spoil makes one mistake, and gives the status that it deserves.
func (w *simWorld) spoil(d *simDraft) int {
	elsewhere := func(status int) int { // net/http would have served it, but Detach fails here
		if w.http {
			return 503
		}
		return status
	}
	switch w.rng.IntN(16) {
	case 0:
		d.target = "/nowhere"
		return elsewhere(404)
	case 1:
		d.remove("Upgrade")
		return elsewhere(426)
	case 2:
		d.remove("Sec-WebSocket-Version")
		return 426
	case 3:
		d.method = "POST"
		return 405
	case 4:
		d.remove("Sec-WebSocket-Key")
		return 400
	case 5:
		d.remove("Host")
		return 400
	case 6:
		d.version = "HTTP/1.0"
		return 505
	case 7:
		d.add("Origin: https://evil.example")
		return 403
	case 8:
		d.add("X-Long: " + strings.Repeat("x", w.cfg.MaxHandshakeBytes))
		return 431
	case 9:
		d.target += "&refuse=1"
		return 401
	case 10:
		d.target += "&panic=1"
		return 500
	case 11:
		d.add("no colon here")
		return 400
	case 12:
		d.add("Content-Length: 5")
		return 400
	case 13:
		d.end = "" // it never becomes complete
		return 408
	case 14:
		d.raw = "\x16\x03\x01\x02\x00\x01\x00" // TLS
		return 400
	default:
		d.method = "HEAD"
		return 405
	}
}
