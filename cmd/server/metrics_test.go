package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/headrace/headrace/engine"
)

// startMeasured runs a whole server with its internal side.
func startMeasured(t *testing.T, change func(*options)) (addr, internal string) {
	t.Helper()
	opts := defaults()
	opts.addrs, opts.config.Loops = []string{"127.0.0.1:0"}, 2
	if change != nil {
		change(&opts)
	}
	watch := newMetrics()
	srv := makeServer(t, &opts, watch.observer())
	watch.srv = srv
	side, err := startInternal("127.0.0.1:0", srv, watch.handler(), testLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(side.stop)
	return runServer(t, srv.Server), side.addr().String()
}

// scrape reads all metrics as Prometheus does.
func scrape(t *testing.T, internal string) map[string]*dto.MetricFamily {
	t.Helper()
	res, body := get(t, internal, "GET", "/metrics")
	if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("/metrics: %d, %q", res.StatusCode, res.Header.Get("Content-Type"))
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sample gives the value of a metric with these labels: "name=value,name=value". It is
// -1 when there is no metric of that name.
func sample(t *testing.T, all map[string]*dto.MetricFamily, name, labels string) float64 {
	t.Helper()
	if all[name] == nil {
		return -1
	}
	for _, m := range all[name].Metric {
		var has []string
		for _, l := range m.Label {
			has = append(has, l.GetName()+"="+l.GetValue())
		}
		if strings.Join(has, ",") == labels {
			if h := m.Histogram; h != nil {
				return float64(h.GetSampleCount())
			}
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return 0
}

// wantSample waits until a metric has a value: what a loop counts is shown at the end
// of its turn, which may be a moment after the client has its answer.
func wantSample(t *testing.T, internal, name, labels string, want float64) {
	t.Helper()
	var got float64
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got = sample(t, scrape(t, internal), name, labels); got == want {
			return
		}
		if got > want {
			break
		}
	}
	t.Errorf("%s{%s} is %v, want %v", name, labels, got, want)
}

func TestMetricsCountTraffic(t *testing.T) {
	addr, internal := startMeasured(t, nil)
	c := dial(t, addr, "/hello")
	d := dial(t, addr, "/ws/chat")
	for range 3 {
		c.say("?")
		c.hear(hint)
	}
	wantSample(t, internal, "headrace_accepted_connections_total", "", 2)
	wantSample(t, internal, "headrace_connections", "", 2)
	wantSample(t, internal, "headrace_websocket_connections", "", 2)
	wantSample(t, internal, "headrace_handshakes_total", "outcome=granted,status=", 2)
	wantSample(t, internal, "headrace_messages_total", "direction=received", 3)
	wantSample(t, internal, "headrace_messages_total", "direction=sent", 3)

	d.send(ws.OpBinary, nil)
	d.wantClose(ws.StatusUnsupportedData, "the chat relays text only")
	c.send(ws.OpClose, ws.NewCloseFrameBody(4321, "of my own"))
	wantSample(t, internal, "headrace_closes_total", "code=1003,initiator=local", 1)
	wantSample(t, internal, "headrace_closes_total", "code=4xxx,initiator=remote", 1)
	wantSample(t, internal, "headrace_websocket_connections", "", 0)

	if _, err := dialFrom(t, addr, "/echo", "https://elsewhere.example"); err == nil {
		t.Error("another origin may connect")
	}
	wantSample(t, internal, "headrace_handshakes_total", "outcome=refused,status=403", 1)
	get(t, addr, "GET", "/")
	wantSample(t, internal, "headrace_handshakes_total", "outcome=http,status=", 1)
	gone, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(gone, "GET /")
	_ = gone.Close()
	wantSample(t, internal, "headrace_handshakes_total", "outcome=gone,status=", 1)
	wantSample(t, internal, "headrace_accepted_connections_total", "", 5)
	wantSample(t, internal, "headrace_draining", "", 0)
}

func TestMetricsHistograms(t *testing.T) {
	addr, internal := startMeasured(t, func(o *options) { o.endpoint.PingInterval = 20 * time.Millisecond })
	c := dial(t, addr, "/echo")
	for range 2 {
		op, p := c.next()
		if op != ws.OpPing {
			t.Fatalf("opcode %d came, want a ping", op)
		}
		c.send(ws.OpPong, p)
	}
	wantAtLeast := func(name string) {
		t.Helper()
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			if sample(t, scrape(t, internal), name, "") >= 2 {
				return
			}
		}
		t.Errorf("%s has no samples", name)
	}
	wantAtLeast("headrace_ping_round_trip_seconds")
	wantAtLeast("headrace_loop_lag_seconds")
}

// The names, types and units are those that Prometheus asks for.
func TestMetricsLint(t *testing.T) {
	addr, internal := startMeasured(t, nil)
	dial(t, addr, "/echo").send(ws.OpClose, nil)
	wantSample(t, internal, "headrace_closes_total", "code=1005,initiator=remote", 1)
	_, body := get(t, internal, "GET", "/metrics")
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %+v", err, problems)
	}
	all := scrape(t, internal)
	for name, kind := range map[string]dto.MetricType{
		"headrace_connections":                dto.MetricType_GAUGE,
		"headrace_websocket_connections":      dto.MetricType_GAUGE,
		"headrace_draining":                   dto.MetricType_GAUGE,
		"headrace_queue_bytes":                dto.MetricType_GAUGE,
		"headrace_accepted_connections_total": dto.MetricType_COUNTER,
		"headrace_handshakes_total":           dto.MetricType_COUNTER,
		"headrace_refusals_total":             dto.MetricType_COUNTER,
		"headrace_closes_total":               dto.MetricType_COUNTER,
		"headrace_messages_total":             dto.MetricType_COUNTER,
		"headrace_socket_bytes_total":         dto.MetricType_COUNTER,
		"headrace_dropped_messages_total":     dto.MetricType_COUNTER,
		"headrace_ping_round_trip_seconds":    dto.MetricType_HISTOGRAM,
		"headrace_loop_lag_seconds":           dto.MetricType_HISTOGRAM,
		"go_goroutines":                       dto.MetricType_GAUGE,
		"process_open_fds":                    dto.MetricType_GAUGE,
	} {
		if f := all[name]; f == nil || f.GetType() != kind {
			t.Errorf("%s is %v, want a %v", name, f, kind)
		}
	}
}

// statsCollector shows statistics that were made up.
type statsCollector struct {
	metrics
	stats engine.Stats
}

// Collect implements prometheus.Collector.
func (c *statsCollector) Collect(to chan<- prometheus.Metric) { collect(c.stats, true, to) }

// Whatever the engine counts is there to be scraped, under the name that is written
// here. A new figure of the engine fails the test until it is.
func TestMetricsShowEveryFigure(t *testing.T) {
	shown := map[string]struct{ name, labels string }{
		"Connections":           {"headrace_connections", ""},
		"WebSockets":            {"headrace_websocket_connections", ""},
		"Accepted":              {"headrace_accepted_connections_total", ""},
		"Handshakes":            {"headrace_handshakes_total", "outcome=refused,status=418"},
		"Refused.Conns":         {"headrace_refusals_total", "limit=conns"},
		"Refused.ConnsPerIP":    {"headrace_refusals_total", "limit=conns_per_ip"},
		"Refused.HandshakeRate": {"headrace_refusals_total", "limit=handshake_rate"},
		"Refused.ProxyHeader":   {"headrace_refusals_total", "limit=proxy_header"},
		"Refused.PeerRate":      {"headrace_refusals_total", "limit=peer_rate"},
		"Closes":                {"headrace_closes_total", "code=1009,initiator=local"},
		"Received.Messages":     {"headrace_messages_total", "direction=received"},
		"Received.Bytes":        {"headrace_socket_bytes_total", "direction=received"},
		"Sent.Messages":         {"headrace_messages_total", "direction=sent"},
		"Sent.Bytes":            {"headrace_socket_bytes_total", "direction=sent"},
		"Dropped.Newest":        {"headrace_dropped_messages_total", "policy=newest"},
		"Dropped.Oldest":        {"headrace_dropped_messages_total", "policy=oldest"},
		"Dropped.Late":          {"headrace_dropped_messages_total", "policy=late"},
		"QueueBytes":            {"headrace_queue_bytes", ""},
		// These two are histograms: TestMetricsHistograms.
		"RoundTrips.Count": {}, "RoundTrips.Sum": {}, "LoopLags.Count": {}, "LoopLags.Sum": {},
	}
	var stats engine.Stats
	figures := make(map[string]float64)
	fill(t, reflect.ValueOf(&stats).Elem(), "", figures)
	all := prometheus.NewPedanticRegistry()
	all.MustRegister(&statsCollector{stats: stats})
	gathered, err := all.Gather()
	if err != nil {
		t.Fatal(err)
	}
	families := make(map[string]*dto.MetricFamily)
	for _, f := range gathered {
		families[f.GetName()] = f
	}
	for path, want := range figures {
		at, ok := shown[path]
		if got := sample(t, families, at.name, at.labels); !ok || at.name != "" && got != want {
			t.Errorf("Stats.%s is %v, and %s{%s} %v", path, want, at.name, at.labels, got)
		}
	}
	if len(figures) != len(shown) || sample(t, families, "headrace_draining", "") != 1 {
		t.Errorf("%d figures, %d expected", len(figures), len(shown))
	}
}

// fill gives each figure of the statistics a value of its own.
func fill(t *testing.T, v reflect.Value, path string, figures map[string]float64) {
	t.Helper()
	n := 1000 + len(figures)
	switch at := v.Addr().Interface().(type) {
	case *map[engine.Outcome]uint64:
		*at = map[engine.Outcome]uint64{http.StatusTeapot: uint64(n)}
	case *map[engine.Ending]uint64:
		*at = map[engine.Ending]uint64{{Code: engine.CloseMessageTooBig, Initiator: engine.Local}: uint64(n)}
	case *int:
		*at = n
	case *uint64:
		*at = uint64(n)
	case *time.Duration:
		*at = time.Duration(n)
	default:
		if v.Kind() != reflect.Struct {
			t.Fatalf("Stats.%s is a %v", path, v.Type())
		}
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if path != "" {
				name = path + "." + name
			}
			fill(t, v.Field(i), name, figures)
		}
		return
	}
	figures[path] = float64(n)
}

// What the engine tells of single events is observed, unless Stats counts all that is
// to be known of it.
func TestMetricsObserveEvents(t *testing.T) {
	counted := map[string]bool{"Handshake": true, "Closed": true}
	observer := reflect.ValueOf(newMetrics().observer())
	for i := range observer.NumField() {
		if name := observer.Type().Field(i).Name; observer.Field(i).IsNil() != counted[name] {
			t.Errorf("Observer.%s: observed %v, counted %v", name, !observer.Field(i).IsNil(), counted[name])
		}
	}
}

// No client can make more time series than there are close codes.
func TestMetricsLabelsAreBounded(t *testing.T) {
	closes := make(map[engine.Ending]uint64)
	for code := engine.CloseCode(3000); code < 5000; code++ {
		closes[engine.Ending{Code: code, Initiator: engine.Remote}] = 1
	}
	got := byEnding(closes)
	if len(got) != 2 || got[closeLabels{"3xxx", "remote"}] != 1000 || got[closeLabels{"4xxx", "remote"}] != 1000 {
		t.Errorf("2000 close codes become %v", got)
	}
}

func TestInternalPages(t *testing.T) {
	_, internal := startMeasured(t, nil)
	for path, want := range map[string]struct {
		status int
		says   string
	}{
		"/healthz":               {200, "ok\n"},
		"/readyz":                {200, "ready\n"},
		"/metrics":               {200, "headrace_connections"},
		"/debug/pprof/":          {200, "goroutine"},
		"/debug/pprof/heap":      {200, ""},
		"/debug/pprof/cmdline":   {200, ""},
		"/debug/pprof/nonsense":  {404, "Unknown profile"},
		"/":                      {404, ""},
		"/echo":                  {404, ""},
		"/debug/pprof/goroutine": {200, ""},
	} {
		if res, body := get(t, internal, "GET", path); res.StatusCode != want.status || !strings.Contains(body, want.says) {
			t.Errorf("%s: %d, %.100q; want %d, %q", path, res.StatusCode, body, want.status, want.says)
		}
	}
}

// Before it listens the server is healthy, and not ready.
func TestReadyzBeforeTheStart(t *testing.T) {
	opts := defaults()
	opts.addrs = []string{"127.0.0.1:0"}
	mux := http.NewServeMux()
	serveHealth(mux, makeServer(t, &opts, engine.Observer{}))
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503} {
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		if answer.Code != want {
			t.Errorf("%s: %d, want %d", path, answer.Code, want)
		}
	}
}
