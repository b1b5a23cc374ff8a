package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// correlation is what is told of rules that ask for more than one event.
type correlation struct {
	findings   *prometheus.CounterVec
	outcomes   *prometheus.CounterVec
	ticks      *prometheus.CounterVec
	timers     *prometheus.CounterVec
	lateness   *prometheus.HistogramVec
	keys       *prometheus.GaugeVec
	lost       *prometheus.CounterVec
	situations *prometheus.GaugeVec
	resets     *prometheus.CounterVec

	mu   sync.Mutex
	last map[[2]string]uint64 // of lost, by rule and reason: the totals told before
	told map[string]bool      // rules that have a gauge of keys
}

func newCorrelation(
	counter func(name, help string, labels ...string) *prometheus.CounterVec,
	gauge func(name, help string, labels ...string) *prometheus.GaugeVec,
	histogram func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec,
) correlation {
	return correlation{
		last:       map[[2]string]uint64{},
		told:       map[string]bool{},
		findings:   counter("findings_total", "What rules found in many events, by rule and form (count, flap, sequence, …).", "rule", "form"),
		outcomes:   counter("rule_outcomes_total", "What rules did with an event other than start a run: duplicate, shadow, loop, error, joined, held, released, absorbed, dampened, upstream, grouped, late, limited or full.", "rule", "outcome"),
		ticks:      counter("ticks_total", "Ticks in the log: time had come and nothing else did."),
		timers:     counter("timers_fired_total", "Decisions that time made: windows that ended, absences, groups."),
		lateness:   histogram("timer_lateness_seconds", "From when a timer was due to the log time at which it fired.", prometheus.ExponentialBuckets(0.001, 4, 10)),
		keys:       gauge("correlation_keys", "Keys that a rule holds a state for, in all its stages.", "rule"),
		lost:       counter("correlation_keys_lost_total", "Keys beyond a rule's bound: evicted (the one that was idle longest was forgotten) or refused (the new one was not taken).", "rule", "reason"),
		situations: gauge("situations", "Situations by state; resolved ones as long as they are listed.", "state"),
		resets:     counter("rule_state_resets_total", "Rules whose state was reset because a reload changed its meaning."),
	}
}

// Finding counts what a rule found in many events.
func (s *Set) Finding(rule, form string) {
	s.findings.WithLabelValues(s.rules.label(rule), form).Inc()
}

// Outcome counts what a rule did with an event other than start a run. outcome
// is one of a fixed set (see record.RuleNote).
func (s *Set) Outcome(rule, outcome string) {
	s.outcomes.WithLabelValues(s.rules.label(rule), outcome).Inc()
}

// Tick counts a tick.
func (s *Set) Tick() { s.ticks.WithLabelValues().Inc() }

// Timer counts a timer that fired, late after its time.
func (s *Set) Timer(late time.Duration) {
	s.timers.WithLabelValues().Inc()
	s.lateness.WithLabelValues().Observe(max(late, 0).Seconds())
}

// Resets counts rules whose state a reload reset.
func (s *Set) Resets(n int) { s.resets.WithLabelValues().Add(float64(n)) }

// RuleKeys is what a rule's correlation holds, and the totals of keys that did
// not fit.
type RuleKeys struct {
	Rule             string
	Held             int
	Evicted, Refused uint64
}

// Keys sets what all rules hold. Rules that are not named hold nothing.
func (s *Set) Keys(rules []RuleKeys) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := make(map[string]bool, len(rules))
	for _, r := range rules {
		name := s.rules.label(r.Rule)
		now[name] = true
		s.keys.WithLabelValues(name).Set(float64(r.Held))
		s.add(name, "evicted", r.Evicted)
		s.add(name, "refused", r.Refused)
	}
	for name := range s.told {
		if !now[name] {
			s.keys.WithLabelValues(name).Set(0)
		}
	}
	s.told = now
}

// add counts up to a total. A smaller one is a new beginning.
func (s *Set) add(rule, reason string, total uint64) {
	k := [2]string{rule, reason}
	before := s.last[k]
	if total < before {
		before = 0
	}
	if total > before {
		s.lost.WithLabelValues(rule, reason).Add(float64(total - before))
	}
	s.last[k] = total
}

// Situations sets how many there are of a state.
func (s *Set) Situations(state string, n int) { s.situations.WithLabelValues(state).Set(float64(n)) }
