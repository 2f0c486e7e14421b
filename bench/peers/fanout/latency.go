package main

import (
	"errors"
	"os"
	"time"

	"github.com/headrace/headrace/bench/peers/clock"
)

// latency is how long messages were under way in one turn, from when they were to be
// published. What has not come in the end counts with the time that it had waited then.
type latency struct {
	Server    string
	Delivered float64 // the share that has come
	First     spread  // of each message, the subscriber who got it first,
	Median    spread  // the one in the middle,
	Last      spread  // and the last
	All       spread  // of all deliveries
	ClientCPU float64 // as in throughput
}

// watch has messages published at a rate for some time, whether the server keeps up or
// not, and waits a moment longer for what is late.
func (s *stage) watch(rate int, d, late time.Duration) (l latency, err error) {
	for range 3 { // to warm up
		if err := s.publish(1); err != nil {
			return l, err
		}
	}
	n := max(1, int(d.Seconds()*float64(rate)))
	r := newRecorder(s.audience.messages/s.size, n, int(s.size), time.Second/time.Duration(rate))
	s.audience.heard = r.heard
	before, err := clock.CPU(os.Getpid())
	if err != nil {
		return l, err
	}
	begin := clock.Now()
	if err := s.server.Order("pace %d %d", rate, n); err != nil {
		return l, err
	}
	all, err := s.audience.receive(s.audience.messages+uint64(n)*s.size, begin+int64(d+late))
	if err != nil {
		return l, err
	}
	end := clock.Now()
	after, err := clock.CPU(os.Getpid())
	if all {
		err = errors.Join(err, s.done())
	}
	l = r.result(end)
	l.ClientCPU = float64(after-before) / float64(end-begin)
	return l, err
}
