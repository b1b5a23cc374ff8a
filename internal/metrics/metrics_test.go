package metrics

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func scrape(s *Set) string {
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	return rec.Body.String()
}

// Senders choose event types, sources and addresses: they must not be able to
// make a million series, nor to break the page.
func TestLabelsAreBounded(t *testing.T) {
	s := New()
	for i := range 5000 {
		s.Event(fmt.Sprintf("made_up_%d", i), "unmatched")
		s.Unparsed(fmt.Sprintf("source-%d", i), fmt.Sprintf("192.0.2.%d-%d", i%256, i))
		s.Processed(fmt.Sprintf("made_up_%d", i), time.Millisecond)
		s.Run(fmt.Sprintf("rule-%d", i), "succeeded")
	}
	s.Event("bad \xff utf-8 \"quote\n", "unmatched")
	s.Event(strings.Repeat("long", 100), "unmatched")
	page := scrape(s)
	for name, most := range map[string]int{
		"signalbox_events_total{":                   257,
		"signalbox_event_processing_seconds_count{": 257,
		"signalbox_source_unparsed_total{":          129 * 257,
		"signalbox_runs_total{":                     2049,
	} {
		if n := strings.Count(page, name); n == 0 || n > most {
			t.Errorf("%s has %d series, want at most %d", name, n, most)
		}
	}
	if !strings.Contains(page, `event_type="other"`) {
		t.Error("what is beyond the bound is not counted as other")
	}
}

func TestADuplicateIsCountedTwice(t *testing.T) {
	s := New()
	s.Event("interface_down", "duplicate")
	page := scrape(s)
	for _, want := range []string{
		`signalbox_events_total{event_type="interface_down",status="duplicate"} 1`,
		`signalbox_duplicates_total{event_type="interface_down"} 1`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestCorrelation(t *testing.T) {
	s := New()
	s.Keys([]RuleKeys{{Rule: "flap", Held: 7, Evicted: 3}, {Rule: "hot", Held: 1, Refused: 1}})
	s.Keys([]RuleKeys{{Rule: "flap", Held: 5, Evicted: 5}})
	s.Keys([]RuleKeys{{Rule: "flap", Held: 5, Evicted: 1}}) // an engine that began anew
	s.Finding("flap", "flap")
	s.Outcome("port-down", "absorbed")
	s.Tick()
	s.Timer(20 * time.Millisecond)
	s.Situations("open", 4)
	for i := range 5000 {
		s.Finding(fmt.Sprintf("rule-%d", i), "count")
		s.Outcome(fmt.Sprintf("rule-%d", i), "held")
	}
	page := scrape(s)
	for _, want := range []string{
		`signalbox_correlation_keys{rule="flap"} 5`,
		`signalbox_correlation_keys{rule="hot"} 0`,
		`signalbox_correlation_keys_lost_total{reason="evicted",rule="flap"} 6`,
		`signalbox_correlation_keys_lost_total{reason="refused",rule="hot"} 1`,
		`signalbox_findings_total{form="flap",rule="flap"} 1`,
		`signalbox_rule_outcomes_total{outcome="absorbed",rule="port-down"} 1`,
		`signalbox_ticks_total 1`,
		`signalbox_timer_lateness_seconds_count 1`,
		`signalbox_situations{state="open"} 4`,
	} {
		if !strings.Contains(page, want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
	if n := strings.Count(page, "signalbox_findings_total{"); n > 2051 {
		t.Errorf("%d series of findings", n)
	}
}

// A counter that is not there yet cannot grow: what alerts ask for begins at zero.
func TestAlertsBeginAtZero(t *testing.T) {
	s := New()
	s.Rules("port-down")
	s.Actions("http")
	s.Source("campus", true)
	s.Source("hook", false)
	page := scrape(s)
	for _, want := range []string{
		`signalbox_dead_letters_total{rule="port-down"} 0`,
		`signalbox_runs_total{outcome="failed",rule="port-down"} 0`,
		`signalbox_rule_outcomes_total{outcome="error",rule="port-down"} 0`,
		`signalbox_step_retries_total{action="http"} 0`,
		`signalbox_reloads_total{result="kept the old"} 0`,
		`signalbox_source_received_total{source="hook"} 0`,
		`signalbox_source_refused_total{reason="unavailable",source="hook"} 0`,
		`signalbox_source_kernel_drops{source="campus"} 0`,
	} {
		if !strings.Contains(page, want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
	if strings.Contains(page, `signalbox_source_kernel_drops{source="hook"}`) {
		t.Error("a webhook has no datagrams to lose")
	}
}
