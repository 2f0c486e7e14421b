package bench

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/headrace/headrace/engine"
)

// Fanout is a plan: publishers send messages, and a server sends each of them to all
// subscribers, or to those of its room. Publishers and subscribers are in this process
// and share its clock, so a latency is one way, from when the publish was due.
type Fanout struct {
	Target // where all connect, but for SubscribeURL and PublishURL
	Opening

	Subscribers int
	Publishers  int // zero: one for each room
	// Rooms spreads them: subscriber i is in room i%Rooms, publisher i speaks to room
	// i%Rooms. Zero takes it from the templates and URLs: {i%10} means 10, and none 1.
	Rooms int

	SubscribeURL string // a Template; "": Target.URL
	PublishURL   string // a Template; "": Target.URL

	// PublishHTTP, a Template, has publishers POST there instead of connecting, with
	// Bearer, if not "", as their token.
	PublishHTTP string
	Bearer      string

	// Preset fills in what is left out below: "relay", "chat" or "feed"; "" is guessed
	// from the path of the URL.
	Preset    string
	Feed      FeedTopics
	Subscribe []string // Templates that each subscriber sends when it has opened
	Introduce []string // the same for each publisher
	Publish   string   // Template of a publish; {stamp} is its payload
	Ack       Pattern  // what an answer to Subscribe holds; a subscriber is ready when it has as many as it has sent
	Refused   Pattern  // what an answer holds that refuses
	Skipped   string   // what stands before the number of older publishes that the server says to have left out

	AckTimeout time.Duration // how long all acks may take; zero means 10 s
	Settle     time.Duration // without Ack: how long after the last has opened publishing begins; zero means 500 ms

	Binary bool  // messages are binary; text otherwise
	Sizes  Sizes // of the payload

	// Rate is how many publishes are sent in a second over all publishers (an open
	// loop). Poisson has them come independently of each other. Zero is a closed loop:
	// each publisher has InFlight publishes on their way, and sends the next when one
	// has reached everybody. That measures capacity.
	Rate     float64
	Poisson  bool
	InFlight int
	Patience time.Duration // closed loop: how long it waits for a publish to reach everybody; zero means 2 s

	Warmup   time.Duration // published, but not counted
	Duration time.Duration
	Grace    time.Duration // how long after that deliveries may still come; zero means 2 s

	Loops int // event loops of the client; zero: one less than processors
}

// FeedTopics says what the preset "feed" subscribes to.
type FeedTopics struct {
	Topic   string  // a Template; "": wsbench.{i%Rooms}
	Mode    string  // queue, latest or deadline; "": queue
	MaxRate float64 // deliveries a second, with latest
	MaxAge  float64 // milliseconds, with deadline
}

// maxStreams is how many pairs of a publisher and a subscriber that hears it there may
// be: each costs 24 bytes.
const maxStreams = 1 << 24

// maxFanInFlight is how many publishes of one publisher may be on their way in a closed
// loop.
const maxFanInFlight = 1024

// Check implements Job.
func (p Fanout) Check() error {
	_, err := p.withDefaults()
	return err
}

func (p *Fanout) withDefaults() (Fanout, error) {
	f := *p
	for to, value := range map[*time.Duration]time.Duration{
		&f.Grace: 2 * time.Second, &f.AckTimeout: 10 * time.Second, &f.Settle: 500 * time.Millisecond,
		&f.Patience: 2 * time.Second,
	} {
		if *to == 0 {
			*to = value
		}
	}
	if f.Rate == 0 && f.InFlight == 0 {
		f.InFlight = 1
	}
	if f.SubscribeURL != "" {
		f.URL = f.SubscribeURL
	}
	f.SubscribeURL = f.URL
	if f.PublishURL == "" {
		f.PublishURL = f.URL
	}
	if err := f.applyPreset(); err != nil {
		return f, err
	}
	if f.Publishers == 0 {
		f.Publishers = f.Rooms
	}
	return f, errors.Join(f.checkTargets(), f.checkNumbers())
}

// checkTargets says what is wrong with the addresses and templates.
func (p *Fanout) checkTargets() error {
	subscribers, publishers := p.targets()
	if err := subscribers.check(); err != nil {
		return err
	}
	if err := publishers.check(); err != nil {
		return fmt.Errorf("publishers: %w", err)
	}
	if p.PublishHTTP != "" {
		if err := checkPost(p.PublishHTTP); err != nil {
			return err
		}
	}
	if err := p.Opening.check(); err != nil {
		return err
	}
	for _, text := range append(append([]string{p.Publish}, p.Subscribe...), p.Introduce...) {
		if _, err := ParseTemplate(text); err != nil {
			return err
		}
	}
	publish, _ := ParseTemplate(p.Publish)
	if !publish.HasStamp() {
		return fmt.Errorf("publish %q: {stamp} must stand where the payload goes, so that a publish is known again", p.Publish)
	}
	if p.Ack.text != "" && len(p.Subscribe) == 0 {
		return errors.New("an ack answers a subscribe message, and there is none")
	}
	if p.PublishHTTP != "" && len(p.Introduce) > 0 {
		return errors.New("publishers that POST have no connection on which to introduce themselves")
	}
	return nil
}

// checkNumbers says what is wrong with the rest.
func (p *Fanout) checkNumbers() error {
	switch {
	case p.Subscribers < 1:
		return errors.New("there must be a subscriber at least")
	case p.Publishers < 0 || p.Publishers > maxPublishers:
		return fmt.Errorf("there may be 1 to %d publishers", maxPublishers)
	case p.Subscribers < p.Rooms || p.Publishers < p.Rooms:
		return fmt.Errorf("%d rooms need a subscriber and a publisher each, and there are %d and %d", p.Rooms, p.Subscribers, p.Publishers)
	case p.Subscribers*p.heard() > maxStreams:
		return fmt.Errorf("%d subscribers that hear %d publishers each are too many to keep account of: %d pairs at most", p.Subscribers, p.heard(), maxStreams)
	case p.Sizes.Min < fanStamp:
		return fmt.Errorf("size %v: a publish needs %d bytes to be known again", p.Sizes, fanStamp)
	case p.Sizes.Max > maxMessage/2:
		return fmt.Errorf("size %v: at most %d bytes", p.Sizes, maxMessage/2)
	case !isRate(p.Rate):
		return fmt.Errorf("a rate is 0 to %d publishes a second", int(maxRate))
	case p.Rate > 0 && p.InFlight > 0:
		return errors.New("either a rate (open loop) or a number in flight (closed loop)")
	case p.InFlight < 0 || p.InFlight > maxFanInFlight:
		return fmt.Errorf("at most %d publishes in flight of each publisher", maxFanInFlight)
	case p.Poisson && p.Rate == 0:
		return errors.New("publishes that come independently of each other need a rate")
	case p.Duration <= 0 || p.Warmup < 0 || p.Grace < 0 || p.Settle < 0 || p.AckTimeout < 0 || p.Patience < 0:
		return errors.New("a duration must be more than 0, and other times not less")
	}
	return nil
}

// heard is how many publishers a subscriber hears at most.
func (p *Fanout) heard() int { return (p.Publishers + p.Rooms - 1) / p.Rooms }

// targets gives where subscribers and publishers connect.
func (p *Fanout) targets() (subscribers, publishers Target) {
	subscribers, publishers = p.Target, p.Target
	subscribers.URL, publishers.URL = p.SubscribeURL, p.PublishURL
	return subscribers, publishers
}

// teller gives a target that knows the secrets of subscribers and publishers.
func (p *Fanout) teller() *Target {
	t := p.Target
	if p.Bearer != "" {
		t.Header = http.Header{}
		maps.Copy(t.Header, p.Header)
		t.Header["Authorization"] = append(slices.Clone(t.Header["Authorization"]), p.Bearer)
	}
	return &t
}

func (p *Fanout) op() engine.Op { return opOf(!p.Binary) }
