package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/headrace/headrace/engine"
	"github.com/headrace/headrace/pubsub"
)

// message is what the server sends on the feed, whatever its type.
type message struct {
	Type    string          `json:"type"`
	ID      json.RawMessage `json:"id"`
	Topic   string          `json:"topic"`
	Mode    string          `json:"mode"`
	Key     string          `json:"key"`
	Epoch   uint64          `json:"epoch"`
	Seq     uint64          `json:"seq"`
	Count   int             `json:"count"`
	Lost    bool            `json:"lost"`
	Skipped int             `json:"skipped"`
	Deleted bool            `json:"deleted"`
	Data    json.RawMessage `json:"data"`
	Code    string          `json:"code"`
	Reason  string          `json:"reason"`
	Time    int64           `json:"time"`
}

// read gives the next message of the feed.
func (c *client) read() message {
	c.t.Helper()
	op, p := c.next()
	var m message
	if err := json.Unmarshal(p, &m); op != ws.OpText || err != nil {
		c.t.Fatalf("opcode %d, %.200q: %v", op, p, err)
	}
	return m
}

// catchUp reads up to the message that says that a subscription is through, and gives
// what came before.
func (c *client) catchUp(pattern string) (before []message) {
	c.t.Helper()
	for {
		m := c.read()
		if m.Type == "live" && m.Topic == pattern {
			return before
		}
		before = append(before, m)
	}
}

// subscribe subscribes to a pattern that no topic matches yet.
func (c *client) subscribe(pattern string) {
	c.t.Helper()
	c.say(`{"type":"subscribe","topic":"` + pattern + `"}`)
	c.hear(`{"type":"subscribed","topic":"` + pattern + `","mode":"queue"}`)
	c.hearEmpty(pattern)
}

// hearEmpty takes what follows on a subscription that no topic matches: one to a
// single topic learns that it is empty.
func (c *client) hearEmpty(pattern string) {
	c.t.Helper()
	if !strings.ContainsAny(pattern, "*>") {
		c.hear(`{"type":"snapshot","topic":"` + pattern + `","epoch":0,"seq":0,"count":0}`)
		c.hear(`{"type":"snapshot-end","topic":"` + pattern + `","epoch":0,"seq":0}`)
	}
	c.hear(`{"type":"live","topic":"` + pattern + `"}`)
}

// startFeed runs a server without heartbeats, where clients may publish to room.>, and
// gives its hub.
func startFeed(t *testing.T, change func(*options)) (addr string, hub *pubsub.Hub) {
	t.Helper()
	opts := defaults()
	opts.addrs, opts.config.Loops = []string{"127.0.0.1:0"}, 2
	opts.feed.heartbeat, opts.feed.publish = 0, []string{"room.>"}
	if change != nil {
		change(&opts)
	}
	srv := makeServer(t, &opts, engine.Observer{})
	return runServer(t, srv.Server), srv.topics.feed.hub
}

func publish(t *testing.T, hub *pubsub.Hub, topic, key, data string) pubsub.Position {
	t.Helper()
	at, err := hub.Publish(topic, key, []byte(data))
	if err != nil {
		t.Fatalf("publish to %s: %v", topic, err)
	}
	return at
}

func TestFeedSubscribe(t *testing.T) {
	addr, hub := startFeed(t, nil)
	at := publish(t, hub, "ticks.acme", "bid", `1`)
	publish(t, hub, "ticks.acme", "ask", `3`)
	publish(t, hub, "ticks.acme", "bid", `2`)
	c := dial(t, addr, "/feed")
	c.say(`{"type":"subscribe","id":7,"topic":"ticks.*"}`)
	c.hear(`{"type":"subscribed","id":7,"topic":"ticks.*","mode":"queue"}`)
	c.hear(fmt.Sprintf(`{"type":"snapshot","topic":"ticks.acme","epoch":%d,"seq":3,"count":2}`, at.Epoch))
	values := map[string]message{}
	for range 2 {
		m := c.read()
		values[m.Key] = m
	}
	if ask, bid := values["ask"], values["bid"]; string(ask.Data) != "3" || ask.Seq != 2 || string(bid.Data) != "2" || bid.Seq != 3 {
		t.Errorf("the snapshot holds %+v", values)
	}
	c.hear(fmt.Sprintf(`{"type":"snapshot-end","topic":"ticks.acme","epoch":%d,"seq":3}`, at.Epoch))
	c.hear(`{"type":"live","topic":"ticks.*"}`)
	publish(t, hub, "ticks.acme", "bid", `{"price":4}`)
	c.hear(`{"type":"update","topic":"ticks.acme","key":"bid","seq":4,"data":{"price":4}}`)
	if _, err := hub.Delete("ticks.acme", "bid"); err != nil {
		t.Fatal(err)
	}
	c.hear(`{"type":"update","topic":"ticks.acme","key":"bid","seq":5,"deleted":true}`)
	first := publish(t, hub, "ticks.other", "", `[]`)
	c.hear(fmt.Sprintf(`{"type":"update","topic":"ticks.other","epoch":%d,"seq":1,"data":[]}`, first.Epoch))

	c.say(`{"type":"unsubscribe","id":"u","topic":"ticks.*"}`)
	c.hear(`{"type":"unsubscribed","id":"u","topic":"ticks.*"}`)
	publish(t, hub, "ticks.acme", "", `5`)
	c.say(`{"type":"ping","id":[1, 2]}`)
	c.hear(`{"type":"pong","id":[1,2]}`)
}

func TestFeedWithoutSnapshot(t *testing.T) {
	addr, hub := startFeed(t, nil)
	at := publish(t, hub, "a", "", `1`)
	c := dial(t, addr, "/feed")
	c.say(`{"type":"subscribe","topic":"a","snapshot":false}`)
	c.hear(`{"type":"subscribed","topic":"a","mode":"queue"}`)
	c.hear(fmt.Sprintf(`{"type":"recovered","topic":"a","epoch":%d,"seq":1,"count":0}`, at.Epoch))
	c.hear(`{"type":"live","topic":"a"}`)
	publish(t, hub, "a", "", `2`)
	c.hear(`{"type":"update","topic":"a","seq":2,"data":2}`)
	_ = c.conn.Close()

	publish(t, hub, "a", "", `3`)
	c = dial(t, addr, "/feed") // comes back with what it has heard
	c.say(fmt.Sprintf(`{"type":"subscribe","topic":"a","snapshot":false,"since":{"a":{"epoch":%d,"seq":2}}}`, at.Epoch))
	c.hear(`{"type":"subscribed","topic":"a","mode":"queue"}`)
	c.hear(fmt.Sprintf(`{"type":"recovered","topic":"a","epoch":%d,"seq":3,"count":1}`, at.Epoch))
	c.hear(`{"type":"update","topic":"a","seq":3,"data":3}`)
	c.hear(`{"type":"live","topic":"a"}`)
}

// When an unsubscribe is answered, nothing more comes of the subscription.
func TestFeedUnsubscribeIsFinal(t *testing.T) {
	addr, _ := startFeed(t, func(o *options) { o.feed.demo = demo{symbols: 50, rate: 20_000} })
	for range 20 {
		c := dial(t, addr, "/feed")
		c.say(`{"type":"subscribe","topic":"ticks.>"}`)
		c.catchUp("ticks.>")
		c.say(`{"type":"unsubscribe","topic":"ticks.>"}`)
		for c.read().Type != "unsubscribed" {
		}
		c.say(`{"type":"ping"}`)
		c.hear(`{"type":"pong"}`)
		_ = c.conn.Close()
	}
}

func TestFeedSubprotocol(t *testing.T) {
	addr, _ := startFeed(t, nil)
	for offer, want := range map[string]string{feedProtocol: feedProtocol, "": "", "mqtt": ""} {
		d := ws.Dialer{Timeout: patience}
		if offer != "" {
			d.Protocols = []string{offer}
		}
		conn, _, answer, err := d.Dial(t.Context(), "ws://"+addr+"/feed")
		if err != nil || answer.Protocol != want {
			t.Fatalf("%q gives %q, %v; want %q", offer, answer.Protocol, err, want)
		}
		defer conn.Close()
		c := overConn(t, conn)
		c.say(`{"type":"ping"}`)
		c.hear(`{"type":"pong"}`)
	}
}

// Every error names the code and the topic, brings back the id, and leaves the connection open.
func TestFeedErrors(t *testing.T) {
	addr, hub := startFeed(t, func(o *options) {
		o.feed.maxSubscriptions, o.feed.maxTopics = 2, 3
		o.endpoint.MaxMessage = 64 << 10
	})
	publish(t, hub, "room.full", "k0", `0`)
	for i := 1; i < 1024; i++ {
		publish(t, hub, "room.full", fmt.Sprint("k", i), `0`)
	}
	publish(t, hub, "ticks.a", "", `1`)
	c := dial(t, addr, "/feed")
	c.subscribe("none.a")
	c.subscribe("none.*")
	for _, tt := range []struct{ ask, code, reason string }{
		{`nonsense`, "bad-message", "it is no JSON object"},
		{`[]`, "bad-message", "it is no JSON object"},
		{`null`, "bad-message", "it is no JSON object"},
		{`{"type":"ping","id":1} {}`, "bad-message", "it is no JSON object"},
		{`{"id":1}`, "bad-message", "type is missing"},
		{`{"id":1,"type":null}`, "bad-message", "type must be a string"},
		{`{"id":1,"type":"dance"}`, "bad-message", "its type is unknown"},
		{`{"id":1,"Type":"ping"}`, "bad-message", "type is missing"},
		{`{"id":1,"type":"subscribe"}`, "bad-message", "topic is missing"},
		{`{"id":1,"type":"subscribe","topic":5}`, "bad-message", "topic must be a string"},
		{`{"id":1,"type":"subscribe","topic":"a..b"}`, "bad-topic", `token 2, "", is empty`},
		{`{"id":1,"type":"subscribe","topic":"a\u200bb"}`, "bad-topic", `token 1, "a\u200bb", has a format character`},
		{`{"id":1,"type":"unsubscribe","topic":"a..b"}`, "bad-topic", `token 2, "", is empty`},
		{`{"id":1,"type":"subscribe","topic":"` + strings.Repeat("a", 256) + `"}`, "bad-topic", "256 bytes, at most 255"},
		{`{"id":1,"type":"subscribe","topic":">.a"}`, "bad-topic", `token 1, ">", is not the last one`},
		{`{"id":1,"type":"subscribe","topic":"none.c"}`, "too-many", "the connection has as many subscriptions as it may"},
		{`{"id":1,"type":"unsubscribe","topic":"none.c"}`, "not-subscribed", "there is no such subscription"},
		{`{"id":1,"type":"publish","topic":"ticks.a","data":1}`, "forbidden", "clients may not publish to this topic"},
		{`{"id":1,"type":"publish","topic":"room.*","data":1}`, "bad-topic", `token 2, "*", has a wildcard`},
		{`{"id":1,"type":"publish","topic":"room.new","data":1}`, "", ""},
		{`{"id":1,"type":"publish","topic":"room.newer","data":1}`, "too-many", "there are as many topics as there may be"},
		{`{"id":1,"type":"publish","topic":"room.full","key":"one more","data":1}`, "too-many", "the topic has as many keys as it may"},
		{`{"id":1,"type":"publish","topic":"room.new","key":"` + strings.Repeat("k", 256) + `","data":1}`, "too-long", "the key is longer than 255 bytes"},
	} {
		c.say(tt.ask)
		m := c.read()
		id := ""
		if strings.HasPrefix(tt.ask, `{"id"`) {
			id = "1"
		}
		kind := "error"
		if tt.code == "" {
			kind = "published"
		}
		var asked struct{ Topic any }
		_ = json.Unmarshal([]byte(tt.ask), &asked)
		topic, _ := asked.Topic.(string)
		if len(topic) > maxTopic {
			topic = ""
		}
		if m.Type != kind || m.Code != tt.code || m.Reason != tt.reason || string(m.ID) != id || m.Topic != topic {
			t.Errorf("%.100s gives %+v; want %q, %q", tt.ask, m, tt.code, tt.reason)
		}
	}
	c.send(ws.OpBinary, []byte(`{"type":"ping"}`))
	c.hear(`{"type":"error","code":"bad-message","reason":"a message is JSON in a text message"}`)
	c.say(`{"type":"ping","id":2}`)
	c.hear(`{"type":"pong","id":2}`)
}

// The hub's errors all have a code of the protocol, and a status.
func TestFeedRefusals(t *testing.T) {
	for err, want := range map[error]struct {
		code   string
		status int
	}{
		pubsub.ErrBusy:      {"busy", 503},
		pubsub.ErrHubClosed: {"busy", 503},
		fmt.Errorf("it is: %w", pubsub.ErrTooLong): {"too-long", 413},
		pubsub.ErrTooManyKeys:                      {"too-many", 429},
		pubsub.ErrTooManyTopics:                    {"too-many", 429},
		pubsub.ErrBadTopic:                         {"bad-topic", 400},
		io.ErrClosedPipe:                           {"busy", 503},
		errForbidden:                               {"forbidden", 403},
		pubsub.ErrBadOptions:                       {"bad-message", 400},
		pubsub.ErrBadKey:                           {"bad-message", 400},
		pubsub.ErrBadPayload:                       {"bad-message", 400},
	} {
		if got := refusalOf(err); got.code != want.code || statuses[got.code] != want.status {
			t.Errorf("%v is %v, %d; want %v", err, got, statuses[got.code], want)
		}
	}
}

func TestFeedPublish(t *testing.T) {
	addr, _ := startFeed(t, nil)
	a, b := dial(t, addr, "/feed"), dial(t, addr, "/feed")
	b.subscribe("room.>")
	a.say(`{"type":"publish","id":1,"topic":"room.blue","key":"k\n\"ü","data": { "a" : [1, 2.0e1, "x\u0041 y"] } }`)
	m := a.read()
	a1 := fmt.Sprintf(`{"type":"published","id":1,"topic":"room.blue","epoch":%d,"seq":1}`, m.Epoch)
	if got, _ := json.Marshal(m.ID); m.Type != "published" || m.Epoch == 0 || m.Seq != 1 || string(got) != "1" {
		t.Errorf("got %+v; want %s", m, a1)
	}
	b.hear(fmt.Sprintf(`{"type":"update","topic":"room.blue","key":"k\n\"ü","epoch":%d,"seq":1,"data":{"a":[1,2.0e1,"x\u0041 y"]}}`, m.Epoch))
	a.say(`{"type":"publish","topic":"room.blue","data":null}`)
	a.hear(fmt.Sprintf(`{"type":"published","topic":"room.blue","epoch":%d,"seq":2}`, m.Epoch))
	b.hear(`{"type":"update","topic":"room.blue","seq":2,"data":null}`)
}

// A client that comes back gets what it has missed, or is told that this is gone.
func TestFeedSince(t *testing.T) {
	addr, hub := startFeed(t, func(o *options) { o.feed.history = 4 })
	var at pubsub.Position
	for i := range 10 {
		at = publish(t, hub, "a", "", fmt.Sprint(i+1))
	}
	back := func(epoch, seq uint64) []message {
		t.Helper()
		c := dial(t, addr, "/feed")
		c.say(fmt.Sprintf(`{"type":"subscribe","topic":"a","since":{"a":{"epoch":%d,"seq":%d},"gone":{"epoch":1,"seq":2}}}`, epoch, seq))
		c.hear(`{"type":"subscribed","topic":"a","mode":"queue"}`)
		return c.catchUp("a")
	}
	for _, seq := range []uint64{6, 8, 10} {
		got := back(at.Epoch, seq)
		if m := got[0]; m.Type != "recovered" || m.Topic != "a" || m.Epoch != at.Epoch || m.Seq != 10 || m.Count != int(10-seq) || len(got) != 1+m.Count {
			t.Fatalf("back at %d: %+v", seq, got)
		}
		for i, m := range got[1:] {
			if want := seq + uint64(i) + 1; m.Type != "update" || m.Seq != want || string(m.Data) != fmt.Sprint(want) {
				t.Errorf("back at %d: message %d is %+v", seq, i, m)
			}
		}
	}
	for _, lost := range []pubsub.Position{{Epoch: at.Epoch, Seq: 2}, {Epoch: at.Epoch + 1, Seq: 10}, {Epoch: at.Epoch, Seq: 11}} {
		got := back(lost.Epoch, lost.Seq)
		if len(got) != 3 || got[0].Type != "snapshot" || !got[0].Lost || got[0].Count != 1 || string(got[1].Data) != "10" || got[2].Type != "snapshot-end" {
			t.Errorf("back at %+v: %+v", lost, got)
		}
	}
}

// With latest, a client gets the newest of each key at its own rate, and is told how
// many older ones that replaces.
func TestFeedLatest(t *testing.T) {
	const last = 500
	addr, hub := startFeed(t, nil)
	c := dial(t, addr, "/feed")
	c.say(`{"type":"subscribe","topic":"a","mode":"latest","maxRate":20}`)
	c.hear(`{"type":"subscribed","topic":"a","mode":"latest"}`)
	c.hearEmpty("a")
	for i := range last {
		publish(t, hub, "a", "", fmt.Sprint(i+1))
	}
	seen, skipped := 0, 0
	for {
		m := c.read()
		seen++
		skipped += m.Skipped
		if m.Type != "update" || string(m.Data) != fmt.Sprint(m.Seq) || seen+skipped != int(m.Seq) {
			t.Fatalf("%+v comes as number %d, with %d skipped", m, seen, skipped)
		}
		if m.Seq == last {
			break
		}
	}
	if skipped == 0 {
		t.Errorf("%d messages came", seen)
	}
}

func TestFeedDeadline(t *testing.T) {
	addr, hub := startFeed(t, nil)
	c := dial(t, addr, "/feed")
	c.say(`{"type":"subscribe","topic":"a","mode":"deadline","maxAge":60000}`)
	c.hear(`{"type":"subscribed","topic":"a","mode":"deadline"}`)
	c.hearEmpty("a")
	at := publish(t, hub, "a", "", `1`)
	c.hear(fmt.Sprintf(`{"type":"update","topic":"a","epoch":%d,"seq":1,"data":1}`, at.Epoch))
}

func TestFeedPlainRequest(t *testing.T) {
	addr, _ := startFeed(t, nil)
	if res, body := get(t, addr, "GET", "/feed"); res.StatusCode != 426 || !strings.Contains(body, "/feed speaks WebSocket") {
		t.Errorf("%d, %q", res.StatusCode, body)
	}
}

func TestFeedHeartbeat(t *testing.T) {
	addr, _ := startFeed(t, func(o *options) { o.feed.heartbeat = 100 * time.Millisecond })
	var all []*client
	for range 3 {
		all = append(all, dial(t, addr, "/feed"))
	}
	for range 2 {
		for _, c := range all {
			m := c.read()
			if late := time.Since(time.UnixMilli(m.Time)); m.Type != "heartbeat" || late < 0 || late > patience {
				t.Errorf("got %+v, %v after its time", m, late)
			}
		}
	}
}

// Connections that have ended get no heartbeats, and are not kept.
func TestFeedBeatsForget(t *testing.T) {
	opts := defaults()
	opts.addrs, opts.feed.heartbeat = []string{"127.0.0.1:0"}, time.Hour // none of them comes
	srv := makeServer(t, &opts, engine.Observer{})
	addr, topics := runServer(t, srv.Server), srv.topics
	count := func() (n int) {
		for i := range topics.feed.beats.slots {
			n += len(topics.feed.beats.slots[i].appendConns(nil))
		}
		return n
	}
	var all []*client
	for range 5 {
		c := dial(t, addr, "/feed")
		c.say(`{"type":"ping"}`)
		c.hear(`{"type":"pong"}`)
		all = append(all, c)
	}
	if n := count(); n != len(all) {
		t.Errorf("%d connections get heartbeats, want %d", n, len(all))
	}
	for _, c := range all {
		c.send(ws.OpClose, nil)
		c.want(ws.OpClose, nil)
		_ = c.conn.Close()
	}
	for deadline := time.Now().Add(patience); count() > 0 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
	}
	if n := count(); n != 0 {
		t.Errorf("%d connections get heartbeats after the end", n)
	}
}

// A subscriber that reads nothing is closed with 1013, and /debug/slow shows one that
// is behind before that.
func TestFeedSlow(t *testing.T) {
	opts := defaults()
	opts.addrs, opts.feed.heartbeat = []string{"127.0.0.1:0"}, 0
	opts.endpoint.MaxQueue = 8 << 20
	srv := makeServer(t, &opts, engine.Observer{})
	hub, addr := srv.topics.feed.hub, runServer(t, srv.Server)
	mux := http.NewServeMux()
	srv.topics.serveSlow(mux)
	internal := httpServer(t, mux)
	slow, quick := dial(t, addr, "/feed"), dial(t, addr, "/feed")
	if err := slow.conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{slow, quick} {
		c.subscribe("big")
	}
	data := `"` + strings.Repeat("x", 64<<10) + `"`
	shown := func() []lag {
		res, body := get(t, internal, "GET", "/debug/slow?n=1")
		var all []lag
		if err := json.Unmarshal([]byte(body), &all); err != nil || res.StatusCode != 200 {
			t.Fatalf("%d, %q: %v", res.StatusCode, body, err)
		}
		return all
	}
	for i := 0; ; i++ {
		publish(t, hub, "big", "", data)
		quick.read()
		if i%10 > 0 {
			continue
		}
		if all := shown(); len(all) == 1 && all[0].Bytes > 1<<20 {
			l := all[0]
			if l.Remote != slow.conn.LocalAddr().String() || l.Client != "127.0.0.1" || l.Path != "/feed" || l.Pattern != "big" || l.Mode != "queue" {
				t.Errorf("the slowest is %+v", l)
			}
			break
		}
		if i > 1000 {
			t.Fatal("nobody is shown as slow")
		}
	}
	for _, n := range []string{"0", "-1", "1001", "x", ""} {
		if res, _ := get(t, internal, "GET", "/debug/slow?n="+n); res.StatusCode != 400 {
			t.Errorf("n=%s: %d, want 400", n, res.StatusCode)
		}
	}
	for range 400 {
		publish(t, hub, "big", "", data)
		quick.read()
	}
	wantEnding(t, srv.Server, engine.Ending{Code: engine.CloseTryAgainLater, Initiator: engine.Local})
}

// httpServer serves a handler until the test ends.
func httpServer(t *testing.T, h http.Handler) (addr string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// wantEnding waits until a connection has ended like this.
func wantEnding(t *testing.T, srv *engine.Server, want engine.Ending) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if srv.Stats().Closes[want] > 0 {
			return
		}
	}
	t.Errorf("no connection has ended with %+v: %v", want, srv.Stats().Closes)
}
