package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/headrace/headrace/pubsub"
)

// ask is what a client asks for.
type ask string

const (
	askSubscribe   ask = "subscribe"
	askUnsubscribe ask = "unsubscribe"
	askPublish     ask = "publish"
	askPing        ask = "ping"
)

const (
	maxID      = 64        // bytes of an id, as JSON
	maxSince   = 1000      // topics in since
	maxKey     = 255       // bytes, as of a topic
	maxExact   = 1<<53 - 1 // the greatest integer up to which JavaScript has all
	leastRate  = 0.001     // deliveries in a second
	mostRate   = 1000
	leastAge   = time.Microsecond // of maxAge
	longestAge = 24 * time.Hour
)

// request is what a client sends on the feed.
type request struct {
	kind    ask
	id      json.RawMessage // as it came, without space; nil for none
	topic   string          // or a pattern; the hub says whether it is one
	key     string
	options pubsub.Options
	data    []byte // JSON without space
}

// parseRequest reads a message of a client. The names of members count as they are
// written, case included, and only those that belong to the type are looked at. An
// error is a *feedError; the request has the id even then, where it can be told.
func parseRequest(p []byte) (request, error) {
	var r request
	var all members
	if err := json.Unmarshal(p, &all); err != nil || all == nil {
		return r, badMessage("it is no JSON object")
	}
	var err error
	if r.id, err = all.id(); err != nil {
		return r, err
	}
	kind, err := all.text("type", true)
	if err != nil {
		return r, err
	}
	switch r.kind = ask(kind); r.kind {
	case askSubscribe:
		err = r.parseSubscribe(all)
	case askUnsubscribe:
		r.topic, err = all.text("topic", true)
	case askPublish:
		err = r.parsePublish(all)
	case askPing:
	default:
		err = badMessage("its type is unknown")
	}
	return r, err
}

func (r *request) parseSubscribe(all members) (err error) {
	if r.topic, err = all.text("topic", true); err != nil {
		return err
	}
	if r.options.Mode, err = all.mode(); err != nil {
		return err
	}
	rate, err := all.number("maxRate")
	if err != nil || rate != 0 && (rate < leastRate || rate > mostRate) {
		return badMessage("maxRate must be a number of deliveries in a second, 0.001 to 1000, or 0 for no limit")
	}
	age, err := all.number("maxAge")
	ms := float64(time.Millisecond)
	if err != nil || age != 0 && (age*ms < float64(leastAge) || age*ms > float64(longestAge)) {
		return badMessage("maxAge must be a number of milliseconds, 0.001 to 86400000, a day")
	}
	r.options.MaxRate, r.options.MaxAge = rate, time.Duration(age*ms)
	switch {
	case rate != 0 && r.options.Mode != pubsub.Latest:
		return badMessage("maxRate goes with the mode latest")
	case age != 0 && r.options.Mode != pubsub.Deadline:
		return badMessage("maxAge goes with the mode deadline")
	case age == 0 && r.options.Mode == pubsub.Deadline:
		return badMessage("the mode deadline needs a maxAge above 0")
	}
	if r.options.Since, err = all.since(); err != nil {
		return err
	}
	snapshot, err := all.flag("snapshot", true)
	r.options.NoSnapshot = !snapshot
	return err
}

func (r *request) parsePublish(all members) (err error) {
	if r.topic, err = all.text("topic", true); err != nil {
		return err
	}
	if r.key, err = all.text("key", false); err != nil {
		return err
	}
	if len(r.key) > maxKey {
		return errLongKey
	}
	if all["data"] == nil {
		return badMessage("data is missing")
	}
	if hasLoneSurrogate(all["data"]) {
		return badMessage("data" + halfCharacter)
	}
	r.data = compact(all["data"])
	return nil
}

var errLongKey = &feedError{"too-long", fmt.Sprintf("the key is longer than %d bytes", maxKey)}

func badMessage(reason string) error { return &feedError{"bad-message", reason} }

// members are those of a JSON object. Of two with one name the last counts.
type members map[string]json.RawMessage

// id gives the id without space, nil for none.
func (m members) id() (json.RawMessage, error) {
	if m["id"] == nil {
		return nil, nil
	}
	id := compact(m["id"])
	if len(id) > maxID {
		return nil, badMessage(fmt.Sprintf("id is longer than %d bytes", maxID))
	}
	return id, nil
}

// text gives a string.
func (m members) text(name string, must bool) (s string, err error) {
	v := m[name]
	switch {
	case v == nil && must:
		return "", badMessage(name + " is missing")
	case v == nil:
		return "", nil
	case v[0] != '"' || json.Unmarshal(v, &s) != nil:
		return "", badMessage(name + " must be a string")
	case hasLoneSurrogate(v):
		return "", badMessage(name + halfCharacter)
	}
	return s, nil
}

const halfCharacter = " has half a character: a surrogate without the other"

// hasLoneSurrogate says whether valid JSON has an escape such as \ud800 that is half of a
// pair. It stands for no character (RFC 8259 §8.2): encoding/json puts U+FFFD there, and
// others refuse the whole message that it is in.
func hasLoneSurrogate(v json.RawMessage) bool {
	if !bytes.Contains(v, []byte(`\u`)) { // as nearly always
		return false
	}
	high := false // the escape before, at the very place before this one
	for i := 0; i < len(v); i++ {
		var u uint64
		if v[i] == '\\' {
			if i++; v[i] == 'u' {
				u, _ = strconv.ParseUint(string(v[i+1:i+5]), 16, 16)
				i += 4
			}
		}
		low := u >= 0xDC00 && u <= 0xDFFF
		if high != low {
			return true
		}
		high = u >= 0xD800 && u < 0xDC00
	}
	return high
}

// flag gives true or false.
func (m members) flag(name string, otherwise bool) (bool, error) {
	switch v := m[name]; string(v) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "":
		return otherwise, nil
	}
	return false, badMessage(name + " must be true or false")
}

// number gives a number, 0 for none.
func (m members) number(name string) (float64, error) {
	v := m[name]
	if v == nil {
		return 0, nil
	}
	n, err := strconv.ParseFloat(string(v), 64) // null, true and strings are no numbers there either
	if err != nil {
		return 0, badMessage(name + " must be a number")
	}
	return n, nil
}

// mode gives the mode by its name, queue for none.
func (m members) mode() (pubsub.Mode, error) {
	if m["mode"] == nil {
		return pubsub.Queue, nil
	}
	name, _ := m.text("mode", true)
	for mode := pubsub.Queue; mode <= pubsub.Deadline; mode++ {
		if mode.String() == name {
			return mode, nil
		}
	}
	return 0, badMessage("mode must be queue, latest or deadline")
}

var errSince = badMessage(`since must be {"topic":{"epoch":…,"seq":…}}`)

// since gives the positions of a client that comes back, nil for none.
func (m members) since() (map[string]pubsub.Position, error) {
	if m["since"] == nil {
		return nil, nil
	}
	var all map[string]members
	if json.Unmarshal(m["since"], &all) != nil || all == nil || hasLoneSurrogate(m["since"]) {
		return nil, errSince
	}
	if len(all) > maxSince {
		return nil, &feedError{"too-many", fmt.Sprintf("since has more than %d topics", maxSince)}
	}
	at := make(map[string]pubsub.Position, len(all))
	for topic, place := range all {
		epoch, ok := wholeNumber(place["epoch"])
		seq, also := wholeNumber(place["seq"])
		if !ok || !also {
			return nil, errSince
		}
		at[topic] = pubsub.Position{Epoch: epoch, Seq: seq}
	}
	return at, nil
}

// wholeNumber reads what the protocol writes for an epoch or a seq.
func wholeNumber(v json.RawMessage) (uint64, bool) {
	n, err := strconv.ParseUint(string(v), 10, 64)
	return n, err == nil && n <= maxExact
}

// compact gives JSON without the space between its tokens. v is valid.
func compact(v json.RawMessage) []byte {
	var b bytes.Buffer
	b.Grow(len(v))
	_ = json.Compact(&b, v)
	return b.Bytes()
}
