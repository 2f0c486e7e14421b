package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/headrace/headrace/bench/peers/clock"
	"github.com/headrace/headrace/engine"
)

func loadTLS(cert, key string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	return &tls.Config{Certificates: []tls.Certificate{pair}}, err
}

// load is a closed loop over connections that the load in C does not speak: wss, and
// messages that are compressed. It stands on the engine's client, with one loop.
type load struct {
	conns, depth, size int
	json               bool
	from, until        int64 // what comes back between them counts (clock.Now)

	messages uint64
	latency  *hdrhistogram.Histogram // nanoseconds
	wrong    atomic.Bool
	lost     atomic.Bool
	scratch  []byte
	expected []byte
	filling  []byte
}

// loadConn is one connection. Loop-only.
type loadConn struct {
	next, back int
	sentAt     []int64 // depth of them
}

// runLoad is: load [flags] URL, with the figures as bench/limit/client.c prints them.
func runLoad(args []string, out io.Writer) error {
	l := &load{latency: hdrhistogram.New(1000, int64(time.Minute), 3)}
	var seconds float64
	var pid int
	var deflate bool
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.IntVar(&l.conns, "conns", 1, "connections")
	f.IntVar(&l.depth, "depth", 1, "messages on their way on each")
	f.IntVar(&l.size, "bytes", 20, "of a message")
	f.BoolVar(&l.json, "text", false, "JSON in text; binary otherwise")
	f.BoolVar(&deflate, "deflate", false, "offer compression")
	f.Float64Var(&seconds, "seconds", 1, "how long; a fifth is to warm up")
	f.IntVar(&pid, "pid", 0, "the server's process")
	if err := f.Parse(args); err != nil {
		return err
	}
	l.fill()
	client, err := engine.NewClient(engine.ClientConfig{Loops: 1, MaxConns: l.conns, Logger: slog.New(slog.DiscardHandler), ShutdownTimeout: time.Second})
	if err != nil {
		return err
	}
	defer client.Close()
	conns, err := openMany(client, f.Arg(0), l.conns, deflate, l)
	if err != nil {
		return err
	}
	return l.run(conns, seconds, pid, out)
}

// openMany opens connections to a server whose certificate nobody has signed, some at
// once.
func openMany(client *engine.Client, url string, n int, deflate bool, h engine.Handler) (conns []*engine.Conn, err error) {
	o := engine.DialOptions{
		TLS:      &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // it is of this run
		Endpoint: engine.Endpoint{Handler: h, PingInterval: -1, MaxMessage: 8 << 20, MaxQueue: 64 << 20},
	}
	if deflate {
		o.Compression = &engine.Compression{PeerBits: 15}
	}
	d, err := client.Dialer(url, o)
	if err != nil {
		return nil, err
	}
	type dialed struct {
		conn *engine.Conn
		err  error
	}
	const atOnce = 32
	results, turns := make(chan dialed, n), make(chan struct{}, n)
	for range n {
		turns <- struct{}{}
	}
	close(turns)
	for range atOnce {
		go func() {
			for range turns {
				c, err := d.Dial(context.Background())
				results <- dialed{c, err}
			}
		}()
	}
	for range n {
		r := <-results
		conns, err = append(conns, r.conn), errors.Join(err, r.err)
	}
	return conns, err
}

func (l *load) run(conns []*engine.Conn, seconds float64, pid int, out io.Writer) error {
	begin := clock.Now()
	l.from, l.until = begin+int64(seconds*0.2e9), begin+int64(seconds*1e9)
	for _, c := range conns {
		c.Loop().NewWork(func() bool { l.begin(c); return false }).Ask()
	}
	own, server := make([]time.Duration, 2), make([]time.Duration, 2)
	for i, at := range []int64{l.from, l.until} {
		time.Sleep(time.Duration(at - clock.Now()))
		own[i], _ = clock.CPU(0)
		server[i], _ = clock.CPU(pid)
	}
	figures := make(chan struct{})
	conns[0].Loop().NewWork(func() bool { close(figures); return false }).Ask() // nothing is counted any more
	<-figures
	switch {
	case l.wrong.Load():
		return errors.New("what came back was not sent")
	case l.lost.Load():
		return errors.New("the server has ended a connection")
	case l.messages == 0:
		return errors.New("nothing came back")
	}
	n := float64(l.messages)
	return json.NewEncoder(out).Encode(figuresOf{
		Messages: l.messages, Seconds: float64(l.until-l.from) / 1e9, Cores: float64(own[1]-own[0]) / float64(l.until-l.from),
		ServerCPU: float64(server[1]-server[0]) / n, P50: float64(l.latency.ValueAtQuantile(50)),
		P99: float64(l.latency.ValueAtQuantile(99)), P999: float64(l.latency.ValueAtQuantile(99.9)),
	})
}

// begin sends the first messages of a connection. Loop-only.
func (l *load) begin(c *engine.Conn) {
	lc := &loadConn{sentAt: make([]int64, l.depth)}
	c.SetUser(lc)
	for range l.depth {
		l.send(c, lc, clock.Now())
	}
}

func (l *load) send(c *engine.Conn, lc *loadConn, now int64) {
	l.scratch = l.message(l.scratch, lc.next)
	lc.sentAt[lc.next%l.depth] = now
	lc.next++
	if c.Reply(l.op(), l.scratch) != nil {
		l.lost.Store(true)
	}
}

func (l *load) op() engine.Op {
	if l.json {
		return engine.Text
	}
	return engine.Binary
}

// OnOpen implements engine.Handler.
func (l *load) OnOpen(*engine.Conn) {}

// OnMessage implements engine.Handler.
func (l *load) OnMessage(c *engine.Conn, op engine.Op, p []byte) {
	lc, now := c.User().(*loadConn), clock.Now()
	l.expected = l.message(l.expected, lc.back)
	if op != l.op() || !bytes.Equal(p, l.expected) {
		l.wrong.Store(true)
	}
	if now >= l.from && now < l.until {
		l.messages++
		_ = l.latency.RecordValue(now - lc.sentAt[lc.back%l.depth])
	}
	lc.back++
	if now < l.until {
		l.send(c, lc, now)
	}
}

// OnClose implements engine.Handler.
func (l *load) OnClose(_ *engine.Conn, info engine.CloseInfo) {
	if !errors.Is(info.Err, engine.ErrShutdown) {
		l.lost.Store(true)
	}
}

// fill makes what stands behind the number of every message: dots, or prices in JSON.
func (l *load) fill() {
	if !l.json {
		l.filling = bytes.Repeat([]byte("."), l.size)
		return
	}
	p := []byte(`,"type":"ticks","prices":[`)
	for i := 0; len(p) < l.size; i++ {
		p = fmt.Appendf(p, `{"symbol":"SYM%d","price":%d.%02d,"volume":%d},`, i, 50+i*37%400, i*71%100, 100+i*7919%9000)
	}
	l.filling = p
}

// message makes message n of a connection.
func (l *load) message(dst []byte, n int) []byte {
	dst = append(dst[:0], `{"n":`...)
	dst = strconv.AppendInt(dst, 10_000_000+int64(n), 10)
	dst = append(dst, l.filling[:l.size-len(dst)-2]...)
	return append(dst, "]}"...)
}
