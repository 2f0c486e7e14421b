package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/headrace/headrace/bench/peers/clock"
	"github.com/headrace/headrace/bench/peers/process"
)

// stage is a server and its subscribers.
type stage struct {
	server   *process.Server
	audience *audience
	size     uint64 // subscribers
}

func openStage(c contender, cores process.Cores, subscribers int, sleeps bool) (*stage, error) {
	server, err := process.StartServer(append(slices.Clone(c.command), strconv.Itoa(subscribers)), c.environ, cores.Server)
	if err != nil {
		return nil, err
	}
	s := &stage{server: server, size: uint64(subscribers)}
	if s.audience, err = newAudience(server.Addr, subscribers); err == nil {
		s.audience.sleeps = sleeps
		_, err = server.Expect("ready")
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) close() {
	s.server.End()
	if s.audience != nil {
		s.audience.close()
	}
}

// publish has so many messages published together, by the word of a subscriber, and
// waits until everybody has them.
func (s *stage) publish(burst int) error {
	if err := s.audience.say(fmt.Sprintf("publish %d", burst)); err != nil {
		return err
	}
	want := s.audience.messages + uint64(burst)*s.size
	all, err := s.audience.receive(want, clock.Now()+int64(process.Patience))
	if err != nil {
		return err
	}
	if !all {
		return fmt.Errorf("%d of %d messages have not come within %v", want-s.audience.messages, want, process.Patience)
	}
	return nil
}

func (s *stage) done() error {
	_, err := s.server.Expect("done")
	return err
}

// throughput is what a server needed in one turn.
type throughput struct {
	CPU             float64 // of the server, nanoseconds for each delivery; with what it took to read the order to publish
	PerSecond       float64 // deliveries by the clock, the waits for the subscribers included
	MessagesPerRead float64 // of the subscribers: as many as a write has had, or more where writes came together
	ClientCPU       float64 // the share of its core that this process has used
	Publishes       int
}

// measure publishes bursts for some time, the next when everybody has the last.
func (s *stage) measure(burst int, d time.Duration) (t throughput, err error) {
	if _, err := s.repeat(burst, d/5); err != nil { // to warm up
		return t, err
	}
	run, err := s.repeat(burst, d)
	if err != nil {
		return t, err
	}
	deliveries := float64(run.times*burst) * float64(s.size)
	return throughput{
		CPU:             float64(run.cpu) / deliveries,
		PerSecond:       deliveries / run.took.Seconds(),
		MessagesPerRead: deliveries / float64(run.reads),
		ClientCPU:       float64(run.clientCPU) / float64(run.took),
		Publishes:       run.times,
	}, nil
}

// stretch is what happened in some time.
type stretch struct {
	times          int
	reads          uint64
	took           time.Duration
	cpu, clientCPU time.Duration
}

// repeat publishes a burst again and again for so long, three times at least.
func (s *stage) repeat(burst int, d time.Duration) (run stretch, err error) {
	cpu, err := s.server.CPU()
	if err != nil {
		return run, err
	}
	clientCPU, err := clock.CPU(os.Getpid())
	if err != nil {
		return run, err
	}
	reads, begin := s.audience.reads, time.Now()
	for ; run.times < 3 || time.Since(begin) < d; run.times++ {
		if err := s.publish(burst); err != nil {
			return run, err
		}
	}
	run.took, run.reads = time.Since(begin), s.audience.reads-reads
	cpuAfter, err := s.server.CPU()
	if err != nil {
		return run, err
	}
	clientCPUAfter, err := clock.CPU(os.Getpid())
	run.cpu, run.clientCPU = cpuAfter-cpu, clientCPUAfter-clientCPU
	return run, err
}
