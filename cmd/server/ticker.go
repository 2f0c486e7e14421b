package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/headrace/headrace/pubsub"
)

// ticker publishes the ticks of a made-up market: one goroutine, which wakes up every
// few milliseconds and publishes what is due. What the hub is too busy to take is
// left out, as is what a long sleep has missed.
type ticker struct {
	market  *market
	publish func(topic, key string, data []byte) (pubsub.Position, error)
	rate    float64 // ticks in a second, on average
	due     float64 // ticks
	buf     []byte
}

const (
	tickPause = 5 * time.Millisecond
	maxMissed = 100 * time.Millisecond // how much of a sleep is made up for
)

func newTicker(d demo, seed uint64, publish func(topic, key string, data []byte) (pubsub.Position, error)) *ticker {
	return &ticker{market: newMarket(d.symbols, seed), publish: publish, rate: float64(d.rate)}
}

func randomSeed() uint64 { return rand.Uint64() }

// run publishes until ctx ends, each symbol once to begin with.
func (t *ticker) run(ctx context.Context) {
	wake := time.NewTicker(tickPause)
	defer wake.Stop()
	last := time.Now()
	t.open(last)
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake.C:
			now := time.Now()
			t.turn(now, now.Sub(last))
			last = now
		}
	}
}

// open publishes every symbol.
func (t *ticker) open(now time.Time) {
	for i := range t.market.symbols {
		if !t.emit(&t.market.symbols[i], now) {
			return
		}
	}
}

// turn publishes what is due after a while without a turn.
func (t *ticker) turn(now time.Time, passed time.Duration) {
	passed = min(passed, maxMissed)
	t.due += t.rate * passed.Seconds() * t.market.tempo(passed)
	for ; t.due >= 1; t.due-- {
		if !t.emit(t.market.trade(now), now) {
			t.due = 0
			return
		}
	}
}

// emit publishes a symbol as it stands, and says whether the hub took it.
func (t *ticker) emit(s *symbol, now time.Time) bool {
	t.buf = s.appendTick(t.buf[:0], now)
	_, err := t.publish(s.topic, "", t.buf)
	return !errors.Is(err, pubsub.ErrBusy)
}
