package daemon

import (
	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// countDecision tells the metrics what rules did.
func (d *decider) countDecision(b *record.Batch, dec *record.Decision) {
	if dec.Replay {
		return
	}
	if !dec.Due.IsZero() {
		d.metrics.Timer(b.Time.Sub(dec.Due))
	}
	for i := range dec.Notes {
		d.metrics.Outcome(dec.Notes[i].Rule, dec.Notes[i].Outcome)
	}
	for i := range dec.Runs {
		if r := &dec.Runs[i]; r.Branch == "" && d.form != nil {
			if f := d.form(r.Rule, r.RuleVersion); f != correlate.Single {
				d.metrics.Finding(r.Rule, formName(f))
			}
		}
	}
}

// formName is the key of a form in a rule.
func formName(f correlate.Form) string {
	switch f {
	case correlate.Count:
		return "count"
	case correlate.Flap:
		return "flap"
	case correlate.Sequence:
		return "sequence"
	case correlate.All:
		return "all"
	case correlate.Any:
		return "any"
	case correlate.Unless:
		return "unless"
	case correlate.Silent:
		return "silent"
	case correlate.Threshold:
		return "threshold"
	}
	return "single"
}

// form is the form of a rule.
func (s *ruleStore) form(name, version string) correlate.Form {
	if r, ok := s.Rule(name, version); ok && r.Plan != nil {
		return r.Plan.Form
	}
	return correlate.Single
}
