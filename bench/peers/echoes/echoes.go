// Package echoes has one job on several libraries: every message goes back as it came.
// Each library is set up as its own documentation advises for many connections; text is
// checked to be UTF-8 by all, by the library where it does that.
package echoes

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime/debug"
)

// Options are what a server has to do besides.
type Options struct {
	TLS     *tls.Config // nil: ws, else wss
	Deflate Deflate
}

// Deflate is how messages are compressed (RFC 7692).
type Deflate string

// The ways to compress.
const (
	Plain    Deflate = "no"
	Single   Deflate = "single"   // each message for itself (no context takeover)
	Takeover Deflate = "takeover" // a message refers to those before, in both directions
)

// Level is the compression level of all, where a library has one: the fastest.
const Level = 1

// Kind is a library.
type Kind struct {
	Name     string
	Module   string // that has the library
	Single   bool   // can it compress so?
	Takeover bool
	// Listen serves on a free port of the loopback, and gives its address.
	Listen func(o Options) (addr string, err error)
}

// Kinds are all there are, Headrace first.
var Kinds = []Kind{
	{"headrace", "github.com/headrace/headrace", true, true, listenHeadrace},
	{"gorilla", "github.com/gorilla/websocket", true, false, listenGorilla},
	{"coder", "github.com/coder/websocket", true, true, listenCoder},
	{"gws", "github.com/lxzan/gws", true, true, listenGws},
	{"gobwas", "github.com/gobwas/ws", true, false, listenGobwas},
	{"nbio", "github.com/lesismal/nbio", true, false, listenNbio},
}

// Find gives a kind by its name, Floor too, nil when there is none.
func Find(name string) *Kind {
	if name == Floor.Name {
		return &Floor
	}
	for i := range Kinds {
		if Kinds[i].Name == name {
			return &Kinds[i]
		}
	}
	return nil
}

// Does says whether the library can do what is asked.
func (k *Kind) Does(o Options) bool {
	return o.Deflate == Plain || o.Deflate == "" || o.Deflate == Single && k.Single || o.Deflate == Takeover && k.Takeover
}

// Serve is the life of a server's process: it says "listening ADDRESS", and returns when
// in ends. At a line "collect" it gives what it does not need back to the system, and
// says "collected".
func Serve(k *Kind, o Options, in io.Reader, out io.Writer) error {
	addr, err := k.Listen(o)
	if err != nil {
		return fmt.Errorf("%s: %w", k.Name, err)
	}
	fmt.Fprintln(out, "listening", addr)
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if lines.Text() == "collect" {
			debug.FreeOSMemory()
			fmt.Fprintln(out, "collected")
		}
	}
	return lines.Err()
}

const loopback = "127.0.0.1:0"

// listen opens a listener, for TLS if that is asked for.
func (o *Options) listen() (net.Listener, error) {
	l, err := net.Listen("tcp4", loopback)
	if err != nil || o.TLS == nil {
		return l, err
	}
	return tls.NewListener(l, o.TLS), nil
}

// largest is the largest message that any job sends, with room.
const largest = 4 << 20
