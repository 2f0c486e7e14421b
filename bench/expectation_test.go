package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

// What a server answers wrongly to 1 in 100 messages is found in that number, whatever
// the expectation.
func TestExpectationsThatFail(t *testing.T) {
	t.Parallel()
	pong := func(c *engine.Conn, op engine.Op, p []byte, bad bool) {
		answer := "pong " + string(p)
		if bad {
			answer = "sorry " + string(p)
		}
		_ = c.Reply(op, []byte(answer))
	}
	spoiled := func(c *engine.Conn, op engine.Op, p []byte, bad bool) {
		if bad {
			p[len(p)-1] ^= 1
		}
		echoes(c, op, p)
	}
	for _, c := range []struct {
		name, kind string
		answer     func(c *engine.Conn, op engine.Op, p []byte, bad bool)
		of         func(*Counts) uint64
	}{
		{"contains", "send: 'ping {n}', expect: {contains: pong}", pong, func(c *Counts) uint64 { return c.Corrupt }},
		{"contains, by stamp", "send: '{\"id\":\"{stamp}\"}', expect: {contains: pong}", pong, func(c *Counts) uint64 { return c.Corrupt }},
		{"matches", "send: 'ping {n}', expect: {matches: '^pong ping [0-9]+$'}", pong, func(c *Counts) uint64 { return c.Corrupt }},
		{"echo in order", "send: 'hello {time} {n}x', expect: echo", spoiled, func(c *Counts) uint64 { return c.Corrupt }},
		{"echo by stamp", "send: '{stamp} hello {time}', expect: echo", spoiled, func(c *Counts) uint64 { return c.Corrupt }},
		{"echo of bytes", "send: {size: 20-300}, expect: echo", spoiled, func(c *Counts) uint64 { return c.Corrupt }},
		{"echo of text", "send: {size: 30-300, as: text}, expect: echo", spoiled, func(c *Counts) uint64 { return c.Corrupt }},
		{"lost", "send: '{stamp}', expect: echo, within: 2s", func(c *engine.Conn, op engine.Op, p []byte, bad bool) {
			if !bad {
				echoes(c, op, p)
			}
		}, func(c *Counts) uint64 { return c.Lost }},
		{"doubled", "send: '{stamp}', expect: echo", func(c *engine.Conn, op engine.Op, p []byte, bad bool) {
			echoes(c, op, p)
			if bad {
				echoes(c, op, p)
			}
		}, func(c *Counts) uint64 { return c.Duplicated }},
		{"late", "send: '{stamp}', expect: echo, within: 2s", func(c *engine.Conn, op engine.Op, p []byte, bad bool) {
			if !bad {
				echoes(c, op, p)
				return
			}
			kept := bytes.Clone(p)
			time.AfterFunc(2100*time.Millisecond, func() { _ = c.Send(op, kept) })
		}, func(c *Counts) uint64 { return c.Lost }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var n, wrong atomic.Uint64
			url := serve(t, onMessage(func(conn *engine.Conn, op engine.Op, p []byte) {
				bad := n.Add(1)%100 == 0
				if bad {
					wrong.Add(1)
				}
				c.answer(conn, op, p, bad)
			}))
			r := perform(t, url, fmt.Sprintf("messages:\n  - {name: it, %s}\nphases:\n  - {name: one, for: 250ms, connections: 7, rate: 4000, fail if: [errors>0]}\n", c.kind))
			got := c.of(&r.Counts)
			if want := wrong.Load(); want != 10 || got != want || r.Counts.Errors() != want+r.Counts.Reordered {
				t.Errorf("%d were answered wrongly, %d were found: %+v, ended %v", want, got, r.Counts, r.Ended)
			}
			if c.name != "late" && r.Counts.Reordered != 0 {
				t.Errorf("%d are reordered", r.Counts.Reordered)
			}
			if len(r.Failed) != 1 || !strings.HasPrefix(r.Failed[0], "phase one: errors>0: it is 1") && c.name != "late" {
				t.Errorf("conditions that hold: %q", r.Failed)
			}
			k := r.Kinds[0].Counts
			if k.Duplicated = r.Counts.Duplicated; k != r.Counts || r.Phases[0].Counts != r.Counts {
				t.Errorf("the whole is %+v, the kind %+v, the phase %+v", r.Counts, k, r.Phases[0].Counts)
			}
		})
	}
}

// Kinds that are answered in different ways don't take each other's answers, nor what
// was not asked for.
func TestExpectationsSideBySide(t *testing.T) {
	t.Parallel()
	var told, unasked atomic.Uint64
	url := serve(t, onMessage(func(c *engine.Conn, op engine.Op, p []byte) {
		switch s := string(p); {
		case strings.HasPrefix(s, "tell"): // an answer that nobody wants
			unasked.Add(1)
			_ = c.Reply(op, []byte("told by "+s))
		case strings.HasPrefix(s, "quiet"):
			told.Add(1)
		case strings.HasPrefix(s, "ask"):
			_ = c.Reply(op, []byte("answer "+s[4:]))
		default:
			q := bytes.Clone(p) // behind others
			time.AfterFunc(time.Millisecond, func() { _ = c.Send(op, q) })
		}
	}))
	r := perform(t, url, `
messages:
  - {name: quiet, send: 'quiet', expect: nothing}
  - {name: tell,  send: 'tell {stamp}', expect: nothing}
  - {name: ask,   send: 'ask {n}', expect: {matches: '^answer [0-9]+$'}, weight: 2}
  - {name: echo,  send: '{"stamp":"{stamp}"}', expect: echo, weight: 2}
  - {name: bytes, send: {size: 8-100}, expect: echo, weight: 2}
phases:
  - {name: one, for: 500ms, connections: 5, rate: 2000}
`)
	noErrors(t, r)
	sent := func(i int) uint64 { return r.Kinds[i].Counts.Sent }
	if r.Unasked != unasked.Load() || sent(0) != told.Load() || sent(1) != r.Unasked || r.Counts.Sent != 1000 {
		t.Errorf("%d were told, %d unasked; %d came unasked: %+v", told.Load(), unasked.Load(), r.Unasked, r.Counts)
	}
	for i := range r.Kinds {
		k := &r.Kinds[i]
		if i >= 2 && (k.Counts.Received != k.Counts.Sent || k.Latency.TotalCount() != int64(k.Counts.Sent)) {
			t.Errorf("%s: %+v", k.Name, k.Counts)
		}
		if want := []float64{125, 125, 250, 250, 250}[i]; !near(k.Counts.Sent, want, 0.4) {
			t.Errorf("%s: %d were sent, of its weight are %v", k.Name, k.Counts.Sent, want)
		}
	}
}

// What one connection says to all others is no answer to theirs.
func TestStampsOfOthers(t *testing.T) {
	s := newStamps(rand.New(rand.NewPCG(1, 1)))
	own, other := string(s.appendText(nil, 3, 9)), string(s.appendText(nil, 4, 1))
	for text, want := range map[string]whoseStamp{
		"": noStamp, "hello": noStamp, own: ownStamp, `{"a":"` + own + `"}`: ownStamp,
		other: foreignStamp, other + own: ownStamp, own[:10]: noStamp, own[:10] + own: ownStamp, other + "w": foreignStamp,
	} {
		if seq, whose := s.find([]byte(text), 3); whose != want || whose == ownStamp && seq != 9 {
			t.Errorf("%q: %v, number %d", text, whose, seq)
		}
	}
}
