package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/headrace/headrace/pubsub"
)

func TestFeedEncoder(t *testing.T) {
	at := func(seq uint64) pubsub.Position { return pubsub.Position{Epoch: 9007199254740991, Seq: seq} }
	for want, u := range map[string]pubsub.Update{
		`{"type":"update","topic":"a","seq":7,"data":{"x":1}}`:                                                           {Topic: "a", Position: at(7), Payload: []byte(`{"x":1}`)},
		`{"type":"update","topic":"a","key":"k","epoch":9007199254740991,"seq":1,"data":null}`:                           {Topic: "a", Key: "k", Position: at(1), Payload: []byte(`null`)},
		`{"type":"update","topic":"ä","key":"\"\\\n\r\t\u0001/<","epoch":9007199254740991,"seq":2,"skipped":3,"data":1}`: {Topic: "ä", Key: "\"\\\n\r\t\x01/<", Position: at(2), Payload: []byte(`1`), Skipped: 3},
		`{"type":"update","topic":"a","key":"k","epoch":9007199254740991,"seq":3,"skipped":1,"deleted":true}`:            {Topic: "a", Key: "k", Position: at(3), Deleted: true, Skipped: 1},
		`{"type":"update","topic":"a","key":"x\ufffdy\ufffd","seq":4,"data":1}`:                                          {Topic: "a", Key: "x\xffy\xc3", Position: at(4), Payload: []byte(`1`)},
		`{"type":"update","topic":"a","key":"` + "\u2028\U0001F600\ufffd\x7f" + `","seq":5,"data":"é"}`:                  {Topic: "a", Key: "\u2028\U0001F600\ufffd\x7f", Position: at(5), Payload: []byte(`"é"`)},
	} {
		if got := string(feedEncoder{}.AppendUpdate([]byte("x"), &u)); got != "x"+want {
			t.Errorf("%+v is\n%s, want\n%s", u, got, want)
		}
	}
	for want, m := range map[string]pubsub.Mark{
		`{"type":"snapshot","topic":"a","epoch":9007199254740991,"seq":4,"count":2}`:             {Kind: pubsub.SnapshotBegin, Pattern: "*", Topic: "a", Position: at(4), Count: 2},
		`{"type":"snapshot","topic":"a","epoch":9007199254740991,"seq":4,"count":0,"lost":true}`: {Kind: pubsub.SnapshotBegin, Topic: "a", Position: at(4), Lost: true},
		`{"type":"snapshot-end","topic":"a","epoch":9007199254740991,"seq":4}`:                   {Kind: pubsub.SnapshotEnd, Topic: "a", Position: at(4), Count: 2},
		`{"type":"recovered","topic":"a","epoch":9007199254740991,"seq":4,"count":7}`:            {Kind: pubsub.Recovered, Topic: "a", Position: at(4), Count: 7},

		`{"type":"live","topic":"a.>"}`: {Kind: pubsub.Live, Pattern: "a.>"},
		``:                              {Kind: 99, Topic: "a"},
	} {
		if got := string(feedEncoder{}.AppendMark(nil, &m)); got != want {
			t.Errorf("%+v is\n%s, want\n%s", m, got, want)
		}
	}
}

func TestFeedEncoderAllocatesNothing(t *testing.T) {
	u := pubsub.Update{Topic: "ticks.acme", Key: "bid \"ü\"\n", Position: pubsub.Position{Epoch: 1 << 52, Seq: 1}, Payload: []byte(`{"x":1}`), Skipped: 9}
	m := pubsub.Mark{Kind: pubsub.Recovered, Topic: "ticks.acme", Position: u.Position, Count: 5}
	dst := make([]byte, 0, 1<<10)
	if n := testing.AllocsPerRun(100, func() {
		dst = feedEncoder{}.AppendUpdate(dst[:0], &u)
		dst = feedEncoder{}.AppendMark(dst[:0], &m)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever the strings and the data, a message is JSON in UTF-8 with the same values.
func FuzzFeedEncoder(f *testing.F) {
	f.Add("ticks.acme", "bid", uint64(5), uint64(1), `{"a":[1,"x",null]}`, 0, false)
	f.Add("ä.水", "\"\\\x00\x1f\u2028\u2029\x7f", uint64(1)<<53-1, uint64(7), `1`, 3, false)
	f.Add("a", "\xff\xc3", uint64(1), uint64(2), ``, 1, true)
	f.Fuzz(func(t *testing.T, topic, key string, epoch, seq uint64, data string, skipped int, deleted bool) {
		u := pubsub.Update{Topic: topic, Key: key, Position: pubsub.Position{Epoch: epoch, Seq: seq}, Skipped: skipped, Deleted: deleted}
		if !deleted {
			if !json.Valid([]byte(data)) || !utf8.ValidString(data) {
				return
			}
			u.Payload = compact([]byte(data))
		}
		p := feedEncoder{}.AppendUpdate(nil, &u)
		var got message
		if err := json.Unmarshal(p, &got); err != nil || !utf8.Valid(p) {
			t.Fatalf("%q: %v", p, err)
		}
		want := message{Type: "update", Topic: strings.ToValidUTF8(topic, ""), Key: strings.ToValidUTF8(key, ""), Seq: seq, Deleted: deleted, Skipped: max(0, skipped)}
		got.Topic, got.Key = sameText(got.Topic, topic), sameText(got.Key, key)
		if seq == 1 || skipped > 0 {
			want.Epoch = epoch
		}
		if !bytes.Equal(got.Data, u.Payload) {
			t.Errorf("data %q, want %q", got.Data, u.Payload)
		}
		got.Data = nil
		if g, w := string(mustJSON(got)), string(mustJSON(want)); g != w {
			t.Errorf("%s\nis read as %s\nwant %s", p, g, w)
		}
	})
}

// sameText gives want without what is no UTF-8, if got is want with that replaced.
func sameText(got, want string) string {
	if got == string([]rune(want)) {
		return strings.ToValidUTF8(want, "")
	}
	return "differs: " + got
}

func mustJSON(v any) []byte {
	p, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return p
}
