package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	"signalbox/internal/correlate"
	"signalbox/internal/engine"
	"signalbox/internal/explain"
	"signalbox/internal/metrics"
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
				d.metrics.Finding(r.Rule, explain.FormName(f))
			}
		}
	}
}

// form is the form of a rule.
func (s *ruleStore) form(name, version string) correlate.Form {
	if r, ok := s.Rule(name, version); ok && r.Plan != nil {
		return r.Plan.Form
	}
	return correlate.Single
}

// ruleChange is what a new rule set did to the state of the rules.
type ruleChange struct {
	version string
	resets  []string // for people
	kept    []engine.RuleKeys
}

// switched notes that a new rule set has come into force, and tells what that
// did to the rules' state.
func (d *decider) switched(version string, stretches []engine.Stretch) {
	if last := d.rules.Load(); last != nil && *last == version {
		return
	}
	c := &ruleChange{version: version}
	for _, s := range stretches {
		c.resets = append(c.resets, s.Resets...)
	}
	for _, k := range d.engine.RuleKeys() {
		if k.Held > 0 {
			c.kept = append(c.kept, k)
		}
	}
	d.change.Store(c)
	if d.engine.Through().Less(d.logged) {
		return // it was told before the restart
	}
	d.metrics.Resets(len(c.resets))
	for _, r := range c.resets {
		d.logger.Warn("rule state was reset", "what", r, "rule_set", version)
	}
	if len(c.kept) > 0 {
		d.logger.Info("rule state kept", "keys", c.keptText(), "rule_set", version)
	}
}

// keptText names the rules whose state goes on.
func (c *ruleChange) keptText() string {
	words := make([]string, 0, len(c.kept))
	for _, k := range c.kept {
		words = append(words, fmt.Sprintf("%s %d", k.Rule, k.Held))
	}
	return strings.Join(words, ", ")
}

// countKeys tells the metrics, now and then, how many keys the rules hold.
func (d *decider) countKeys() {
	if time.Since(d.counted) < keysEvery {
		return
	}
	d.counted = time.Now()
	var keys []metrics.RuleKeys
	for _, k := range d.engine.RuleKeys() {
		keys = append(keys, metrics.RuleKeys(k))
	}
	d.metrics.Keys(keys)
}

// changed waits until a rule set is in force, and says what that did; nil where
// it takes too long.
func (d *decider) changed(ctx context.Context, version string) *ruleChange {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	t := time.NewTicker(2 * time.Millisecond)
	defer t.Stop()
	for {
		if c := d.change.Load(); c != nil && c.version == version {
			return c
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}
