package harness

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
)

// Metric is one sample. A histogram gives NAME_sum, NAME_count and NAME_bucket (label le).
type Metric struct {
	Labels map[string]string
	Value  float64
}

// Metrics are the samples of one scrape, by name.
type Metrics map[string][]Metric

// Scrape reads the metrics of one of Portico's pods.
func Scrape(t testing.TB, pod corev1.Pod) Metrics {
	t.Helper()
	reply := Ask(t, pod, "/metrics")
	if reply.Status != http.StatusOK {
		t.Fatalf("metrics of %s: status %d", pod.Name, reply.Status)
	}
	metrics, err := ParseMetrics(bytes.NewReader(reply.Body))
	if err != nil {
		t.Fatalf("metrics of %s: %v", pod.Name, err)
	}
	return metrics
}

// ParseMetrics reads the Prometheus text format.
func ParseMetrics(text io.Reader) (Metrics, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return nil, err
	}
	metrics := Metrics{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			metrics.add(name, family.GetType(), m)
		}
	}
	return metrics, nil
}

func (m Metrics) add(name string, kind dto.MetricType, sample *dto.Metric) {
	labels := map[string]string{}
	for _, pair := range sample.GetLabel() {
		labels[pair.GetName()] = pair.GetValue()
	}
	put := func(name string, value float64) { m[name] = append(m[name], Metric{labels, value}) }
	switch kind {
	case dto.MetricType_COUNTER:
		put(name, sample.GetCounter().GetValue())
	case dto.MetricType_GAUGE:
		put(name, sample.GetGauge().GetValue())
	case dto.MetricType_UNTYPED:
		put(name, sample.GetUntyped().GetValue())
	case dto.MetricType_HISTOGRAM:
		h := sample.GetHistogram()
		put(name+"_sum", h.GetSampleSum())
		put(name+"_count", float64(h.GetSampleCount()))
		for _, bucket := range h.GetBucket() {
			with := map[string]string{"le": fmt.Sprint(bucket.GetUpperBound())}
			for k, v := range labels {
				with[k] = v
			}
			m[name+"_bucket"] = append(m[name+"_bucket"], Metric{with, float64(bucket.GetCumulativeCount())})
		}
	case dto.MetricType_SUMMARY:
		put(name+"_sum", sample.GetSummary().GetSampleSum())
		put(name+"_count", float64(sample.GetSummary().GetSampleCount()))
	}
}

// All are the samples of that name whose labels hold the given pairs: All("x_total", "code", "503").
func (m Metrics) All(name string, pairs ...string) []Metric {
	var found []Metric
samples:
	for _, sample := range m[name] {
		for i := 0; i+1 < len(pairs); i += 2 {
			if sample.Labels[pairs[i]] != pairs[i+1] {
				continue samples
			}
		}
		found = append(found, sample)
	}
	return found
}

// Sum adds up All; 0 when there is none.
func (m Metrics) Sum(name string, pairs ...string) float64 {
	var sum float64
	for _, sample := range m.All(name, pairs...) {
		sum += sample.Value
	}
	return sum
}
