package bench

import (
	"strings"
	"testing"
	"time"
)

func TestScenarioExample(t *testing.T) {
	s, err := ParseScenario("example", []byte(ScenarioExample))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	ramp, slow, storm := s.Phases[0], s.Phases[3], s.Phases[5]
	switch {
	case s.URL != "ws://localhost:8080/echo" || s.Seed != 7 || s.Random || s.Backoff != Backoff{100 * time.Millisecond, 5 * time.Second}:
		t.Errorf("the whole: %+v", s)
	case len(s.Messages) != 2 || len(s.Phases) != 7 || len(s.FailIf) != 2:
		t.Errorf("%d messages, %d phases, %d conditions", len(s.Messages), len(s.Phases), len(s.FailIf))
	case s.Messages[0].Weight != 3 || s.Messages[0].Within != 2*time.Second || !s.Messages[0].isStamped():
		t.Errorf("ping: %+v", s.Messages[0])
	case *s.Messages[1].Sizes != Sizes{Min: 4096, Max: 4096} || s.Messages[1].Text:
		t.Errorf("big: %+v", s.Messages[1])
	case ramp.For != 10*time.Second || ramp.Conns != Span{0, 500} || ramp.Rate != Span{0, 2000}:
		t.Errorf("ramp: %+v", ramp)
	case slow.Conns != Span{500, 500} || *slow.Slow != Slow{0.1, 0}:
		t.Errorf("slow readers: %+v", slow)
	case *storm.Reconnect != Reconnect{1, time.Second} || storm.Rate != Span{2000, 2000}:
		t.Errorf("storm: %+v", storm)
	}
	if got := s.Summary(); !strings.Contains(got, "7 phases in 1m15s, up to 500 connections") || !strings.Contains(got, "about 220000") {
		t.Errorf("it says: %s", got)
	}
}

// good is a scenario in which each of the wrong ones changes something.
const good = `url: ws://127.0.0.1:1/
messages:
  - name: a
    send: hello {n}
    expect: echo
  - name: b
    send: {size: 100-200, as: text}
    expect: {contains: x}
    within: 1s
    weight: 0.5
phases:
  - name: one
    for: 1s
    connections: 0..10
    rate: 5
  - name: two
    for: 500ms
    rate: 5..10
    slow readers: {share: 10%, read: 1KiB/s}
    resets: {share: all}
    reconnect: {share: 50%, within: 0s}
    fail if: [p99>1s]
fail if:
  - errors>0
`

func TestScenarioFileMistakes(t *testing.T) {
	if _, err := ParseScenario("good.yaml", []byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, line, says string }{
		{"url: ws://127.0.0.1:1/", "url:", "1", "url: it has no value"},
		{"url: ws://127.0.0.1:1/", "uri: ws://127.0.0.1:1/", "1", `unknown key "uri"; there are url, seed`},
		{"url: ws://127.0.0.1:1/", "url: {i}", "1", "in quotes"},
		{"url: ws://127.0.0.1:1/", "url: http://127.0.0.1:1/", "1", "no ws:// or wss:// URL"},
		{"url: ws://127.0.0.1:1/", "seed: 0", "1", "from 1 to 4294967295"},
		{"url: ws://127.0.0.1:1/", "arrivals: often", "1", "even, or random"},
		{"url: ws://127.0.0.1:1/", "backoff: 5s..1s", "1", "the shorter one"},
		{"url: ws://127.0.0.1:1/", "backoff: long", "1", "100ms..5s"},
		{"  - name: a\n", "  - title: a\n", "3", `unknown key "title"`},
		{"  - name: b", "  - name: a", "6", `"a" is the name of another message`},
		{"send: hello {n}", "send: '{i%0}'", "4", "divided by 0"},
		{"    send: hello {n}\n", "", "3", "send is missing in this message"},
		{"send: hello {n}", "send: {n}", "4", `unknown key "n"; there are size, as`},
		{"size: 100-200", "size: big", "7", "4KiB, or 100-4000"},
		{"size: 100-200", "size: 10", "7", "20 bytes to be known again"},
		{"size: 100-200", "size: 17MiB", "7", "at most 16 MiB"},
		{"as: text", "as: json", "7", "text or binary"},
		{"expect: echo", "expect: pong", "5", "it must be echo"},
		{"expect: {contains: x}", "expect: {matches: '('}", "8", "no regular expression"},
		{"expect: {contains: x}", "expect: {contains: x, matches: y}", "8", "not both"},
		{"within: 1s", "within: 1", "9", "500ms, 10s or 2m"},
		{"within: 1s", "within: 1h", "9", "at most 10m"},
		{"weight: 0.5", "weight: 0", "10", "more than 0"},
		{"connections: 0..10", "connections: some", "14", "0..500"},
		{"connections: 0..10", "connections: 0..2000000", "14", "0 to 1000000"},
		{"    connections: 0..10\n", "", "12", "connections is missing in this phase"},
		{"connections: 0..10", "connections: 0", "15", "no connections in this phase to send on"},
		{"    for: 1s", "    for: 25h", "13", "all phases together"},
		{"    for: 1s", "    for: -1s", "13", "more than 0"},
		{"    rate: 5\n", "    rate: fast\n", "15", "messages a second such as 2000"},
		{"    rate: 5\n", "    rate: -5\n", "15", "messages a second such as 2000"},
		{"    rate: 5\n", "    rate: 5\n    rate: 6\n", "16", "it is in line 15 already"},
		{"    rate: 5\n", "    rate: [5, 6]\n", "15", "one plain value"},
		{"  - name: two", "  - name: one", "16", "name of another phase"},
		{"rate: 5..10", "rate: 5..2000000", "18", "0 to 1000000 messages"},
		{"share: 10%", "share: 10", "19", "such as 10%"},
		{"read: 1KiB/s", "read: 1KiB", "19", "bytes a second"},
		{", read: 1KiB/s", "", "19", "read is missing"},
		{"resets: {share: all}", "resets: 20%", "20", "mapping with the keys share"},
		{"resets: {share: all}", "resets: {share: 101%}", "20", "at most 100%"},
		{"within: 0s", "within: never", "21", "all at once"},
		{"fail if: [p99>1s]", "fail if: p99>1s", "22", "it must be a list"},
		{"[p99>1s]", "[p99>1]", "22", "no time"},
		{"- errors>0", "- errors", "24", "a condition is like"},
		{"- errors>0", "- last-p99>1s", "24", "only a fan-out"},
		{"- errors>0", "- handshakes<5", "24", "only idle and storm"},
		{"[p99>1s]", "[memory>1]", "22", "--pid"},
		{"[p99>1s]", "[handshake-p99>1s]", "22", "whole run"},
		{"within: 0s", "within: 1m", "21", "longer than the phase"},
		{"url: ws://127.0.0.1:1/", "url: 'ws://127.0.0.1:1/{bogus}'", "1", "{bogus} is no place"},
		{"fail if:\n", "fail if\n", "23", "no YAML"},
		{"phases:\n", "phases:\n\t- a\n", "12", "no YAML"},
		{good, "", "1", "there must be one at least"},
		{good, "- a\n", "1", "mapping with the keys url"},
		{good, good + "---\na: b\n", "26", "one document"},
		{good[strings.Index(good, "phases:"):], "", "1", "phases is missing"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Fatalf("%q is not in it", c.old)
		}
		_, err := ParseScenario("s.yaml", []byte(text))
		switch {
		case err == nil:
			t.Errorf("%q is taken", c.new)
		case !strings.HasPrefix(err.Error(), "s.yaml:"+c.line+": ") || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n"):
			t.Errorf("%q: want line %s and %q in: %v", c.new, c.line, c.says, err)
		}
	}
	many := good + strings.Repeat("#", MaxScenarioFile)
	if _, err := ParseScenario("s.yaml", []byte(many)); err == nil {
		t.Error("a file of more than 1 MiB is taken")
	}
}

// What phases do to connections needs some.
func TestScenarioDisturbsNobody(t *testing.T) {
	for _, what := range []string{"slow readers: {share: 10%, read: nothing}", "resets: {share: 10%}", "reconnect: {share: all, within: 1s}"} {
		text := strings.Replace(good, "    rate: 5\n", "    "+what+"\n", 1)
		_, err := ParseScenario("s.yaml", []byte(text))
		if err == nil || !strings.HasPrefix(err.Error(), "s.yaml:15: ") || !strings.Contains(err.Error(), "no connections at the beginning") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzParseScenario(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(ScenarioExample))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseScenario("s.yaml", text)
		if err == nil && s.Summary() == "" || err != nil && !strings.HasPrefix(err.Error(), "s.yaml:") {
			t.Errorf("%q: %v", text, err)
		}
	})
}
