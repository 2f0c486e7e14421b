package main

import (
	"context"
	"fmt"
	"time"

	"github.com/headrace/headrace/bench"
)

// fanoutCmd is wsbench fanout.
type fanoutCmd struct {
	target
	Subscribers int `default:"100" help:"Connections that receive."`
	Publishers  int `placeholder:"N" help:"Connections that publish; without it one for each room."`
	Rooms       int `placeholder:"N" help:"Spread both over so many rooms: i is in room i%rooms, and a publish is expected in its room only. Without it as many as {i%10} in a template or URL says, else one."`

	Rate     float64       `group:"load" placeholder:"N" help:"Publishes a second over all publishers, whatever arrives (open loop)."`
	Poisson  bool          `group:"load" help:"With --rate: as independent users publish, not evenly."`
	Inflight int           `group:"load" placeholder:"N" help:"Publishes of each publisher on their way; the next goes when one has reached everybody (closed loop, for capacity; 1 if neither this nor --rate is given)."`
	Patience time.Duration `group:"load" default:"2s" help:"Closed loop: how long to wait for a publish to reach everybody."`
	Size     string        `group:"load" default:"100" help:"Bytes of the payload: 100, 4KiB, or 100-4000; 33 at least."`
	Binary   bool          `group:"load" help:"Send binary messages; text otherwise."`
	Warmup   time.Duration `group:"load" default:"1s" help:"Published before, and not counted."`
	Duration time.Duration `group:"load" default:"10s" help:"How long to measure."`
	Grace    time.Duration `group:"load" default:"2s" help:"How long after the last publish deliveries may still come."`

	Preset     string        `group:"protocol" placeholder:"NAME" help:"relay: sends on what it gets. chat: /ws/chat of headrace-server. feed: its /feed (docs/feed-protocol.md). Without it guessed from the path, else relay."`
	Subscribe  []string      `group:"protocol" sep:"none" placeholder:"TEMPLATE" help:"Message that each subscriber sends when it has opened; may be repeated."`
	Ack        string        `group:"protocol" placeholder:"PATTERN" help:"What the answer to each --subscribe holds, a text or a /regexp/; nobody publishes before all have come."`
	AckTimeout time.Duration `group:"protocol" default:"10s" help:"How long that may take."`
	Settle     time.Duration `group:"protocol" default:"500ms" help:"Without --ack: how long after the last has opened publishing begins."`
	Publish    string        `group:"protocol" placeholder:"TEMPLATE" help:"Message of a publish; {stamp} in it is the payload."`
	Introduce  []string      `group:"protocol" sep:"none" placeholder:"TEMPLATE" help:"Message that each publisher sends when it has opened; may be repeated."`
	Refused    string        `group:"protocol" placeholder:"PATTERN" help:"What an answer holds by which the server refuses."`
	Skipped    string        `group:"protocol" placeholder:"TEXT" help:"What stands, before the payload, in front of the number of older publishes that the server says to have left out."`

	SubscribeURL string `group:"protocol" placeholder:"URL" help:"Where subscribers connect, if not at <url>."`
	PublishURL   string `group:"protocol" placeholder:"URL" help:"Where publishers connect, if not at <url>."`
	PublishHTTP  string `group:"protocol" name:"publish-http" placeholder:"URL" help:"Publishers POST there instead; with the preset feed the internal address of headrace-server will do."`
	Bearer       string `group:"protocol" placeholder:"TOKEN" env:"WSBENCH_BEARER" help:"The token with which publishers POST: Authorization: Bearer TOKEN."`

	Topic   string  `group:"feed" placeholder:"TEMPLATE" help:"Template of the topic; without it wsbench.{i%rooms}. The server must let clients publish to it: --feed-publish 'wsbench.*'."`
	Mode    string  `group:"feed" placeholder:"MODE" help:"queue, latest or deadline; without it queue."`
	MaxRate float64 `group:"feed" placeholder:"N" help:"With --mode latest: deliveries a second."`
	MaxAge  float64 `group:"feed" placeholder:"MS" help:"With --mode deadline: milliseconds."`
	opening
	output
}

// Help is what kong shows below the flags' list.
func (c *fanoutCmd) Help() string {
	return `Publishers send messages; the server sends each to all subscribers. Reported is how long
that takes until the first, half of them and the last have it, from when the publish was due;
what is missing, doubled, out of order or changed; and which subscribers are the slowest.
All connections are in this process and share its clock, so latencies are one way.

Templates: {i} is the number of the connection, {i%10} that modulo 10, {n} the number of the
publish, {time} milliseconds since 1970, {stamp} the payload.

  wsbench fanout ws://127.0.0.1:8080/ws/chat --subscribers 1000 --rate 50 --rooms 10
  wsbench fanout ws://127.0.0.1:8080/feed --mode latest --max-rate 10 --rate 500
  wsbench fanout ws://host/socket --rate 20 --subscribe '{"join":"room{i%5}"}' --ack joined \
      --introduce '{"join":"room{i%5}"}' --publish '{"say":"{stamp}"}' --fail-if 'last-p99>50ms'`
}

// Run is called by kong.
func (c *fanoutCmd) Run(ctx context.Context, to *console) error {
	job, err := c.bench()
	if err != nil {
		return &usageError{err}
	}
	return c.output.carryOut(ctx, job, to)
}

// bench gives the plan in the words of the library.
func (c *fanoutCmd) bench() (job bench.Fanout, err error) {
	job = bench.Fanout{
		Opening: c.opening.bench(), Subscribers: c.Subscribers, Publishers: c.Publishers, Rooms: c.Rooms,
		SubscribeURL: c.SubscribeURL, PublishURL: c.PublishURL, PublishHTTP: c.PublishHTTP, Bearer: c.Bearer,
		Preset: c.Preset, Subscribe: c.Subscribe, Introduce: c.Introduce, Publish: c.Publish, Skipped: c.Skipped,
		Feed:       bench.FeedTopics{Topic: c.Topic, Mode: c.Mode, MaxRate: c.MaxRate, MaxAge: c.MaxAge},
		AckTimeout: c.AckTimeout, Settle: c.Settle,
		Binary: c.Binary, Rate: c.Rate, Poisson: c.Poisson, InFlight: c.Inflight, Patience: c.Patience,
		Warmup: c.Warmup, Duration: c.Duration, Grace: c.Grace, Loops: c.Loops,
	}
	if job.Target, err = c.target.bench(); err != nil {
		return job, err
	}
	if job.Sizes, err = bench.ParseSizes(c.Size); err != nil {
		return job, err
	}
	if job.Ack, err = bench.ParsePattern(c.Ack); err != nil {
		return job, fmt.Errorf("--ack %w", err)
	}
	if job.Refused, err = bench.ParsePattern(c.Refused); err != nil {
		return job, fmt.Errorf("--refused %w", err)
	}
	return job, nil
}
