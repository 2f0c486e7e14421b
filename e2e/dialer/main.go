// Command dialer connects to an echo server with the engine's client role, sends
// random messages over several connections, and compares what comes back.
//
//	dialer -url wss://127.0.0.1:8443/ -insecure -compression takeover
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/engine"
)

func main() {
	url := flag.String("url", "", "the echo server")
	conns := flag.Int("conns", 4, "connections")
	messages := flag.Int("messages", 1000, "messages on each")
	insecure := flag.Bool("insecure", false, "take any certificate")
	compression := flag.String("compression", "off", "off, history, takeover, single or full")
	limit := flag.Duration("limit", time.Minute, "time for everything")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), *limit)
	defer cancel()
	opts := engine.DialOptions{TLS: &tls.Config{InsecureSkipVerify: *insecure}}
	opts.Compression = map[string]*engine.Compression{
		"history": {Threshold: 1}, "takeover": {PeerBits: 15, Threshold: 1},
		"single": {History: engine.NoHistory, Threshold: 1}, "full": {History: engine.FullHistory, PeerBits: 15, Threshold: 1},
	}[*compression]
	if err := run(ctx, *url, opts, *conns, *messages); err != nil {
		fmt.Fprintln(os.Stderr, "dialer:", err)
		os.Exit(1)
	}
	fmt.Printf("%d messages came back\n", *conns**messages)
}

// talk is one connection's conversation: one message at a time.
type talk struct {
	rng  *rand.Rand
	left int
	op   engine.Op
	sent []byte
	end  chan error
}

func run(ctx context.Context, url string, opts engine.DialOptions, conns, messages int) error {
	client, err := engine.NewClient(engine.ClientConfig{})
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck // everything has ended by then, or there is a better error
	var talks sync.Map
	opts.Handler = engine.HandlerFuncs{
		Message: func(c *engine.Conn, op engine.Op, p []byte) {
			t, _ := talks.Load(c)
			t.(*talk).heard(c, op, p)
		},
		Close: func(c *engine.Conn, info engine.CloseInfo) {
			if t, ok := talks.LoadAndDelete(c); ok {
				t.(*talk).closed(info)
			}
		},
	}
	opts.MaxMessage, opts.MaxQueue = 2<<20, 8<<20
	dialer, err := client.Dialer(url, opts)
	if err != nil {
		return err
	}
	ends := make(chan error, conns)
	for i := range conns {
		c, err := dialer.Dial(ctx)
		if err != nil {
			return err
		}
		t := &talk{rng: rand.New(rand.NewPCG(uint64(i), 1)), left: messages, end: ends}
		talks.Store(c, t)
		if err := t.say(c); err != nil {
			return err
		}
	}
	for range conns {
		select {
		case err := <-ends:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// say sends the next message, or closes.
func (t *talk) say(c *engine.Conn) error {
	if t.left == 0 {
		return c.Close(engine.CloseNormal, "done")
	}
	t.left--
	n := int(float64(300_000) * t.rng.Float64() * t.rng.Float64() * t.rng.Float64() * t.rng.Float64())
	t.op = engine.Text
	t.sent = []byte(strings.Repeat(fmt.Sprintf(`{"seq":%d,"price":%.2f,"text":"물레방아"}`, t.left, t.rng.Float64()*100), n/40+1))[:n]
	for !utf8.Valid(t.sent) {
		t.sent = t.sent[:len(t.sent)-1]
	}
	if t.rng.IntN(3) == 0 {
		t.op = engine.Binary
		for i := range t.sent {
			t.sent[i] = byte(t.rng.Uint32())
		}
	}
	return c.Send(t.op, t.sent)
}

func (t *talk) heard(c *engine.Conn, op engine.Op, p []byte) {
	if op != t.op || !bytes.Equal(p, t.sent) {
		t.finish(fmt.Errorf("%v of %d bytes came back as %v of %d", t.op, len(t.sent), op, len(p)))
		return
	}
	if err := t.say(c); err != nil {
		t.finish(err)
	}
}

func (t *talk) closed(info engine.CloseInfo) {
	if info.Code != engine.CloseNormal || !info.Clean || t.left > 0 {
		t.finish(errors.Join(fmt.Errorf("closed with %v %q, %d messages early", info.Code, info.Reason, t.left), info.Err))
		return
	}
	t.finish(nil)
}

// finish tells how the conversation has ended, once.
func (t *talk) finish(err error) {
	select {
	case t.end <- err:
	default:
	}
}
