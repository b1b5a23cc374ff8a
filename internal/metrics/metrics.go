// Package metrics holds what Signalbox tells Prometheus. Label values are
// bounded: what comes from the network can't make a series without end.
package metrics

import (
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const other = "other"

// Set is all the metrics of one process, in a registry of its own. Safe for
// many goroutines at once.
type Set struct {
	registry *prometheus.Registry

	events     *prometheus.CounterVec
	processing *prometheus.HistogramVec
	received   *prometheus.CounterVec
	refused    *prometheus.CounterVec
	unparsed   *prometheus.CounterVec
	drops      *prometheus.GaugeVec
	sourceUp   *prometheus.GaugeVec
	queue      *prometheus.GaugeVec
	batches    *prometheus.CounterVec
	batchSize  *prometheus.HistogramVec
	publish    *prometheus.HistogramVec
	logBytes   *prometheus.CounterVec
	duplicates *prometheus.CounterVec
	retries    *prometheus.CounterVec
	dead       *prometheus.CounterVec
	runs       *prometheus.CounterVec
	reloads    *prometheus.CounterVec

	correlation

	types, rules, peers, sources limiter
}

// New returns a set with nothing counted.
func New() *Set {
	s := &Set{registry: prometheus.NewRegistry()}
	s.types.max, s.rules.max, s.peers.max, s.sources.max = 256, 2048, 256, 128
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "signalbox_" + name, Help: help}, labels)
		s.registry.MustRegister(c)
		return c
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "signalbox_" + name, Help: help}, labels)
		s.registry.MustRegister(g)
		return g
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "signalbox_" + name, Help: help, Buckets: buckets}, labels)
		s.registry.MustRegister(h)
		return h
	}
	s.events = counter("events_total", "Events by type and what became of them: decided, duplicate, suppressed, unmatched or rejected.", "event_type", "status")
	s.processing = histogram("event_processing_seconds", "From receipt to the end of what the event started.",
		prometheus.ExponentialBuckets(0.0005, 2, 20), "event_type")
	s.received = counter("source_received_total", "Messages that a source read from its peers.", "source")
	s.refused = counter("source_refused_total", "Messages that were not taken, by reason.", "source", "reason")
	s.unparsed = counter("source_unparsed_total", "Messages kept though their parser made no sense of them, by sender.", "source", "peer")
	s.drops = gauge("source_kernel_drops", "Datagrams that the kernel dropped on the source's sockets since start.", "source")
	s.sourceUp = gauge("source_up", "1 while the source is well.", "source")
	s.queue = gauge("queue_depth", "Entries waiting, by queue.", "queue")
	s.batches = counter("log_batches_total", "Batches appended, by subject.", "subject")
	s.batchSize = histogram("log_batch_records", "Records a batch, by subject.", prometheus.ExponentialBuckets(1, 2, 12), "subject")
	s.publish = histogram("log_publish_seconds", "Time to have a batch on disk (fsync included), by subject.",
		prometheus.ExponentialBuckets(0.0001, 2, 18), "subject")
	s.logBytes = counter("log_bytes_total", "Bytes appended, compressed, by subject.", "subject")
	s.duplicates = counter("duplicates_total", "Events dropped because they repeat another, by event type.", "event_type")
	s.retries = counter("step_retries_total", "Attempts of steps after the first, by action.", "action")
	s.dead = counter("dead_letters_total", "Runs that failed for good, by rule.", "rule")
	s.runs = counter("runs_total", "Runs ended, by rule and outcome.", "rule", "outcome")
	s.reloads = counter("reloads_total", "Reloads of rules, inventory and mappings, by result.", "result")
	for _, result := range []string{reloaded, keptOld} {
		s.reloads.WithLabelValues(result)
	}
	s.correlation = newCorrelation(counter, gauge, histogram)
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

// Know gives event types that always get series of their own: those that senders
// make up can't push them into "other".
func (s *Set) Know(eventTypes ...string) {
	for _, t := range eventTypes {
		s.types.seen.Store(t, struct{}{})
	}
}

// Rules, Actions and Source make the series that alerts ask for begin at zero: a
// counter that appears with its first count has not grown, as Prometheus sees
// it, and the first failure of all would alert nobody.

// Rules names the rules that may run.
func (s *Set) Rules(names ...string) {
	for _, name := range names {
		r := s.rules.label(name)
		s.dead.WithLabelValues(r)
		for _, outcome := range []string{"succeeded", "failed", "in_doubt"} {
			s.runs.WithLabelValues(r, outcome)
		}
		for _, outcome := range []string{"error", "full", "late", "limited"} {
			s.outcomes.WithLabelValues(r, outcome)
		}
	}
}

// Actions names the actions that steps may use.
func (s *Set) Actions(names ...string) {
	for _, name := range names {
		s.retries.WithLabelValues(name)
	}
}

// Source names a source; datagrams says whether the kernel may drop what is
// sent to it.
func (s *Set) Source(name string, datagrams bool) {
	l := s.sources.label(name)
	s.received.WithLabelValues(l)
	for _, reason := range []string{"auth", "level", "busy", "unavailable"} {
		s.refused.WithLabelValues(l, reason)
	}
	if datagrams {
		s.drops.WithLabelValues(l)
	}
}

// Handler serves the metrics in Prometheus' text format.
func (s *Set) Handler() http.Handler {
	return promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{})
}

// Event counts what became of an event.
func (s *Set) Event(eventType, status string) { s.Events(eventType, status, 1) }

// Events counts n of them.
func (s *Set) Events(eventType, status string, n int) {
	t := s.types.label(eventType)
	s.events.WithLabelValues(t, status).Add(float64(n))
	if status == "duplicate" {
		s.duplicates.WithLabelValues(t).Add(float64(n))
	}
}

// ProcessedOf is Processed for many events of one type.
func (s *Set) ProcessedOf(eventType string) func(took time.Duration) {
	h := s.processing.WithLabelValues(s.types.label(eventType))
	return func(took time.Duration) { h.Observe(took.Seconds()) }
}

// Processed observes the time from receipt to the end of all that it started.
func (s *Set) Processed(eventType string, took time.Duration) {
	s.processing.WithLabelValues(s.types.label(eventType)).Observe(took.Seconds())
}

// Received counts messages that a source read from its peers.
func (s *Set) Received(source string, n int) {
	s.received.WithLabelValues(s.sources.label(source)).Add(float64(n))
}

// Refused counts messages not taken, by a short constant reason.
func (s *Set) Refused(source, reason string, n int) {
	s.refused.WithLabelValues(s.sources.label(source), reason).Add(float64(n))
}

// KernelDrops sets what the kernel dropped on a source's sockets since start.
func (s *Set) KernelDrops(source string, total uint64) {
	s.drops.WithLabelValues(s.sources.label(source)).Set(float64(total))
}

// Unparsed counts a message that its parser made no sense of. Ports are no part
// of the label.
func (s *Set) Unparsed(source, peer string) {
	s.unparsed.WithLabelValues(s.sources.label(source), s.peers.label(peer)).Inc()
}

// SourceUp says whether a source is well.
func (s *Set) SourceUp(source string, up bool) {
	v := 0.0
	if up {
		v = 1
	}
	s.sourceUp.WithLabelValues(s.sources.label(source)).Set(v)
}

// Queue sets the depth of a queue.
func (s *Set) Queue(name string, depth int) { s.queue.WithLabelValues(name).Set(float64(depth)) }

// Batch observes one batch written.
func (s *Set) Batch(subject string, records, bytes int, took time.Duration) {
	s.batches.WithLabelValues(subject).Inc()
	s.batchSize.WithLabelValues(subject).Observe(float64(records))
	s.publish.WithLabelValues(subject).Observe(took.Seconds())
	s.logBytes.WithLabelValues(subject).Add(float64(bytes))
}

// Retry counts an attempt after the first.
func (s *Set) Retry(action string) { s.retries.WithLabelValues(action).Inc() }

// Run counts a run's end.
func (s *Set) Run(rule, outcome string) {
	r := s.rules.label(rule)
	s.runs.WithLabelValues(r, outcome).Inc()
	if outcome == "failed" {
		s.dead.WithLabelValues(r).Inc()
	}
}

// Reload counts a reload.
func (s *Set) Reload(ok bool) {
	result := keptOld
	if ok {
		result = reloaded
	}
	s.reloads.WithLabelValues(result).Inc()
}

// Results of a reload.
const (
	reloaded = "loaded"
	keptOld  = "kept the old"
)

// limiter hands out at most max different label values; what comes after that
// is "other".
type limiter struct {
	max  int
	seen sync.Map
	mu   sync.Mutex
	n    int
}

func (l *limiter) label(v string) string {
	if !utf8.ValidString(v) {
		v = strings.ToValidUTF8(v, "\uFFFD") // the client library panics on anything else
	}
	if _, ok := l.seen.Load(v); ok {
		return v
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n >= l.max || len(v) > 128 {
		return other
	}
	// A clone: the value may lie in a batch that must not be kept for it.
	if _, loaded := l.seen.LoadOrStore(strings.Clone(v), struct{}{}); !loaded {
		l.n++
	}
	return v
}
