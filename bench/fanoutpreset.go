package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// FanoutPresets are the names of Fanout.Preset.
var FanoutPresets = []string{"relay", "chat", "feed"}

// feedSubprotocol is that of docs/feed-protocol.md.
const feedSubprotocol = "headrace.feed.v1"

// applyPreset fills in what depends on the kind of server, and how many rooms there are.
func (p *Fanout) applyPreset() error {
	if p.Preset == "" {
		p.Preset = guessPreset(p.SubscribeURL)
	}
	if !slices.Contains(FanoutPresets, p.Preset) {
		return fmt.Errorf("preset %q: it is %s", p.Preset, strings.Join(FanoutPresets, ", "))
	}
	if p.Preset != "feed" && p.Feed != (FeedTopics{}) {
		return fmt.Errorf("a topic, a mode and the like are for the preset feed, and this is %s", p.Preset)
	}
	if err := p.findRooms(); err != nil {
		return err
	}
	switch p.Preset {
	case "chat":
		if p.Binary {
			return fmt.Errorf("the chat relays text only")
		}
		if p.Rooms > 1 {
			p.SubscribeURL = withRoom(p.SubscribeURL, p.Rooms)
			p.PublishURL = withRoom(p.PublishURL, p.Rooms)
		}
	case "feed":
		if p.Binary {
			return fmt.Errorf("the feed takes text only")
		}
		p.applyFeed()
	}
	p.Publish = cmp.Or(p.Publish, "{stamp}")
	return nil
}

// guessPreset knows the server of this repository by its paths.
func guessPreset(at string) string {
	u, err := url.Parse((&Target{URL: at}).at(0))
	switch {
	case err == nil && strings.HasSuffix(u.Path, "/ws/chat"):
		return "chat"
	case err == nil && strings.HasSuffix(u.Path, "/feed"):
		return "feed"
	}
	return "relay"
}

// withRoom names a room in a URL that names none.
func withRoom(at string, rooms int) string {
	before, query, has := strings.Cut(at, "?")
	if strings.HasPrefix(query, "room=") || strings.Contains(query, "&room=") {
		return at
	}
	room := fmt.Sprintf("room=wsbench-{i%%%d}", rooms)
	if has && query != "" {
		room = query + "&" + room
	}
	return before + "?" + room
}

// applyFeed speaks the protocol of /feed.
func (p *Fanout) applyFeed() {
	topic := cmp.Or(p.Feed.Topic, fmt.Sprintf("wsbench.{i%%%d}", p.Rooms))
	if p.Subprotocols == nil {
		p.Subprotocols = []string{feedSubprotocol}
	}
	if p.Subscribe == nil {
		ask := fmt.Sprintf(`{"type":"subscribe","topic":%s,"snapshot":false`, quoted(topic))
		if p.Feed.Mode != "" {
			ask += fmt.Sprintf(`,"mode":%s`, quoted(p.Feed.Mode))
		}
		if p.Feed.MaxRate > 0 {
			ask += fmt.Sprintf(`,"maxRate":%v`, p.Feed.MaxRate)
		}
		if p.Feed.MaxAge > 0 {
			ask += fmt.Sprintf(`,"maxAge":%v`, p.Feed.MaxAge)
		}
		p.Subscribe = []string{ask + "}"}
		if p.Ack.text == "" {
			p.Ack = literal(`{"type":"live"`)
		}
	}
	if p.Refused.text == "" {
		p.Refused = literal(`{"type":"error"`)
	}
	p.Skipped = cmp.Or(p.Skipped, `"skipped":`)
	switch {
	case p.PublishHTTP != "":
		p.Publish = cmp.Or(p.Publish, `"{stamp}"`)
		if u, err := url.Parse((&Target{URL: p.PublishHTTP}).at(0)); err == nil && strings.Trim(u.Path, "/") == "" {
			p.PublishHTTP = strings.TrimRight(p.PublishHTTP, "/") + "/publish/" + topic
		}
	default:
		p.Publish = cmp.Or(p.Publish, fmt.Sprintf(`{"type":"publish","topic":%s,"data":"{stamp}"}`, quoted(topic)))
	}
}

// quoted gives a text as JSON, in which the places of a Template still are.
func quoted(text string) string {
	b, _ := json.Marshal(text) // of a string: it cannot fail
	return string(b)
}

// findRooms takes the number of rooms from the templates, if the plan has none.
func (p *Fanout) findRooms() error {
	if p.Rooms < 0 {
		return fmt.Errorf("there cannot be %d rooms", p.Rooms)
	}
	if p.Rooms > 0 {
		return nil
	}
	for _, text := range append([]string{p.SubscribeURL, p.PublishURL, p.PublishHTTP, p.Feed.Topic, p.Publish}, p.Subscribe...) {
		t, err := ParseTemplate(text)
		if err != nil {
			return err
		}
		for i := range t.parts {
			n := t.parts[i].modulus
			if n > 0 && p.Rooms > 0 && n != p.Rooms {
				return fmt.Errorf("there may be %d rooms or %d, as it is written: say which", p.Rooms, n)
			}
			p.Rooms = max(p.Rooms, n)
		}
	}
	p.Rooms = max(p.Rooms, 1)
	return nil
}
