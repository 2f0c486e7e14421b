package pubsub

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

// BenchmarkFanOut publishes to many subscribers in bursts, and counts a delivery as an
// operation. Their sockets are read by one goroutine that throws away what it gets.
func BenchmarkFanOut(b *testing.B) {
	for _, subscribers := range []int{100, 5000} {
		for _, burst := range []int{1, 16} {
			b.Run(fmt.Sprintf("subscribers=%d/burst=%d/bytes=128", subscribers, burst), func(b *testing.B) {
				benchmarkFanOut(b, subscribers, burst, 128)
			})
		}
	}
}

func benchmarkFanOut(b *testing.B, subscribers, burst, size int) {
	s := newStage(b, Config{NoLastValues: true, History: NoHistory, Encoder: Payloads{Kind: engine.Text}}, engine.Endpoint{PingInterval: -1}, 1)
	drain := newDrain(b)
	for range subscribers {
		p := s.joinRaw()
		if err := s.hub.Subscribe(p.server, "a", Options{NoSnapshot: true}); err != nil {
			b.Fatal(err)
		}
		drain.add(p.Conn)
	}
	eventually(b, "all are there", func() bool { return s.hub.Stats().Subscriptions == subscribers })
	payload := make([]byte, size)
	per := uint64(subscribers * burst)
	publish := func() {
		before := s.hub.Stats().Deliveries
		for range burst {
			if _, err := s.hub.Publish("a", "", payload); err != nil {
				b.Fatal(err)
			}
		}
		for s.hub.stats.delivered.Load() < before+per {
			time.Sleep(20 * time.Microsecond)
		}
	}
	for range 5 {
		publish()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := uint64(0); n < uint64(b.N); n += per {
		publish()
	}
}

// newDrain reads from any number of sockets without a goroutine for each.
func newDrain(b testing.TB) *drain {
	d, err := newEpollDrain()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(d.close)
	return d
}

func (d *drain) add(c net.Conn) { d.addConn(c.(*net.TCPConn)) }
