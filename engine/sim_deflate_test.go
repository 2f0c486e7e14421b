package engine

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/headrace/headrace/codec"
)

// simDeflate is a peer's side of permessage-deflate (RFC 7692). It inflates with
// the standard library and a window of its own.
type simDeflate struct {
	clientBits  uint8 // of its own window
	clientFresh bool  // its messages refer to nothing
	serverFresh bool
	sent, got   []byte // what has gone and come compressed, the last 32 KB
}

// simOffers are what peers ask for.
var simOffers = []string{
	"permessage-deflate",
	"permessage-deflate; client_max_window_bits",
	"permessage-deflate; client_max_window_bits=10; server_max_window_bits=9",
	"permessage-deflate; server_no_context_takeover; client_no_context_takeover",
	"permessage-deflate; nonsense=1, permessage-deflate; client_max_window_bits",
}

// newSimDeflate reads what the server has answered; nil says that there is no
// compression.
func newSimDeflate(answer string) (*simDeflate, error) {
	if answer == "" {
		return nil, nil
	}
	parts := strings.Split(answer, ";")
	if parts[0] != "permessage-deflate" {
		return nil, fmt.Errorf("extension %q", answer)
	}
	d := &simDeflate{clientBits: 15}
	for _, p := range parts[1:] {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		switch name {
		case "server_no_context_takeover":
			d.serverFresh = true
		case "client_no_context_takeover":
			d.clientFresh = true
		case "server_max_window_bits":
		case "client_max_window_bits":
			bits, err := strconv.Atoi(value)
			if err != nil {
				return nil, err
			}
			d.clientBits = uint8(bits)
		default:
			return nil, fmt.Errorf("parameter %q", p)
		}
	}
	return d, nil
}

func last32K(b []byte) []byte { return b[max(0, len(b)-1<<15):] }

// inflate reads a message of the server.
func (d *simDeflate) inflate(p []byte) ([]byte, error) {
	if d == nil {
		return nil, errors.New("a compressed message without the extension")
	}
	history := d.got
	if d.serverFresh {
		history = nil
	}
	stream := io.MultiReader(bytes.NewReader(p), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))
	out, err := io.ReadAll(flate.NewReaderDict(stream, history))
	d.got = last32K(append(d.got, out...))
	return out, err
}

// deflate makes a message to the server.
func (d *simDeflate) deflate(with *codec.Deflater, p []byte) []byte {
	var history []byte
	if !d.clientFresh {
		history = d.sent
	}
	out := with.Append(nil, p, d.clientBits, history)
	d.sent = last32K(append(bytes.Clone(d.sent), p...))
	return out
}

// newSimCompression gives settings at random; nil is none.
func newSimCompression(n int) *Compression {
	return []*Compression{
		nil, nil, nil, nil,
		{},
		{History: 4096, PeerBits: 10, Threshold: 1, Level: 2},
		{History: NoHistory, PeerBits: 15},
		{History: FullHistory, PeerBits: 15, Threshold: 20},
	}[n%8]
}
