package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metricsPage is a page of metrics in the text format of Prometheus.
type metricsPage struct {
	url    string
	client *http.Client
}

const (
	metricsPatience = 5 * time.Second
	maxMetrics      = 16 << 20
	metricResident  = "process_resident_memory_bytes" // what the clients of Prometheus call it
	metricConns     = "headrace_websocket_connections"
)

// newMetricsPage checks the address. Nothing is asked yet.
func newMetricsPage(at string) (*metricsPage, error) {
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("metrics %q: it must be http://host:port/metrics", at)
	}
	return &metricsPage{at, &http.Client{Timeout: metricsPatience, Transport: &http.Transport{MaxIdleConns: 1}}}, nil
}

func (m *metricsPage) name() string         { return m.url }
func (m *metricsPage) grain() time.Duration { return 250 * time.Millisecond }

// look implements memorySource.
func (m *metricsPage) look(ctx context.Context) (resident uint64, gauge float64, err error) {
	page, err := m.get(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("metrics %s: %w", m.url, err)
	}
	held, ok := valueOf(page[metricResident])
	if !ok {
		return 0, 0, fmt.Errorf("metrics %s: there is no %s on that page", m.url, metricResident)
	}
	if gauge, ok = valueOf(page[metricConns]); !ok {
		gauge = -1
	}
	return uint64(held), gauge, nil
}

// get reads the page, as long as it may be.
func (m *metricsPage) get(ctx context.Context) (map[string]*io_prometheus_client.MetricFamily, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "text/plain; version=0.0.4")
	answer, err := m.client.Do(r)
	if err != nil {
		var told *url.Error // it says the address again
		if errors.As(err, &told) {
			err = told.Err
		}
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", said(answer.Status))
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxMetrics+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxMetrics:
		return nil, fmt.Errorf("the page is longer than %d MiB", maxMetrics>>20)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	page, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("it is no page of metrics: %w", err)
	}
	return page, nil
}

// valueOf gives the one value of a metric.
func valueOf(f *io_prometheus_client.MetricFamily) (v float64, ok bool) {
	if f == nil || len(f.Metric) != 1 {
		return 0, false
	}
	switch one := f.Metric[0]; {
	case one.Gauge != nil:
		return one.Gauge.GetValue(), true
	case one.Untyped != nil:
		return one.Untyped.GetValue(), true
	}
	return 0, false
}
