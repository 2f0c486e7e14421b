package bench

import (
	"strings"
	"testing"
	"time"
)

func TestFanoutRefusesBadPlans(t *testing.T) {
	good := Fanout{Target: Target{URL: "ws://127.0.0.1:1/"}, Subscribers: 4, Sizes: Sizes{Min: 100, Max: 100}, Duration: time.Second}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(*Fanout){
		"a subscriber at least":   func(p *Fanout) { p.Subscribers = 0 },
		"33 bytes to be known":    func(p *Fanout) { p.Sizes.Min = 32 },
		"rooms need a subscriber": func(p *Fanout) { p.Rooms = 5 },
		"say which":               func(p *Fanout) { p.Subscribe = []string{"{i%3}{i%4}"} },
		"either a rate":           func(p *Fanout) { p.Rate, p.InFlight = 1, 1 },
		"need a rate":             func(p *Fanout) { p.Poisson = true },
		"{stamp} must stand":      func(p *Fanout) { p.Publish = "hello" },
		"an ack answers":          func(p *Fanout) { p.Ack = literal("x") },
		"preset \"other\"":        func(p *Fanout) { p.Preset = "other" },
		"for the preset feed":     func(p *Fanout) { p.Feed.Mode = "latest" },
		"text only":               func(p *Fanout) { p.Preset, p.Binary = "chat", true },
		"to POST to":              func(p *Fanout) { p.PublishHTTP = "ws://x/" },
		"publishers: ":            func(p *Fanout) { p.PublishURL = "http://x/" },
		"too many to keep":        func(p *Fanout) { p.Subscribers, p.Publishers = 1<<20, 1<<10 },
		"no ws:// or":             func(p *Fanout) { p.URL = "http://x/" },
		"a duration":              func(p *Fanout) { p.Duration = 0 },
	} {
		p := good
		spoil(&p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
