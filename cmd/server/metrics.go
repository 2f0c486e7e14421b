package main

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/headrace/headrace/engine"
)

// metrics are what Prometheus scrapes. Counters are read from the engine when it
// comes; only the two histograms see each event. No label has a value that a client
// can choose: closes of the ranges that are free for applications are counted by
// range.
type metrics struct {
	srv       *service // set before the first scrape
	roundTrip prometheus.Histogram
	lag       prometheus.Histogram
}

func newMetrics() *metrics {
	return &metrics{
		roundTrip: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "headrace_ping_round_trip_seconds",
			Help:    "Time from a heartbeat's ping to its pong.",
			Buckets: prometheus.ExponentialBucketsRange(0.000_25, 16, 17), // a factor of two
		}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "headrace_loop_lag_seconds",
			Help:    "How late the timers of a loop came, because it had other things to do.",
			Buckets: prometheus.ExponentialBucketsRange(0.000_062_5, 4, 9), // a factor of four
		}),
	}
}

// observer feeds the histograms.
func (m *metrics) observer() engine.Observer {
	return engine.Observer{
		RoundTrip: func(_ *engine.Conn, took time.Duration) { m.roundTrip.Observe(took.Seconds()) },
		LoopLag:   func(late time.Duration) { m.lag.Observe(late.Seconds()) },
	}
}

// handler serves the metrics, and those of the Go runtime and the process.
func (m *metrics) handler() http.Handler {
	all := prometheus.NewRegistry()
	all.MustRegister(m, feedMetrics{m.srv.topics.feed.hub}, m.roundTrip, m.lag,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector())
	return promhttp.HandlerFor(all, promhttp.HandlerOpts{})
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("headrace_"+name, help, labels, nil)
}

var (
	descConnections = describe("connections", "Connections that are open, those included that are in their handshake or with net/http.")
	descWebSockets  = describe("websocket_connections", "WebSocket connections that are open.")
	descDraining    = describe("draining", "1 while the server shuts down, else 0.")
	descQueue       = describe("queue_bytes", "Bytes that wait for peers to take them.")
	descAccepted    = describe("accepted_connections_total", "Connections that have come.")
	descHandshakes  = describe("handshakes_total",
		"Opening handshakes, by outcome (granted, refused, http, gone, tls, cut) and the status of a refusal.", "outcome", "status")
	descRefusals = describe("refusals_total",
		"Peers that a limit has turned away, by limit (conns, conns_per_ip, handshake_rate, proxy_header, peer_rate).", "limit")
	descCloses = describe("closes_total",
		"WebSocket connections that have ended, by close code and who began (local, remote).", "code", "initiator")
	descMessages = describe("messages_total", "Messages, by direction (received, sent).", "direction")
	descBytes    = describe("socket_bytes_total",
		"Bytes of connections, headers and handshakes included, before TLS, by direction (received, sent).", "direction")
	descDropped = describe("dropped_messages_total",
		"Messages that were not sent, by policy (newest, oldest, late).", "policy")
)

// Describe implements prometheus.Collector.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descConnections, descWebSockets, descDraining, descQueue, descAccepted,
		descHandshakes, descRefusals, descCloses, descMessages, descBytes, descDropped,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	collect(m.srv.Stats(), m.srv.Draining(), to)
}

// collect gives all that the engine counts.
func collect(now engine.Stats, leaving bool, to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, n int) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
	}
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	draining := 0
	if leaving {
		draining = 1
	}
	gauge(descConnections, now.Connections)
	gauge(descWebSockets, now.WebSockets)
	gauge(descDraining, draining)
	gauge(descQueue, now.QueueBytes)
	count(descAccepted, now.Accepted)
	for kind, n := range byOutcome(now.Handshakes) {
		count(descHandshakes, n, kind.outcome, kind.status)
	}
	count(descRefusals, now.Refused.Conns, "conns")
	count(descRefusals, now.Refused.ConnsPerIP, "conns_per_ip")
	count(descRefusals, now.Refused.HandshakeRate, "handshake_rate")
	count(descRefusals, now.Refused.ProxyHeader, "proxy_header")
	count(descRefusals, now.Refused.PeerRate, "peer_rate")
	for kind, n := range byEnding(now.Closes) {
		count(descCloses, n, kind.code, kind.initiator)
	}
	count(descMessages, now.Received.Messages, "received")
	count(descMessages, now.Sent.Messages, "sent")
	count(descBytes, now.Received.Bytes, "received")
	count(descBytes, now.Sent.Bytes, "sent")
	count(descDropped, now.Dropped.Newest, "newest")
	count(descDropped, now.Dropped.Oldest, "oldest")
	count(descDropped, now.Dropped.Late, "late")
}

// handshakeLabels and closeLabels are the labels of a counter.
type (
	handshakeLabels struct{ outcome, status string }
	closeLabels     struct{ code, initiator string }
)

// byOutcome gives the outcomes as labels. Those that are no refusals are always
// there, so that a rate begins at 0.
func byOutcome(all map[engine.Outcome]uint64) map[handshakeLabels]uint64 {
	sums := make(map[handshakeLabels]uint64)
	for _, o := range []engine.Outcome{
		engine.OutcomeGranted, engine.OutcomeHTTP, engine.OutcomeGone, engine.OutcomeTLS, engine.OutcomeCut,
	} {
		sums[handshakeLabels{outcome: o.String()}] = 0
	}
	for o, n := range all {
		if o >= 300 {
			sums[handshakeLabels{"refused", strconv.Itoa(int(o))}] += n
		} else {
			sums[handshakeLabels{outcome: o.String()}] += n
		}
	}
	return sums
}

// byEnding gives the endings as labels, with few values whatever codes peers send.
func byEnding(all map[engine.Ending]uint64) map[closeLabels]uint64 {
	sums := make(map[closeLabels]uint64)
	for e, n := range all {
		code := strconv.Itoa(int(e.Code))
		if e.Code >= 3000 {
			code = code[:1] + "xxx"
		}
		sums[closeLabels{code, e.Initiator.String()}] += n
	}
	return sums
}
