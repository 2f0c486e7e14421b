package bench

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestPlansAreChecked(t *testing.T) {
	good := Echo{Target: Target{URL: "ws://h/"}, Sizes: Sizes{Min: 20, Max: 20}, Conns: 1, Duration: time.Second}
	for what, spoil := range map[string]func(*Echo){
		"no ws:// or wss://": func(p *Echo) { p.URL = "http://h/" },
		"fragment":           func(p *Echo) { p.URL = "ws://h/#a" },
		"bytes to be known":  func(p *Echo) { p.Sizes = Sizes{Min: 7, Max: 20} },
		"a connection":       func(p *Echo) { p.Conns = 0 },
		"either a rate":      func(p *Echo) { p.Rate, p.InFlight = 1, 1 },
		"a rate is":          func(p *Echo) { p.Rate = -1 },
		"a duration":         func(p *Echo) { p.Duration = 0 },
		"in flight":          func(p *Echo) { p.InFlight = 1 << 20 },
	} {
		p := good
		spoil(&p)
		if _, err := p.Run(context.Background(), nil); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := good.Run(canceled(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// A rate is a number: NaN compares with nothing.
func TestRatesAreNumbers(t *testing.T) {
	at := Target{URL: "ws://h/"}
	for _, rate := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 2 * maxRate} {
		for name, p := range map[string]Job{
			"echo":    Echo{Target: at, Sizes: Sizes{Min: 20, Max: 20}, Conns: 1, Duration: time.Second, Rate: rate},
			"opening": Echo{Target: at, Sizes: Sizes{Min: 20, Max: 20}, Conns: 1, Duration: time.Second, Opening: Opening{Rate: rate}},
			"storm":   Storm{Target: at, Duration: time.Second, Rate: rate},
			"fanout": Fanout{
				Target: at, Publish: "{stamp}", Subscribers: 1, Rooms: 1, Duration: time.Second, Sizes: Sizes{Min: 40, Max: 40}, Rate: rate,
			},
		} {
			if err := p.Check(); err == nil || !strings.Contains(err.Error(), " 0 to 100000000 ") {
				t.Errorf("%s at %v: %v", name, rate, err)
			}
		}
	}
}
