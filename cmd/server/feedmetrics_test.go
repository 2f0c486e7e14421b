package main

import (
	"fmt"
	"maps"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/headrace/headrace/pubsub"
)

// What the feed's hub counts is there, and its histogram is one of Prometheus'.
func TestMetricsOfFeed(t *testing.T) {
	addr, internal := startMeasured(t, func(o *options) { o.feed.heartbeat, o.feed.publish = 0, []string{">"} })
	c, d := dial(t, addr, "/feed"), dial(t, addr, "/feed")
	c.subscribe("a.*")
	c.subscribe("b")
	for i := range 5 {
		d.say(fmt.Sprintf(`{"type":"publish","topic":"a.x","data":%d}`, i))
		d.read()
		c.read()
	}
	d.say(`{"type":"subscribe","topic":">"}`)
	d.catchUp(">")
	for name, want := range map[string]float64{
		"headrace_feed_topics":                   1,
		"headrace_feed_subscriptions":            3,
		"headrace_feed_subscribers":              2,
		"headrace_feed_published_messages_total": 5,
		"headrace_feed_refused_messages_total":   0,
		"headrace_feed_conflated_messages_total": 0,
	} {
		wantSample(t, internal, name, "", want)
	}
	wantSample(t, internal, "headrace_feed_catch_ups_total", "outcome=snapshot", 2)
	for _, reason := range []string{"late", "pending", "full"} {
		wantSample(t, internal, "headrace_feed_dropped_messages_total", "reason="+reason, 0)
	}
	all := scrape(t, internal)
	if f := all["headrace_feed_delivery_latency_seconds"]; f.GetType() != dto.MetricType_HISTOGRAM || len(f.Metric[0].Histogram.Bucket) < 3 {
		t.Errorf("the latency is %v", f)
	}
	for _, name := range []string{"headrace_feed_delivered_messages_total", "headrace_feed_delivery_latency_seconds"} {
		if n := sample(t, all, name, ""); n < 5 {
			t.Errorf("%s is %v, want 5 at least", name, n)
		}
	}
}

func TestCumulative(t *testing.T) {
	sum, upTo := cumulative(&pubsub.Histogram{Bounds: []float64{1, 2, 4}, Counts: []uint64{5, 0, 3, 2}, Sum: 20})
	if want := map[float64]uint64{1: 5, 2: 5, 4: 8}; sum != 10 || !maps.Equal(upTo, want) {
		t.Errorf("%d, %v; want 10, %v", sum, upTo, want)
	}
}
