package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/headrace/headrace/pubsub"
)

// feedMetrics are what Prometheus scrapes of the feed's hub. No label has a value that
// a client can choose.
type feedMetrics struct{ hub *pubsub.Hub }

var (
	descTopics        = describe("feed_topics", "Topics that the feed knows.")
	descSubscriptions = describe("feed_subscriptions", "Subscriptions of the feed's clients.")
	descSubscribers   = describe("feed_subscribers", "Connections with a subscription.")
	descPublished     = describe("feed_published_messages_total", "Messages that were published.")
	descBusy          = describe("feed_refused_messages_total", "Messages that were not published because the server was behind.")
	descDelivered     = describe("feed_delivered_messages_total", "Messages that were put into the queues of subscribers' sockets.")
	descConflated     = describe("feed_conflated_messages_total", "Messages that a subscriber did not get because a newer one took their place.")
	descFeedDropped   = describe("feed_dropped_messages_total",
		"Messages that a subscriber did not get, by reason (late: older than it wants them; pending: too many waited; full: no room in its queue).", "reason")
	descCaughtUp = describe("feed_catch_ups_total",
		"Topics that new subscribers were told of, by how (snapshot, recovered), and positions that were lost (lost).", "outcome")
	descLatency = describe("feed_delivery_latency_seconds", "Time from a message's publication to its write.")
)

// Describe implements prometheus.Collector.
func (m feedMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descTopics, descSubscriptions, descSubscribers, descPublished, descBusy, descDelivered, descConflated,
		descFeedDropped, descCaughtUp, descLatency,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m feedMetrics) Collect(to chan<- prometheus.Metric) {
	now := m.hub.Stats()
	gauge := func(d *prometheus.Desc, n int) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
	}
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge(descTopics, now.Topics)
	gauge(descSubscriptions, now.Subscriptions)
	gauge(descSubscribers, now.Subscribers)
	count(descPublished, now.Published)
	count(descBusy, now.Busy)
	count(descDelivered, now.Deliveries)
	count(descConflated, now.Conflated)
	count(descFeedDropped, now.DroppedLate, "late")
	count(descFeedDropped, now.DroppedPending, "pending")
	count(descFeedDropped, now.DroppedFull, "full")
	count(descCaughtUp, now.Snapshots, "snapshot")
	count(descCaughtUp, now.Recovered, "recovered")
	count(descCaughtUp, now.Lost, "lost")
	sum, buckets := cumulative(&now.Latency)
	to <- prometheus.MustNewConstHistogram(descLatency, sum, now.Latency.Sum, buckets)
}

// cumulative gives a histogram as Prometheus wants it: how many there are in all, and
// how many up to each bound.
func cumulative(h *pubsub.Histogram) (sum uint64, upTo map[float64]uint64) {
	upTo = make(map[float64]uint64, len(h.Bounds))
	for i, n := range h.Counts {
		if sum += n; i < len(h.Bounds) {
			upTo[h.Bounds[i]] = sum
		}
	}
	return sum, upTo
}
