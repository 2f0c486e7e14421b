package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/pubsub"
)

func TestParseRequest(t *testing.T) {
	for text, want := range map[string]request{
		`{"type":"ping"}`:                     {kind: askPing},
		`{"type":"ping","id":null,"topic":5}`: {kind: askPing, id: json.RawMessage(`null`)},
		` { "type" : "p\u0069ng" , "id" : { "a" : [ 1 , "b c" ] } , "x" : [ ] } `: {kind: askPing, id: json.RawMessage(`{"a":[1,"b c"]}`)},
		`{"type":"dance","type":"ping"}`:                                          {kind: askPing},
		`{"type":"ping","id":"` + strings.Repeat("x", 62) + `"}`:                  {kind: askPing, id: json.RawMessage(`"` + strings.Repeat("x", 62) + `"`)},

		`{"type":"subscribe","topic":"a.*"}`: {kind: askSubscribe, topic: "a.*"},
		`{"type":"subscribe","topic":"a","mode":"queue","maxRate":0,"maxAge":0,"snapshot":true,"data":1}`: {kind: askSubscribe, topic: "a"},
		`{"type":"subscribe","topic":"\ud83c\udf0a\\ud800"}`:                                              {kind: askSubscribe, topic: "🌊\\ud800"},
		`{"type":"subscribe","topic":"a","mode":"latest","maxRate":2.5,"snapshot":false}`: {
			kind: askSubscribe, topic: "a", options: pubsub.Options{Mode: pubsub.Latest, MaxRate: 2.5, NoSnapshot: true},
		},
		`{"type":"subscribe","topic":"a","mode":"latest","maxRate":0}`: {kind: askSubscribe, topic: "a", options: pubsub.Options{Mode: pubsub.Latest}},
		`{"type":"subscribe","topic":"a","mode":"deadline","maxAge":1.5e2}`: {
			kind: askSubscribe, topic: "a", options: pubsub.Options{Mode: pubsub.Deadline, MaxAge: 150 * time.Millisecond},
		},
		`{"type":"subscribe","topic":"a","since":{}}`: {kind: askSubscribe, topic: "a", options: pubsub.Options{Since: map[string]pubsub.Position{}}},
		`{"type":"subscribe","topic":"a","since":{"b":{"epoch":9007199254740991,"seq":0,"x":1}}}`: {
			kind: askSubscribe, topic: "a", options: pubsub.Options{Since: map[string]pubsub.Position{"b": {Epoch: 1<<53 - 1}}},
		},

		`{"type":"unsubscribe","topic":"a"}`:         {kind: askUnsubscribe, topic: "a"},
		`{"type":"publish","topic":"a","data":null}`: {kind: askPublish, topic: "a", data: []byte(`null`)},
		`{"type":"publish","topic":"a","key":"ü\u00fc","data": [ "a\u2028\n " , 1.0 ] , "mode": 5}`: {
			kind: askPublish, topic: "a", key: "üü", data: []byte(`["a\u2028\n ",1.0]`),
		},
	} {
		if got, err := parseRequest([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngives %+v, %v\nwant  %+v", text, got, err, want)
		}
	}
}

func TestParseRequestRefuses(t *testing.T) {
	many := make([]string, maxSince+1)
	for i := range many {
		many[i] = fmt.Sprintf(`"t%d":{"epoch":1,"seq":1}`, i)
	}
	since := func(s string) string { return `{"type":"subscribe","topic":"a","since":` + s + `}` }
	if _, err := parseRequest([]byte(since("{" + strings.Join(many[1:], ",") + "}"))); err != nil {
		t.Errorf("%d topics in since: %v", maxSince, err)
	}
	for text, want := range map[string]*feedError{
		``:     {"bad-message", "it is no JSON object"},
		`{}`:   {"bad-message", "type is missing"},
		`"a"`:  {"bad-message", "it is no JSON object"},
		`[{}]`: {"bad-message", "it is no JSON object"},
		`{"type":"ping","id":"` + strings.Repeat("x", 63) + `"}`: {"bad-message", "id is longer than 64 bytes"},
		`{"type":"PING"}`:                                                           {"bad-message", "its type is unknown"},
		`{"type":["ping"]}`:                                                         {"bad-message", "type must be a string"},
		`{"type":"subscribe","topic":null}`:                                         {"bad-message", "topic must be a string"},
		`{"type":"subscribe","topic":"a","mode":null}`:                              {"bad-message", "mode must be queue, latest or deadline"},
		`{"type":"subscribe","topic":"a","mode":"newest"}`:                          {"bad-message", "mode must be queue, latest or deadline"},
		`{"type":"subscribe","topic":"a","mode":""}`:                                {"bad-message", "mode must be queue, latest or deadline"},
		`{"type":"subscribe","topic":"a","mode":1}`:                                 {"bad-message", "mode must be queue, latest or deadline"},
		`{"type":"subscribe","topic":"a","maxRate":"5"}`:                            {"bad-message", "maxRate must be a number of deliveries in a second, 0.001 to 1000, or 0 for no limit"},
		`{"type":"subscribe","topic":"a","mode":"latest","maxRate":-1}`:             {"bad-message", "maxRate must be a number of deliveries in a second, 0.001 to 1000, or 0 for no limit"},
		`{"type":"subscribe","topic":"a","mode":"latest","maxRate":1e-9}`:           {"bad-message", "maxRate must be a number of deliveries in a second, 0.001 to 1000, or 0 for no limit"},
		`{"type":"subscribe","topic":"a","mode":"latest","maxRate":1e999}`:          {"bad-message", "maxRate must be a number of deliveries in a second, 0.001 to 1000, or 0 for no limit"},
		`{"type":"subscribe","topic":"a","mode":"latest","maxRate":1001}`:           {"bad-message", "maxRate must be a number of deliveries in a second, 0.001 to 1000, or 0 for no limit"},
		`{"type":"subscribe","topic":"a","maxAge":null}`:                            {"bad-message", "maxAge must be a number of milliseconds, 0.001 to 86400000, a day"},
		`{"type":"subscribe","topic":"a","mode":"deadline","maxAge":1e9}`:           {"bad-message", "maxAge must be a number of milliseconds, 0.001 to 86400000, a day"},
		`{"type":"subscribe","topic":"a","mode":"deadline","maxAge":1e-300}`:        {"bad-message", "maxAge must be a number of milliseconds, 0.001 to 86400000, a day"},
		`{"type":"subscribe","topic":"a","mode":"deadline"}`:                        {"bad-message", "the mode deadline needs a maxAge above 0"},
		`{"type":"subscribe","topic":"a","mode":"deadline","maxAge":0}`:             {"bad-message", "the mode deadline needs a maxAge above 0"},
		`{"type":"subscribe","topic":"a","maxRate":5}`:                              {"bad-message", "maxRate goes with the mode latest"},
		`{"type":"subscribe","topic":"a","mode":"deadline","maxAge":5,"maxRate":5}`: {"bad-message", "maxRate goes with the mode latest"},
		`{"type":"subscribe","topic":"a","mode":"latest","maxAge":5}`:               {"bad-message", "maxAge goes with the mode deadline"},
		`{"type":"subscribe","topic":"a\ud800b"}`:                                   {"bad-message", "topic has half a character: a surrogate without the other"},
		`{"type":"subscribe","topic":"a\udc00"}`:                                    {"bad-message", "topic has half a character: a surrogate without the other"},
		`{"type":"subscribe","topic":"\ud800\ud800\udc00"}`:                         {"bad-message", "topic has half a character: a surrogate without the other"},
		`{"type":"publish","topic":"a","key":"\uD800","data":1}`:                    {"bad-message", "key has half a character: a surrogate without the other"},
		`{"type":"publish","topic":"a","data":"\ud800"}`:                            {"bad-message", "data has half a character: a surrogate without the other"},
		`{"type":"publish","topic":"a","data":[{"\uDFFF\ud800":"\\u00e4"}]}`:        {"bad-message", "data has half a character: a surrogate without the other"},
		since(`{"a\udfff":{"epoch":1,"seq":1}}`):                                    {"bad-message", `since must be {"topic":{"epoch":…,"seq":…}}`},
		`{"type":"subscribe","topic":"a","snapshot":"no"}`:                          {"bad-message", "snapshot must be true or false"},
		`{"type":"subscribe","topic":"a","snapshot":null}`:                          {"bad-message", "snapshot must be true or false"},
		since(`[]`):                                                          {"bad-message", `since must be {"topic":{"epoch":…,"seq":…}}`},
		since(`null`):                                                        {"bad-message", `since must be {"topic":{"epoch":…,"seq":…}}`},
		since(`{"a":null}`):                                                  {"bad-message", `since must be {"topic":{"epoch":…,"seq":…}}`},
		since(`{"a":{"epoch":1}}`):                                           {"bad-message", `since must be {"topic":{"epoch":…,"seq":…}}`},
		since(`{"a":{"epoch":1,"seq":-1}}`):                                  {"bad-message", `since must be {"topic":{"epoch":…,"seq":…}}`},
		since(`{"a":{"epoch":1,"seq":1.5}}`):                                 {"bad-message", `since must be {"topic":{"epoch":…,"seq":…}}`},
		since(`{"a":{"epoch":"1","seq":1}}`):                                 {"bad-message", `since must be {"topic":{"epoch":…,"seq":…}}`},
		since(`{"a":{"epoch":9007199254740992,"seq":1}}`):                    {"bad-message", `since must be {"topic":{"epoch":…,"seq":…}}`},
		since("{" + strings.Join(many, ",") + "}"):                           {"too-many", "since has more than 1000 topics"},
		`{"type":"unsubscribe"}`:                                             {"bad-message", "topic is missing"},
		`{"type":"publish","data":1}`:                                        {"bad-message", "topic is missing"},
		`{"type":"publish","topic":"a"}`:                                     {"bad-message", "data is missing"},
		`{"type":"publish","topic":"a","key":1,"data":1}`:                    {"bad-message", "key must be a string"},
		`{"type":"publish","topic":"a","key":null,"data":1}`:                 {"bad-message", "key must be a string"},
		`{"type":"publish","topic":"a","data":1,}`:                           {"bad-message", "it is no JSON object"},
		`{"type":"publish","topic":"a","data":` + strings.Repeat("[", 20000): {"bad-message", "it is no JSON object"},
		`{"type":"publish","topic":"a","key":"` + strings.Repeat("ü", 128) + `","data":1}`: {"too-long", "the key is longer than 255 bytes"},
	} {
		_, err := parseRequest([]byte(text))
		var got *feedError
		if !errors.As(err, &got) || *got != *want {
			t.Errorf("%.120s gives %v, want %v", text, err, want)
		}
	}
}

// appendRequest writes a request as a client would.
func appendRequest(r *request) []byte {
	all := map[string]any{"type": r.kind}
	if r.id != nil {
		all["id"] = r.id
	}
	switch r.kind {
	case askSubscribe:
		all["topic"], all["mode"], all["snapshot"] = r.topic, r.options.Mode.String(), !r.options.NoSnapshot
		all["maxRate"] = r.options.MaxRate
		all["maxAge"] = float64(r.options.MaxAge) / float64(time.Millisecond)
		if r.options.Since != nil {
			since := map[string]any{}
			for topic, at := range r.options.Since {
				since[topic] = map[string]uint64{"epoch": at.Epoch, "seq": at.Seq}
			}
			all["since"] = since
		}
	case askUnsubscribe:
		all["topic"] = r.topic
	case askPublish:
		all["topic"], all["key"], all["data"] = r.topic, r.key, json.RawMessage(r.data)
	case askPing:
	}
	return mustJSON(all)
}

// Whatever comes, it is refused with an error that can be told, or read as something
// that is within the limits and reads the same again.
func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{
		`{"type":"subscribe","id":7,"topic":"ticks.*","mode":"latest","maxRate":2.5,"since":{"a":{"epoch":5,"seq":6}},"snapshot":false}`,
		`{"type":"subscribe","topic":"a","mode":"deadline","maxAge":150}`,
		`{"type":"unsubscribe","id":{"a":[null]},"topic":"a"}`,
		` { "type" : "publish" , "topic" : "room.blue" , "key" : "\u00fc\ud800" , "data" : { "a" : [ 1.0 , "\u2028" ] } } `,
		`{"type":"ping","id":""}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if !utf8.Valid(p) {
			return // the engine has closed the connection
		}
		before := bytes.Clone(p)
		r, err := parseRequest(p)
		if !bytes.Equal(p, before) {
			t.Fatal("it was changed")
		}
		if r.id != nil && (!json.Valid(r.id) || len(r.id) > maxID) {
			t.Errorf("id %q", r.id)
		}
		if err != nil {
			var told *feedError
			if !errors.As(err, &told) || !json.Valid(appendError(nil, &r, told)) {
				t.Errorf("error %v", err)
			}
			return
		}
		if !utf8.ValidString(r.topic) || !utf8.ValidString(r.key) || len(r.key) > maxKey || len(r.options.Since) > maxSince ||
			r.options.MaxAge < 0 || !(r.options.MaxRate >= 0) || r.kind == askPublish && !json.Valid(r.data) {
			t.Errorf("it gives %+v", r)
		}
		again, err := parseRequest(appendRequest(&r))
		if err == nil { // fractions of a nanosecond come and go
			r.options.MaxAge, again.options.MaxAge = r.options.MaxAge.Round(time.Microsecond), again.options.MaxAge.Round(time.Microsecond)
		}
		r.data, again.data = sameJSON(t, r.data), sameJSON(t, again.data)
		r.id, again.id = sameJSON(t, r.id), sameJSON(t, again.id)
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Errorf("%s\ngives %+v\nand then %+v, %v", p, r, again, err)
		}
	})
}

// sameJSON writes JSON as encoding/json does when it embeds it.
func sameJSON(t *testing.T, p []byte) []byte {
	t.Helper()
	if p == nil {
		return nil
	}
	return mustJSON(json.RawMessage(p))
}
